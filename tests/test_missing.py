"What a machine lacks is said in a line and fails in CI only; what is wrong fails everywhere."
import os, shutil, subprocess, sys
import pytest
from sync import ROOT

LACKS = """
from pathlib import Path
from vdsm.data.sequences import data_folder
def test_browser(chromium): pass
def test_data(): data_folder("cats", "the cats", "", {}, "draw some")
def test_fine(): pass
"""
WRONG = """
def test_wrong(): raise FileNotFoundError("another file")
"""


CASES = [(LACKS, "", False), (LACKS, "true", True), (LACKS + WRONG, "", True)]


@pytest.mark.parametrize("tests, ci, fails", CASES)
def test_what_is_missing(tests, ci, fails, tmp_path):
    for name in ("conftest.py", "forks.py"): shutil.copy(ROOT / "tests" / name, tmp_path)
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "empty").mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    nothing = str(tmp_path / "empty")
    env |= dict(CI=ci, PATH=nothing, VDSM_DATA=nothing, PYTHONPATH=str(ROOT))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout
    if ci: return
    browser, data = (line for line in done.stdout.splitlines() if "not run" in line)
    assert browser.startswith("1 test not run: no Chromium: install it (Debian: apt-get install")
    assert data.startswith("1 test not run: no folder ") and data.endswith("to download the cats.")
