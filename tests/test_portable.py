"""The package imports and trains without what only POSIX systems have, and its texts are UTF-8
whatever the default is."""
import os, subprocess, sys
from pathlib import Path
import pytest
from sync import ROOT

# the default encoding is ASCII
ELSEWHERE = dict(PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C", PYTHONIOENCODING="utf-8")
FILES = [
    p.relative_to(ROOT).with_suffix("")
    for p in (ROOT / "vdsm").rglob("*.py")
    if p.name != "__main__.py"
]
MODULES = sorted(".".join(f.parts).removesuffix(".__init__") for f in FILES)


def on_windows(code: str, cwd: Path) -> str:
    "Run lines in a process that lacks what Windows lacks."
    here = os.pathsep.join([str(Path(__file__).parent), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", "import windows; windows.pretend()\n" + code],
        cwd=cwd,
        env=os.environ | ELSEWHERE | dict(PYTHONPATH=here),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "import fcntl",
        "from resource import getrusage",
        "import os; os.fork()",
        "import signal; signal.SIGKILL",
        "import os, select; select.select([os.pipe()[0]], [], [])",
        "import os; os.fsync(os.open(__file__, os.O_RDONLY))",
    ],
)
def test_it_is_taken_from_the_package(line, tmp_path):
    code = f"try: exec({line!r}, dict(__name__='vdsm.one', __file__={__file__!r}))\n"
    assert (
        on_windows(
            code + "except (ImportError, AttributeError, OSError): print('refused')", tmp_path
        )
        == "refused\n"
    )


def test_every_module_imports(tmp_path):
    assert "vdsm.data.video_folder" in MODULES and "vdsm" in MODULES
    on_windows(
        f"from importlib import import_module\nfor name in {MODULES}: import_module(name)", tmp_path
    )


RUN = """
from pathlib import Path
from vdsm import Explorer, Pendulum, clip_gif, get_preset, swap, train
from vdsm.lib.report import describe_run, side_by_side, write_metrics, write_report
from vdsm.evaluate.pendulum_angle import rollout_metrics
from vdsm.lib.checkpoint import save_checkpoint
from vdsm.lib.pretrained import load_checkpoint
preset = get_preset('pendulum', 'smoke')
training, held_out = Pendulum(n_clips=28), Pendulum('validation', 14)
for _ in range(2): model = train(training, preset, Path('run')) # the second time loads it
metrics = rollout_metrics(model, held_out)
for _ in range(2): # the second time overwrites it
    save_checkpoint(Path('checkpoint'), model, dict(dataset='pendulum'))
    described = describe_run(Path('run'), 'smoke', training, held_out)
    write_metrics(Path('metrics.json'), described, metrics)
rows = side_by_side([Path('metrics.json')])
write_report([row | dict(std=.1) for row in rows], Path('.'))
a, b = held_out.clips([0, 1]).split(1)
clip_gif(swap(load_checkpoint(Path('checkpoint')), a, b, 'identity'), 'swapped.gif')
Explorer(model, held_out)
print('done')
"""


def test_the_pendulum_trains(tmp_path):
    assert on_windows(RUN, tmp_path).splitlines()[-1] == "done"
    assert (tmp_path / "swapped.gif").stat().st_size > 1000
    assert "±" in (tmp_path / "report.md").read_text(encoding="utf-8")
