"""What a test needs and this machine lacks (Chromium, a data set) is said in one line at the end.
It fails in CI only."""
import json, os, re, shutil, sys
from pathlib import Path
import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")               # tests run side by side
from forks import fork_kernels
fork_kernels()
ROOT = Path(__file__).resolve().parent.parent

BROWSERS = "chromium", "chromium-browser", "google-chrome", "chrome", "msedge"
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
NO_CHROMIUM = "no Chromium: install it (Debian: apt-get install chromium; elsewhere Chrome will do)"
NO_DATA = re.compile(r".*\bset VDSM_DATA to the folder that holds\b.*")   # `data_folder` says it


class Missing(Exception):
    "This machine lacks something that a test needs."


def run_figure(name: str, executed: Path, cwd: Path = ROOT, **parameters):
    "Execute a notebook of nbs/8_figures with papermill; its cells with their outputs."
    import papermill
    notebook = ROOT / "nbs" / "8_figures" / f"{name}.ipynb"
    return papermill.execute_notebook(
        notebook, executed, cwd=cwd, progress_bar=False, parameters=parameters
    ).cells


def printed(cells) -> str:
    "What executed cells have printed, and the Markdown that they show."
    outputs = [o for cell in cells for o in cell.get("outputs", [])]
    texts = [o.get("text", "") for o in outputs]
    tables = [o.get("data", {}).get("text/markdown", "") for o in outputs]
    return "".join("".join(t) for t in texts + tables)


def read_report(out: Path) -> dict:
    "The `metrics.json` of a folder: run and metrics."
    return json.loads((out / "metrics.json").read_text())


def shipped_runs(place: Path, *seeds: int):
    "Runs of the preset quick below a folder; they hold the shipped pendulum, so none is trained."
    from vdsm import VDSM
    from vdsm.lib.checkpoint import save_checkpoint
    from vdsm.training.presets import get_preset, plain
    model, preset = VDSM.from_pretrained("pendulum"), get_preset("pendulum", "quick")
    for seed in seeds:
        about = dict(dataset="pendulum", clips=2000, n_frames=16, seed=seed, retries=0,
                     stage=len(preset.stages), step=preset.stages[-1].steps, seconds=0.,
                     preset=plain(preset), processes=1,
                     parameters=sum(p.numel() for p in model.parameters()))
        folder = place / "data" / "runs" / f"pendulum-quick-{seed}"
        save_checkpoint(folder / "final", model, about)


def kept_metrics() -> dict:
    "What the shipped pendulum reaches on all 700 test clips, kept beside its weights."
    from vdsm.lib.pretrained import pretrained_folder
    return read_report(pretrained_folder() / "pendulum")["metrics"]


def far_from_kept(of: dict, names) -> dict:  # name -> (measured, kept)
    """Figures of a few clips that the kept ones contradict: farther from them than twice the
    interval, which holds for few clips, and than .1 where they are shares of clips or scores
    below 1, a tenth of them otherwise, 15 % where they have no interval."""
    kept, far = kept_metrics(), {}
    for k in names:
        half = max((abs(of[k] - of[f"{k}.{end}"]) for end in ("low", "high")
                    if f"{k}.{end}" in of), default=0)
        known = k.startswith(("pixels", "swap_error", "rollout"))
        share = .1 if half else .15
        if abs(of[k] - kept[k]) > max(2*half, share*abs(kept[k]) if known else .1):
            far[k] = of[k], kept[k]
    return far


def check_pictures(out: Path, names):
    "Each picture was written, and is not empty."
    for name in names:
        assert (out / name).stat().st_size > 1000, name


@pytest.fixture(scope="session")
def chromium():
    "Where Chromium is."
    if not CHROMIUM: raise Missing(NO_CHROMIUM)
    return CHROMIUM


def missing(error: BaseException) -> str | None:
    "What a test that failed would have needed, if that is all that is wrong."
    if isinstance(error, Missing): return str(error)
    name = getattr(error, "ename", type(error).__name__)             # papermill says a notebook's
    said = NO_DATA.search(getattr(error, "evalue", str(error)))
    return said[0].strip() if said and name == "FileNotFoundError" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    "Outside CI, a test that fails for what this machine lacks is skipped."
    report = yield
    if report.failed and not os.environ.get("CI") and (what := missing(call.excinfo.value)):
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Missing: {what}")
    return report


def pytest_terminal_summary(terminalreporter):
    "Say what was missing, and for how many tests."
    counts = {}
    for report in terminalreporter.stats.get("skipped", []):
        what = report.longrepr[2]
        if what.startswith("Missing: "): counts[what[9:]] = counts.get(what[9:], 0) + 1
    for what, n in counts.items():
        terminalreporter.write_line(f"{n} test{'s' * (n > 1)} not run: {what}", yellow=True)


def pytest_collection_modifyitems(items):
    "Notebooks come last: they are short, so that side by side no process ends long before another."
    items.sort(key=lambda item: "test_notebooks.py" in item.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    "With xdist: the tests of a file share a process and its fixtures; notebooks share nothing."
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return nodeid if "test_notebooks.py" in nodeid else super()._split_scope(nodeid)
    return Scheduler(config, log)
