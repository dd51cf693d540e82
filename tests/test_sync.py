"Modules, README and RESULTS are what the notebooks say, and notebooks are fit to read."

import base64, io, json, re, shutil, subprocess, sys
from pathlib import Path
import nbformat, papermill, pytest, sync
from PIL import Image
from sync import PAGES, ROOT, tables

NOTEBOOKS = sorted(
    p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts
)


def test_modules_are_what_the_notebooks_export(tmp_path):
    copy = tmp_path / "project"
    copy.mkdir()
    for name in ("settings.ini", "setup.py", "pyproject.toml"): shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "nbs", copy / "nbs")
    (copy / "vdsm").mkdir()
    (copy / "vdsm" / "latents").mkdir()
    for package in ("vdsm", "vdsm/latents"): # written by hand; nbdev keeps the version up to date
        shutil.copy(ROOT / package / "__init__.py", copy / package)
    code = "import nbdev; nbdev.nbdev_export()"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    exported = {p.relative_to(copy): p.read_text() for p in (copy / "vdsm").rglob("*.py")}
    committed = {p.relative_to(ROOT): p.read_text() for p in (ROOT / "vdsm").rglob("*.py")}
    differ = [
        str(p) for p in exported.keys() | committed.keys() if exported.get(p) != committed.get(p)
    ]
    assert not differ, f"{differ} are not what the notebooks export; run `make notebooks`"


@pytest.fixture(scope="module")
def written(): return sync.pages()


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_what_their_notebooks_say(written, name):
    text = (ROOT / name).read_text()
    assert text == written[name], (
        f"{name} is not what {PAGES[name].name} says; run `make notebooks`"
    )


@pytest.mark.parametrize("name", PAGES)
def test_pages_have_every_section_of_their_notebooks(name):
    cells = json.loads(PAGES[name].read_text())["cells"]
    lines = [line for c in cells if c["cell_type"] == "markdown"
             for line in "".join(c["source"]).splitlines()]
    titles, text = [line for line in lines if line.startswith("## ")], (ROOT / name).read_text()
    assert len(titles) > 3 and not [t for t in titles if t not in text]


def test_the_readme_is_short_and_begins_with_a_moving_picture():
    text = (ROOT / "README.md").read_text()
    first = re.search(r"!\[[^]]+\]\(([^)]+)\)", text)[1]
    picture = ROOT / first
    assert len(text.encode()) < 6500
    assert first.endswith(".gif") and 100_000 < picture.stat().st_size < 1_500_000
    assert "CC BY-SA 3.0" in text[text.index(first):].split("\n\n")[1]
    assert "## Two commands" in text and "step_timing" not in text


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_pages_lead_somewhere(name):
    text = (ROOT / name).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    for link in links:
        file, _, anchor = link.partition("#")
        assert (ROOT / (file or name)).exists(), link
        if anchor: assert anchor in anchors((ROOT / (file or name)).read_text()), link
    assert name == "CHANGELOG.md" or len(links) >= 4
    assert "vdsm.github.io" not in text  # nbdev links names in backticks to a site of its own


def anchors(text):
    "The names that the titles of a page have on the web."
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize("name, n", {"README.md": 2, "RESULTS.md": 21}.items())
def test_tables_of_the_pages_are_the_measured_ones(name, n):
    found = tables(nbformat.read(PAGES[name], as_version=4))
    assert len(found) == n
    for cell, now in found:
        shown = cell.outputs[0].data["text/markdown"]
        assert now == shown, "figures/evidence/*/metrics.json changed; run `make notebooks`"


def test_only_a_finished_run_of_these_cells_with_default_parameters_is_shown(tmp_path, monkeypatch):
    code, file = nbformat.v4.new_code_cell, tmp_path / "nbs" / "8_figures" / "one.ipynb"
    file.parent.mkdir(parents=True)
    picture = "import sys; print('shown'); print('noise', file=sys.stderr)\n"
    picture += "from PIL import Image; Image.new('RGB', (5, 4))"
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[
                code("seed = 0\nfolder = ''", metadata=dict(tags=["parameters"])),
                code(picture),
            ],
            metadata=dict(
                kernelspec=dict(name="python3", display_name="python3", language="python")
            ),
        ),
        file,
    )
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    run = lambda **given: papermill.execute_notebook(
        file, tmp_path / "figures" / "one" / "one.ipynb", given, progress_bar=False
    )
    (tmp_path / "figures" / "one").mkdir(parents=True)
    shown = lambda: [
        sorted(o.get("data", o)) for o in nbformat.read(file, as_version=4).cells[1].outputs
    ]
    run(seed=1); sync.show_figures(); assert shown() == []
    run(seed=0, folder="films", preset="quick")
    sync.show_figures()
    assert shown() == [["name", "output_type", "text"], ["image/png", "text/plain"]]
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[1].source, notebook.cells[1].outputs = "1 + 1", []
    nbformat.write(notebook, file); sync.show_figures(); assert shown() == []


def test_a_drawing_is_kept_with_a_picture_beside_it(chromium):
    square = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" '
    square += 'height="30" fill="#ff0000"/></svg>'
    kept = sync.lighter(nbformat.v4.new_output("display_data", {"image/svg+xml": square})).data
    assert kept.keys() == {"image/svg+xml", "image/png", "text/plain"}
    picture = Image.open(io.BytesIO(base64.b64decode(kept["image/png"]))).convert("RGB")
    assert picture.size == (40, 30) and picture.getpixel((20, 15)) == (255, 0, 0)


def test_every_drawing_has_a_picture_beside_it():
    outputs = [
        o.get("data", {})
        for file in NOTEBOOKS
        for cell in json.loads(file.read_text())["cells"]
        for o in cell.get("outputs", [])
    ]
    drawings = [data for data in outputs if "image/svg+xml" in data]
    assert len(drawings) >= 3
    assert all("image/png" in data for data in drawings), (
        "JupyterLab shows SVG of trusted notebooks only; `python tests/sync.py` adds a picture"
    )


def test_evidence_is_kept_on_request_only(tmp_path, monkeypatch):
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    run, kept = tmp_path / "figures" / "one", tmp_path / "figures" / "evidence" / "one"
    run.mkdir(parents=True)
    for name in ("metrics.json", "swap.png", "rollout.png", "one.ipynb"):
        (run / name).write_text(name)
    with pytest.raises(
        FileNotFoundError, match="no figures/two/metrics.json: run its notebook first"
    ):
        sync.keep_evidence(["one", "two"])
    assert not kept.exists()
    sync.keep_evidence(["one"])
    assert (
        sorted(f.name for f in kept.iterdir()) == ["metrics.json", "swap.png"]
        and (kept / "swap.png").read_text() == "swap.png"
    )


def test_what_runs_write_is_ignored_and_evidence_is_not():
    ignored = lambda name: (
        subprocess.run(["git", "check-ignore", "-q", f"figures/{name}"], cwd=ROOT).returncode == 0
    )
    assert (
        ignored("pendulum/metrics.json")
        and ignored("pendulum/swap.png")
        and ignored("explored/mine.gif")
        and ignored("your_videos/clips.png")
    )
    assert not ignored("evidence/pendulum/metrics.json") and not ignored(
        "evidence/pendulum/swap.png"
    )


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT)))
def test_notebook_is_fit_to_read(file):
    text = file.read_text()
    assert len(text) < 1_500_000, "too heavy to open on the web; keep its pictures small"
    cells = json.loads(text)["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert not any(o["output_type"] == "error" for o in outputs), "a saved cell ends in an error"
    assert "Warning: " not in json.dumps(outputs), "a warning in its saved output"
    assert str(Path.home()) + "/" not in text and str(ROOT) + "/" not in text, (
        "an absolute path of one machine"
    )


@pytest.mark.parametrize("name, dataset", sync.TABLES.items())
def test_tables_of_figures_are_what_the_evidence_gives(name, dataset):
    notebook = nbformat.read(ROOT / "nbs" / "8_figures" / f"{name}.ipynb", as_version=4)
    saved = [[o.get("text") or o.data["text/markdown"] for o in c.outputs]
             for c in notebook.cells if c.cell_type == "code"]
    cells = sync.shown_tables(notebook, f"{name}_{dataset}")
    given = [[text for text in texts if text] for _, *texts in cells]
    assert saved == given, f"{name}.ipynb is older than the evidence; run `make notebooks`"
    assert sum("| --- |" in text for texts in given for text in texts) >= 2
