"""What a test needs and this machine lacks (Chromium, a data set) is said in one line at the end, and fails nothing but in CI."""
import os, re, shutil, sys
from pathlib import Path
import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")               # tests run side by side

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge") if (p := shutil.which(name))), None)
NO_CHROMIUM = "no Chromium: install it (Debian: apt-get install chromium; elsewhere Chrome will do)"
NO_DATA = re.compile(r"[^:\n]*\bset VDSM_DATA to the folder that holds\b.*")   # as `data_folder` says it
MISSING = pytest.StashKey[str]()


class Missing(Exception):
    "This machine lacks something that a test needs."


@pytest.fixture(scope="session")
def chromium():
    "Where Chromium is."
    if not CHROMIUM: raise Missing(NO_CHROMIUM)
    return CHROMIUM


def missing(error: BaseException) -> str | None:
    "What a test that failed would have needed, if that is all that is wrong."
    if isinstance(error, Missing): return str(error)
    if isinstance(error, FileNotFoundError) or "FileNotFoundError" in (getattr(error, "ename", ""), str(error).split(":")[0]):
        said = NO_DATA.search(getattr(error, "evalue", str(error)))
        return said and said[0].strip()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and not os.environ.get("CI") and (what := missing(call.excinfo.value)):
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Missing: {what}")
    return report


def pytest_terminal_summary(terminalreporter):
    counts = {}
    for report in terminalreporter.stats.get("skipped", []):
        what = report.longrepr[2]
        if what.startswith("Missing: "): counts[what[9:]] = counts.get(what[9:], 0) + 1
    for what, n in counts.items(): terminalreporter.write_line(f"{n} test{'s' * (n > 1)} not run: {what}", yellow=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    "With xdist: the tests of a file share a process and its fixtures; notebooks share nothing."
    for item in items:
        if item.path.name != "test_notebooks.py": item.add_marker(pytest.mark.xdist_group(item.path.name))
