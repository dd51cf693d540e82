"The modules are what the notebooks export, the README is what index.ipynb says, and notebooks are fit to read."
import json, os, re, shutil, subprocess, sys
from pathlib import Path
import nbformat, papermill, pytest, sync
from sync import INDEX, ROOT, readme, tables

NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def test_modules_are_what_the_notebooks_export(tmp_path):
    copy = tmp_path / "project"
    copy.mkdir()
    for name in ("settings.ini", "setup.py", "pyproject.toml"): shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "nbs", copy / "nbs")
    (copy / "vdsm").mkdir()
    shutil.copy(ROOT / "vdsm" / "__init__.py", copy / "vdsm")                                # written by hand; nbdev keeps its version up to date
    code = "import nbdev; nbdev.nbdev_export()"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    exported = {p.relative_to(copy): p.read_text() for p in (copy / "vdsm").rglob("*.py")}
    committed = {p.relative_to(ROOT): p.read_text() for p in (ROOT / "vdsm").rglob("*.py")}
    differ = [str(p) for p in exported.keys() | committed.keys() if exported.get(p) != committed.get(p)]
    assert not differ, f"{differ} are not what the notebooks export; run `make notebooks`"


def test_readme_is_index():
    assert (ROOT / "README.md").read_text() == readme(), "README.md is not what nbs/index.ipynb says; run `make notebooks`"


def test_readme_has_every_section_of_the_index():
    cells = json.loads((ROOT / "nbs" / "index.ipynb").read_text())["cells"]
    titles = [line for c in cells if c["cell_type"] == "markdown" for line in "".join(c["source"]).splitlines() if line.startswith("## ")]
    text = (ROOT / "README.md").read_text()
    assert "## Two commands" in titles and not [t for t in titles if t not in text]


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    absent = [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()]
    assert len(links) > 30 and not absent and not [link for link in links if "vdsm.github.io" in link], absent     # nbdev links names in backticks to a site that is not there


def test_readme_tables_are_the_measured_ones():
    found = tables(nbformat.read(INDEX, as_version=4))
    assert len(found) == 7
    for cell, now in found: assert now == cell.outputs[0].data["text/markdown"], "figures/evidence/*/metrics.json changed; run `make notebooks`"


def test_only_a_finished_run_of_these_cells_with_default_parameters_is_shown(tmp_path, monkeypatch):
    code, file = nbformat.v4.new_code_cell, tmp_path / "nbs" / "8_figures" / "one.ipynb"
    file.parent.mkdir(parents=True)
    picture = "import sys; print('shown'); print('noise', file=sys.stderr)\nfrom PIL import Image; Image.new('RGB', (5, 4))"
    nbformat.write(nbformat.v4.new_notebook(cells=[code("seed = 0\nfolder = ''", metadata=dict(tags=["parameters"])), code(picture)], metadata=dict(kernelspec=dict(name="python3", display_name="python3", language="python"))), file)
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    run = lambda **given: papermill.execute_notebook(file, tmp_path / "figures" / "one" / "one.ipynb", given, progress_bar=False)
    (tmp_path / "figures" / "one").mkdir(parents=True)
    shown = lambda: [sorted(o.get("data", o)) for o in nbformat.read(file, as_version=4).cells[1].outputs]
    run(seed=1); sync.show_figures(); assert shown() == []
    run(seed=0, folder="films", preset="quick"); sync.show_figures(); assert shown() == [["name", "output_type", "text"], ["image/png", "text/plain"]]
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[1].source, notebook.cells[1].outputs = "1 + 1", []
    nbformat.write(notebook, file); sync.show_figures(); assert shown() == []


def test_evidence_is_kept_on_request_only(tmp_path, monkeypatch):
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    run, kept = tmp_path / "figures" / "one", tmp_path / "figures" / "evidence" / "one"
    run.mkdir(parents=True)
    for name in ("metrics.json", "swap.png", "rollout.png", "one.ipynb"): (run / name).write_text(name)
    with pytest.raises(FileNotFoundError, match="no figures/two/metrics.json: run its notebook first"): sync.keep_evidence(["one", "two"])
    assert not kept.exists()
    sync.keep_evidence(["one"])
    assert sorted(f.name for f in kept.iterdir()) == ["metrics.json", "swap.png"] and (kept / "swap.png").read_text() == "swap.png"


def test_what_runs_write_is_ignored_and_evidence_is_not():
    ignored = lambda name: subprocess.run(["git", "check-ignore", "-q", f"figures/{name}"], cwd=ROOT).returncode == 0
    assert ignored("pendulum/metrics.json") and ignored("pendulum/swap.png") and ignored("explored/mine.gif") and ignored("your_videos/clips.png")
    assert not ignored("evidence/pendulum/metrics.json") and not ignored("evidence/pendulum/swap.png")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT)))
def test_notebook_is_fit_to_read(file):
    text = file.read_text()
    assert len(text) < 1_500_000, "too heavy to open on the web; keep its pictures small"
    cells = json.loads(text)["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert not any(o["output_type"] == "error" for o in outputs), "a saved cell ends in an error"
    assert "Warning: " not in json.dumps(outputs), "a warning in its saved output"
    assert str(Path.home()) + "/" not in text and str(ROOT) + "/" not in text, "an absolute path of one machine"
