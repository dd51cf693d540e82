"""Every notebook runs from top to bottom, as with nbdev_test; those of nbs/8_figures are
papermill's."""
import subprocess, sys
import pytest
from conftest import NO_DATA, Missing
from sync import ROOT

ELSEWHERE = "8_figures", ".ipynb_checkpoints"
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if p.parent.name not in ELSEWHERE)
RUN = "import sys; from nbdev.test import nbdev_test; nbdev_test(sys.argv[1], n_workers=0)"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT / "nbs")))
def test_notebook(file):
    words = [sys.executable, "-c", RUN, str(file)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0: return
    traceback = done.stderr.split("nbdev Tests Failed")[0].rstrip()
    kind, _, said = traceback.rpartition("\n")[2].partition(": ")
    if kind == "FileNotFoundError" and NO_DATA.search(said): raise Missing(said)
    pytest.fail(done.stderr, pytrace=False)
