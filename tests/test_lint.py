"ruff finds nothing; what it reads and asks for is in ruff.toml."
import subprocess, sys
import pytest
from sync import ROOT

RUFF = [sys.executable, "-m", "ruff", "check", "--no-cache"]


def test_nothing_to_complain_about():
    done = subprocess.run(
        [*RUFF, "--output-format", "concise"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["bad.py", "bad.ipynb"])
def test_a_long_line_and_an_import_that_is_not_used_are_found(name, tmp_path):
    code = "import os\\nx = 1  # " + 100 * "-"
    cell = '{"cells": [{"cell_type": "code", "id": "it", "metadata": {}, "outputs": [], '
    cell += '"source": "%s", "execution_count": null}], "metadata": {}, '
    cell += '"nbformat": 4, "nbformat_minor": 5}'
    (tmp_path / name).write_text(cell % code if name == "bad.ipynb" else code.replace("\\n", "\n"))
    words = [*RUFF, "--config", ROOT / "ruff.toml", "--output-format", "concise", tmp_path]
    said = subprocess.run(words, capture_output=True, text=True).stdout
    assert "E501" in said and "F401" in said


def test_the_hooks_of_pre_commit_are_the_commands_of_this_environment():
    import yaml
    from pathlib import Path
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    names = [Path(hook["entry"].split()[0]).name for hook in hooks]
    assert names == ["nbdev_clean", "nbdev_export", "ruff"]
    assert all((Path(sys.executable).parent / name).exists() for name in names)
