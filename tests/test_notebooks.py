"""Every notebook runs from top to bottom, as with nbdev_test; those of nbs/8_figures are
papermill's."""
import os, re
import pytest
from conftest import NO_DATA, Missing
from counts import SPINE, markdown
from forks import FRESH, PROCESSES
from nbdev.test import nbdev_test
from sync import ROOT

ELSEWHERE = "8_figures", ".ipynb_checkpoints"
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if p.parent.name not in ELSEWHERE)

# These start kernels, several at a time, in threads: they begin with nothing imported.
START_KERNELS = "11_run_notebook", "12_reproduce", "13_figures"


def run(notebook: str, log: str):
    "Run a notebook, and write what it says to a file."
    with open(log, "w") as file:
        for stream in (1, 2): os.dup2(file.fileno(), stream)
    os.chdir(ROOT)
    nbdev_test(notebook, n_workers=0)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT / "nbs")))
def test_notebook(file, tmp_path):
    processes = FRESH if file.stem in START_KERNELS else PROCESSES
    process = processes.Process(target=run, args=(str(file), str(tmp_path / "log")))
    process.start()
    process.join()
    if process.exitcode == 0: return
    said = (tmp_path / "log").read_text()
    traceback = said.split("nbdev Tests Failed")[0].rstrip()
    kind, _, why = traceback.rpartition("\n")[2].partition(": ")
    if kind == "FileNotFoundError" and NO_DATA.search(why): raise Missing(why)
    pytest.fail(said, pytrace=False)


def test_the_reading_path_names_every_notebook_of_the_spine_once():
    text = markdown(ROOT / "nbs" / "reading_path.ipynb")
    links = re.findall(r"\]\(([^)]+)\)", text)
    for link in links: assert (ROOT / "nbs" / link).exists(), link
    spine = [f"{p.parent.name}/{p.name}" for p in NOTEBOOKS if SPINE.match(p.parent.name)]
    assert sorted(link for link in links if SPINE.match(link)) == spine
    assert len(re.findall(r"^\| \d+\. \[", text, re.M)) == 25   # those that are the paper
