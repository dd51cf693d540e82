"The examples run, in small."
import csv, subprocess, sys
from sync import ROOT


def test_over_seeds(tmp_path):
    script, out = ROOT / "examples" / "over_seeds.py", tmp_path / "runs"
    words = [sys.executable, script, "pendulum", "--seeds", "0,1", "--preset", "smoke"]
    words += ["--out", out]
    for name, value in dict(probe_clips=140, rolled_clips=14, draws=1).items():
        words += ["-p", name, str(value)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(out / "report.md"), str(out / "report.csv")]
    with (out / "report.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert rows["reconstruction.mse"]["n"] == "2"
    assert float(rows["reconstruction.mse"]["std"]) > 0
    assert float(rows["probe.test_clips"]["mean"]) == 140
    before = (out / "1" / "metrics.json").stat().st_mtime_ns
    assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0
    assert (out / "1" / "metrics.json").stat().st_mtime_ns == before       # finished runs are kept
