"Every notebook that exports code runs from top to bottom, as `nbdev_test` runs it; those of nbs/figures are papermill's."
import subprocess, sys
import pytest
from conftest import NO_CHROMIUM, NO_DATA, CHROMIUM, Missing
from sync import ROOT

NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if p.parent.name not in ("figures", ".ipynb_checkpoints"))
RUN = "import sys; from nbdev.test import nbdev_test; sys.exit(nbdev_test(sys.argv[1], n_workers=0))"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT / "nbs")))
def test_notebook(file):
    done = subprocess.run([sys.executable, "-c", RUN, str(file)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0: return
    *_, last = [line for line in done.stderr.split("nbdev Tests Failed")[0].splitlines() if line.strip()]
    if last.startswith("FileNotFoundError") and (said := NO_DATA.search(last)): raise Missing(said[0].strip())
    pytest.fail(done.stderr, pytrace=False)
