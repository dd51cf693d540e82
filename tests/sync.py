"""What the notebooks say, written out: the tables of nbs/index.ipynb from figures/*/metrics.json, README.md from nbs/index.ipynb. `python tests/sync.py` writes both; test_sync.py compares."""
import contextlib, os, re, shutil, tempfile
from pathlib import Path
import nbformat, yaml

ECHO_OFF = "#| echo: false"
ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT / "nbs" / "index.ipynb"


def tables(notebook) -> list:
    "Cells of the index that show what was measured, each with the Markdown that the figures give now."
    scope, found = {}, []
    with contextlib.chdir(ROOT):
        for cell in notebook.cells:
            if cell.cell_type != "code" or not cell.source.startswith(ECHO_OFF): continue
            lines, last = cell.source.rsplit("\n", 1)
            exec(lines, scope)
            found.append((cell, eval(last, scope).data))
    return found


def fill_tables():
    "Write what the figures give now into the index."
    notebook = nbformat.read(INDEX, as_version=4)
    for cell, text in tables(notebook): cell.outputs = [nbformat.v4.new_output("execute_result", {"text/markdown": text, "text/plain": "<IPython.core.display.Markdown object>"})]
    INDEX.write_text(nbformat.writes(notebook) + "\n")


def readme() -> str:
    "README.md as nbs/index.ipynb has it, by nbdev's own processing and nbconvert."
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import TagRemovePreprocessor
    from nbdev.serve import proc_nbs
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp) / "project"
        copy.mkdir()
        shutil.copy(ROOT / "settings.ini", copy)
        (copy / "nbs").mkdir()
        shutil.copy(ROOT / "nbs" / "index.ipynb", copy / "nbs")
        here = os.getcwd()
        os.chdir(copy)
        try:
            done = Path(proc_nbs(str(copy / "nbs"), n_workers=0, force=True))
            notebook = nbformat.read(done / "index.ipynb", as_version=4)
            for cell in notebook.cells:
                cell.source = cell.source.removeprefix("#| eval: false\n")
                if ECHO_OFF in cell.source: cell.metadata["tags"] = ["no-source"]
            hide = TagRemovePreprocessor(remove_input_tags={"no-source"}, enabled=True)
            exporter = MarkdownExporter()
            exporter.register_preprocessor(hide, enabled=True)
            text, _ = exporter.from_notebook_node(notebook)
        finally:
            os.chdir(here)
    head = re.match(r"\A---\n(.*?)\n---\n", text, flags=re.S)          # nbdev moves title and summary into front matter
    if head:
        about = yaml.safe_load(head[1])
        text = f"# {about['title']}\n\n> {about['description']}\n\n" + text[head.end():]
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    fill_tables()
    (ROOT / "README.md").write_text(readme())
