"""Notebooks keep enough pictures, and nothing that does not belong in a repository. `make pictures`
replaces them, and leaves a notebook that fails as it was."""
import base64, io, json
import nbformat, pytest
import counts, pictures
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from sync import NBS

NOTEBOOKS = sorted(f for f in NBS.rglob("*.ipynb") if ".ipynb_checkpoints" not in f.parts)
KERNEL = dict(kernelspec=dict(name="python3", display_name="python3", language="python"))
DRAW = """from IPython.display import display
from PIL import Image
import numpy as np
display(Image.fromarray(np.random.randint(0, 255, (64, 64, 3), dtype=np.uint8)))"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "A project of three notebooks, whose pictures are those of an older model."
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    (tmp_path / "settings.ini").write_text("")
    monkeypatch.chdir(tmp_path)
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "png")
    old = {"image/png": base64.b64encode(out.getvalue()).decode()}
    def write(name, code, shown=True):
        outputs = [new_output("display_data", old)] if shown else []
        cells = [new_code_cell(code, outputs=outputs), new_code_cell("#| eval: false\n1/0")]
        file = tmp_path / "nbs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=cells, metadata=KERNEL), file)
        return file
    write.old = old["image/png"]
    return write


def saved(file):
    "A notebook as it is saved."
    return nbformat.read(file, as_version=4)


def test_enough_pictures():
    "Two in a notebook of the spine, one where something is evaluated; Sprites with its licence."
    assert not counts.few_pictures() and not counts.unlicensed_pictures()


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: str(f.relative_to(NBS)))
def test_saved_outputs(file):
    ids = [cell["id"] for cell in json.loads(file.read_text())["cells"]]
    assert len(ids) == len(set(ids))
    assert not pictures.problem(saved(file))


def picture(file):
    return json.loads(file.read_text())["cells"][0]["outputs"][0]["data"]["image/png"]


def test_new_pictures(folder, capsys):
    good = folder("1_data/00_one.ipynb", DRAW)
    bad = folder("2_model/00_two.ipynb", "raise ValueError('no such colour')")
    folder("2_model/01_none.ipynb", "1/0", shown=False)                    # keeps no picture
    folder("8_figures/three.ipynb", "1/0")                                 # of `make figures`
    before = bad.read_text()
    assert pictures.main([]) == 1
    assert bad.read_text() == before
    data = base64.b64decode(picture(good).replace("\n", ""))
    assert picture(good) != folder.old and Image.open(io.BytesIO(data)).mode == "P"
    assert (
        "papermill" not in good.read_text()
        and not json.loads(good.read_text())["cells"][0]["execution_count"]
    )
    said = capsys.readouterr().out.splitlines()
    assert "nbs/2_model/00_two.ipynb failed: ValueError: no such colour" in said
    assert said[-1] == "failed: nbs/2_model/00_two.ipynb"
    assert pictures.main(["00_one"]) == 0
    assert pictures.main(["nothing like it"]) == 1


def test_outputs_that_do_not_belong_in_a_repository(folder, tmp_path):
    file = folder("1_data/00_one.ipynb", "import sys; print('careful', file=sys.stderr)")
    assert pictures.run(file) == "a cell writes to stderr"
    file = folder("1_data/00_one.ipynb", f"print({str(tmp_path)!r})")
    assert "holds the path" in pictures.run(file)
    file = folder("1_data/00_one.ipynb", "print('see /home/me/file.txt')")
    assert pictures.run(file) == "an output holds a path, /home/..."
    show = f"from IPython.display import display; display({{{pictures.PLOTLY!r}: {{}}}}, raw=True)"
    file = folder("1_data/00_one.ipynb", show)
    assert pictures.run(file).startswith("a plot has no PNG")
    file = folder("1_data/00_one.ipynb", "print('a'*2_000_000)")
    assert pictures.run(file) == "it has 2.0 MB; the limit is 1.5 MB"
    assert picture(file) == folder.old


def test_what_is_refused_in_a_saved_notebook():
    def said(*found):
        cell = new_code_cell("", outputs=[*found])
        return pictures.problem(new_notebook(cells=[cell]))
    text = lambda words: new_output("stream", name="stdout", text=words)
    assert said(text("nbs/1_data/00_one.ipynb and https://a.org/home/x, 3/usr/4")) == ""
    assert said(new_output("error", ename="ValueError")) == "an output holds a traceback"
    assert said(text("Traceback (most recent call last)")) == "an output holds a traceback"
    assert said(text(r"C:\\Users\\me")).startswith("an output holds a path")
    drawing = new_output("display_data", {"image/svg+xml": "<text>/tmp/x</text>"})
    assert said(drawing).startswith("an output holds a path")


def test_too_few_pictures_are_found(monkeypatch):
    "Counted on four notebooks, of which two lack one."
    drawn = new_output("display_data", {"image/png": ""})
    found = [counts.Cell(NBS / file, "a", "", [drawn]*n) for file, n in (
        ("2_model/00.ipynb", 2), ("2_model/01.ipynb", 1), ("5_evaluate/00.ipynb", 1),
        ("5_evaluate/01.ipynb", 0), ("lib/00.ipynb", 0))]
    monkeypatch.setattr(counts, "cells", lambda: found)
    assert counts.few_pictures() == ["2_model/01.ipynb: 1", "5_evaluate/01.ipynb: 0"]
