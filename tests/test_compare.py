"""The comparison of methods: `compare` trains what is missing, resumes what was stopped and makes
the report, whose values are those of the measures, and whose empty cells have a reason."""
import io, json, shutil
import nbformat, pytest, sync
from conftest import ROOT, check_pictures, read_report
from sync import PAGES, tables
from vdsm.commands.compare import compare
from vdsm.data.moving_mnist import MovingMNIST
from vdsm.evaluate.judge import JudgeConfig, get_judge
from vdsm.evaluate.moving_mnist_trajectory import digit_reader, path_metrics
from vdsm.evaluate.sample_coverage import coverage_metrics
from vdsm.evaluate.swap_benchmark import swap_metrics
from vdsm.evaluate.swap_error import mean_image, reconstruction_metrics
from vdsm.data.sequences import Subset
from vdsm.lib.comparison import committed_rows, encoder_parts, train_run
from vdsm.lib.method import training_method
from vdsm.training.presets import get_preset
from vdsm.training.runs import open_run

SMALLEST = {"n_clips = 500": "n_clips = 12",
            "judge_steps = 500": "judge_steps = 2"}
WHO, NO_ENCODER = "DSVAE, MoCoGAN", "MoCoGAN has no encoder."
NEED_CODES = ("pixels", "probe", "codes", "consistency", "swap", "swap_error", "rollout")


def clone(place):
    "A clone that holds the report, with few clips and a judge that is hardly trained."
    for folder in ("nbs/8_figures", "vdsm"): (place / folder).mkdir(parents=True)
    for file in ("settings.ini", "vdsm/model.py"): (place / file).write_text("")
    notebook = json.loads((ROOT / "nbs/8_figures/compare.ipynb").read_text())
    cell = next(c for c in notebook["cells"] if c["metadata"].get("tags") == ["parameters"])
    source = "".join(cell["source"])
    for before, after in SMALLEST.items():
        assert before in source
        source = source.replace(before, after)
    cell["source"] = source
    (place / "nbs/8_figures/compare.ipynb").write_text(json.dumps(notebook))
    get_judge("pendulum", config=JudgeConfig(steps=2), folder=place / "data" / "judges")


def command():
    log = io.StringIO()
    code = compare("pendulum", WHO, "smoke", file=log)
    return code, log.getvalue().splitlines()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "The clone after `compare`; DSVAE had been stopped before."
    place = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        clone(place)
        patch.chdir(place)
        patch.setenv("PYTHONPATH", str(ROOT))     # the package, not the folder of its name here
        folder = train_run("pendulum", "smoke", 0, "DSVAE")
        weights = (folder / "final" / "weights.safetensors").read_bytes()
        shutil.rmtree(folder / "final")           # stopped before its end
        code, said = command()
        assert code == 0, said
        yield dict(place=place, said=said, folder=folder, weights=weights,
                   out=place / "figures" / "compare_pendulum")


def test_what_is_missing_is_trained_and_a_stopped_run_resumes(made):
    for method in WHO.split(", "):
        assert f"{method}, smoke on pendulum, seed 0 is running" in made["said"]
    assert (made["folder"] / "final" / "weights.safetensors").read_bytes() == made["weights"]
    before = {f: f.stat().st_mtime_ns for f in made["out"].rglob("*.*")}
    assert command() == (0, ["nothing to do: all runs are trained, and the report is up to date",
                             made["said"][-1]])
    assert before == {f: f.stat().st_mtime_ns for f in made["out"].rglob("*.*")}


def test_values_are_those_of_the_measures(made):
    judge = get_judge("pendulum", config=JudgeConfig(steps=2), split="test")
    for method in ("DSVAE", "MoCoGAN"):
        report = read_report(made["out"] / f"{method.lower()}-smoke")
        run, of = report["run"], report["metrics"]
        assert (run["method"], run["seeds"], run["n_clips"]) == (method, [0], 12)
        assert run["held_out"] == "test" and min(run["peak_mb"]) > 100 and run["parameters"] > 0
        model, train, test, *_ = open_run("pendulum", "smoke", 0, split="test", method=method)
        alone = coverage_metrics(model, judge, train, 12)
        if method == "DSVAE":
            alone |= reconstruction_metrics(model, Subset(test, 12), mean_image(train))
            alone |= swap_metrics(model, judge, test, 12, draws=1)
        assert {k: of[k] for k in alone} == pytest.approx(alone)


def test_a_compared_method_is_followed_along_its_path():
    preset = get_preset("moving_mnist", "smoke", method="DSVAE")
    model = training_method("DSVAE")(preset).new_model().eval()
    train, test = MovingMNIST("train", 300, 1), MovingMNIST("validation", 12, 1)
    parts = encoder_parts(model, None, train, test, n_clips=12, draws=1)
    found = parts["path digit"]()
    assert found == path_metrics(model, test, digit_reader(train), 12)
    assert found["path.real.error"] < .2 < found["path.ahead_window.error"]


def test_an_empty_cell_has_its_reason(made):
    report = read_report(made["out"] / "mocogan-smoke")
    assert report["run"]["missing"] == dict.fromkeys(NEED_CODES, NO_ENCODER)
    assert not [k for k in report["metrics"] if k.split(".")[0] in NEED_CODES]
    assert read_report(made["out"] / "dsvae-smoke")["run"]["missing"] == {}
    parts = (made["out"] / "table.md").read_text().split("**Swaps.**")
    swaps = parts[1].split("\n\n")[1:3]
    row = next(x for x in swaps[0].splitlines() if x.startswith("| MoCoGAN"))
    assert set(row.split("|")[2:-1]) == {"  "}, row
    reason = next(x for x in swaps[1].splitlines() if x.startswith("- *MoCoGAN"))
    assert reason.endswith(NO_ENCODER) and "no value." in reason
    samples = parts[1].split("**Samples.**")[1].split("\n\n")[1]
    row = next(x for x in samples.splitlines() if x.startswith("| MoCoGAN"))
    assert "  " not in row.split("|")[2:-1]
    check_pictures(made["out"], ["swap.png", "table.md"])


def test_pages_show_what_is_committed_and_no_empty_table(made, tmp_path, monkeypatch):
    evidence = tmp_path / "figures" / "evidence"
    shutil.copytree(ROOT / "figures" / "evidence", evidence)
    for folder in evidence.glob("compare_*"): shutil.rmtree(folder)
    (tmp_path / "nbs").mkdir()
    monkeypatch.setattr("vdsm.data.sequences.project_root", lambda: tmp_path)
    def pages():
        return ["\n".join(t for _, t in tables(nbformat.read(p, 4))) for p in PAGES.values()]
    readme, results = pages()
    assert "MoCoGAN, smoke" not in readme + results and "`make compare` trains them" in results
    monkeypatch.setattr(sync, "ROOT", made["place"])
    names = [f.relative_to(made["place"] / "figures" / "evidence" / "compare_pendulum").as_posix()
             for f in sync.keep_evidence(["compare_pendulum"])]
    assert names == ["swap.png", "dsvae-smoke/metrics.json", "mocogan-smoke/metrics.json"]
    shutil.copytree(made["place"] / "figures" / "evidence", evidence, dirs_exist_ok=True)
    kept = committed_rows(evidence / "compare_pendulum", "pendulum")
    assert [(r.entry.name, r.source) for r in kept] == [
        ("dsvae-smoke", "committed"), ("mocogan-smoke", "committed")]
    readme, results = pages()
    row = f"| MoCoGAN, smoke | {NO_ENCODER[:-1]} | {NO_ENCODER[:-1]} |"
    assert row in readme and "| DSVAE, smoke |" in readme
    assert "### Pendulum: all methods" in results and f"no value. {NO_ENCODER}" in results
    assert "make compare" not in results and "compare_pendulum/swap.png" in results
