"""Write out what the notebooks show: README.md from nbs/index.ipynb and RESULTS.md from
nbs/results.ipynb, with tables computed from figures/evidence/*/metrics.json, and in nbs/8_figures/
the outputs of the last run with the default parameters (a default that is empty has to be given),
or for the notebooks of TABLES, whose runs take hours, the tables that the evidence gives now.
`python tests/sync.py` writes all of it; test_sync.py compares. `python tests/sync.py pendulum`
keeps the results of this run as evidence: it copies figures/<name>/metrics.json, and the picture
that RESULTS.md shows, to figures/evidence/<name>/."""
import ast, base64, contextlib, io, json, os, re, shutil, sys, tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
import nbformat, papermill, yaml
from conftest import CHROMIUM
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
PAGES = {"README.md": NBS / "index.ipynb", "RESULTS.md": NBS / "results.ipynb"}
TABLES = dict.fromkeys(["table1", "table2", "swap_benchmark"], "pendulum")  # notebook -> data set
HIDDEN, ECHO_OFF = "#| hide\n", "#| echo: false\n"    # code and output; code only
PLAIN = "<IPython.core.display.Markdown object>"
LINK = re.compile(r"(\]\()(?!https?:|#)([^)\s]+)(\))")


def run_cell(source: str, scope: dict):
    "Run a cell in `scope`; the value of its last line, if that is an expression."
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), scope)
    if last is not None: return eval(compile(ast.Expression(last.value), "<cell>", "eval"), scope)


def tables(notebook) -> list:
    "The cells of a page that compute tables, each with the Markdown that the evidence gives now."
    scope, found = {}, []
    with contextlib.chdir(ROOT):
        for cell in notebook.cells:
            if cell.cell_type != "code" or not cell.source.startswith((HIDDEN, ECHO_OFF)): continue
            value = run_cell(cell.source, scope)
            if cell.source.startswith(ECHO_OFF): found.append((cell, value.data))
    return found


def fill_tables(page: Path):
    "Write the tables that the evidence gives now into the notebook of a page."
    notebook = nbformat.read(page, as_version=4)
    for cell, text in tables(notebook):
        data = {"text/markdown": text, "text/plain": PLAIN}
        cell.outputs = [nbformat.v4.new_output("execute_result", data)]
    page.write_text(nbformat.writes(notebook) + "\n")


def shown_tables(notebook, name: str) -> list:
    "The code cells of a notebook of TABLES, each with the outputs that the evidence gives now."
    report = json.loads((ROOT / "figures/evidence" / name / "metrics.json").read_text())
    run, scope, found = report["run"], {}, []
    judge = SimpleNamespace(metadata=run["judge"], classes=run["judge"]["train"]["classes"])

    def measure(runs, *args, **kwargs):
        runs.record, runs.n_clips = run, run["n_clips"]
        return report["metrics"]
    with (patch("vdsm.evaluate.judge.get_judge", lambda *args, **kwargs: judge),
          patch("vdsm.lib.figure_run.SeedRuns.measure", measure),
          tempfile.TemporaryDirectory() as out, contextlib.chdir(ROOT)):
        for cell in (c for c in notebook.cells if c.cell_type == "code"):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                value = run_cell(cell.source, scope)
            if "parameters" in cell.metadata.get("tags", []):
                seeds = ",".join(map(str, run["seeds"]))
                scope |= dict(out=out, dataset=run["dataset"], seeds=seeds)
            found.append((cell, printed.getvalue(), getattr(value, "data", "")))
    return found


def show_tables():
    "Write the tables that the evidence gives now into the notebooks of TABLES."
    for name, dataset in TABLES.items():
        file = NBS / "8_figures" / f"{name}.ipynb"
        notebook = nbformat.read(file, as_version=4)
        for cell, printed, table in shown_tables(notebook, f"{name}_{dataset}"):
            shown = {"text/markdown": table, "text/plain": PLAIN}
            cell.outputs = [nbformat.v4.new_output("stream", text=printed)]*bool(printed)
            if table: cell.outputs.append(nbformat.v4.new_output("execute_result", shown))
        file.write_text(nbformat.writes(notebook) + "\n")


def from_root(text: str) -> str:
    "Links that start at the folder of the notebooks, started at the root of the repository."
    def rebased(match):
        path, *anchor = match[2].split("#")
        path = os.path.relpath(NBS / path, ROOT).replace(os.sep, "/") + "/" * path.endswith("/")
        return match[1] + "#".join([path, *anchor]) + match[3]
    return LINK.sub(rebased, text)


def pages() -> dict[str, str]:
    "The Markdown of each page, by nbdev's own processing and nbconvert."
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import TagRemovePreprocessor
    from nbdev.serve import proc_nbs
    hide = TagRemovePreprocessor(remove_input_tags={"no-source"}, enabled=True)
    exporter = MarkdownExporter()
    exporter.register_preprocessor(hide, enabled=True)
    with tempfile.TemporaryDirectory() as tmp, contextlib.chdir(tmp):
        copy = Path(tmp) / "nbs"
        copy.mkdir()
        shutil.copy(ROOT / "settings.ini", tmp)
        for page in PAGES.values(): shutil.copy(page, copy)
        done = Path(proc_nbs(str(copy), n_workers=0, force=True))
        return {name: markdown(done / page.name, exporter) for name, page in PAGES.items()}


def markdown(file: Path, exporter) -> str:
    "A notebook that nbdev has processed, as Markdown."
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.removeprefix("#| eval: false\n")
        if ECHO_OFF.strip() in cell.source: cell.metadata["tags"] = ["no-source"]
    text, _ = exporter.from_notebook_node(notebook)
    head = re.match(r"\A---\n(.*?)\n---\n", text, flags=re.S)    # nbdev's front matter
    if head:
        about = yaml.safe_load(head[1])
        text = f"# {about['title']}\n\n> {about['description']}\n\n" + text[head.end():]
    return from_root(re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")


def code_of(notebook) -> dict[str, str]:
    "The code of a notebook by the name of the cell, without what papermill put in."
    return {c.id: c.source for c in notebook.cells if c.cell_type == "code"
            and "injected-parameters" not in c.metadata.get("tags", [])}


def run_of(file: Path):
    """A finished papermill run of these cells, if there is one: with the default parameters, but
    over any seeds, since a table is kept over several."""
    parameters = papermill.inspect_notebook(str(file))
    defaults = {k: ast.literal_eval(p["default"]) for k, p in parameters.items()}
    if defaults.get("dataset") == "": defaults["dataset"] = "sprites" # frames_alone takes what is
    out = f"{file.stem}_{defaults['dataset']}" if "dataset" in defaults else file.stem
    copy = ROOT / "figures" / out / file.name
    if not copy.exists(): return None
    run, notebook = (nbformat.read(f, as_version=4) for f in (copy, file))
    about = run.metadata.get("papermill", {})
    given = {k: v for k, v in about.get("parameters", {}).items() if k != "seeds"}
    as_default = all(defaults.get(k, v) in ("", v) for k, v in given.items())
    whole = about.get("exception") is None and code_of(run) == code_of(notebook)
    return run if as_default and whole else None


def as_png(svg: str) -> str:
    "A drawing as PNG in base64: JupyterLab shows the SVG of a notebook only once it is trusted."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(width=1600, height=1200))
        page.set_content(svg)
        png = page.locator("svg").first.screenshot()
        browser.close()
    return base64.b64encode(png).decode()


def lighter(output):
    """An output as it is kept: pictures in a palette, plots as pictures, drawings with a picture
    beside them; not those that are long."""
    data = output.get("data", {})
    if output.get("name") == "stderr" or str(ROOT) in str(output): return None
    drawing = {k: v for k, v in data.items() if k == "image/svg+xml"}
    if drawing and CHROMIUM: data["image/png"] = as_png("".join(*drawing.values()))
    if "image/png" in data:
        picture, out = (
            Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"),
            io.BytesIO(),
        )
        plot = "application/vnd.plotly.v1+json" in data
        if plot and picture.height > 2*picture.width: return None
        if plot and picture.width > 900:
            picture = picture.resize(
                (900, round(900 * picture.height / picture.width)), Image.LANCZOS
            )
        picture.quantize(256).save(out, "png", optimize=True)
        output.data = {
            "image/png": base64.b64encode(out.getvalue()).decode(),
            "text/plain": data.get("text/plain", ""),
        } | drawing
    if data: output.metadata = {}
    if "execution_count" in output: output.execution_count = None
    return output


def show_figures():
    "Keep in nbs/8_figures/ what the runs of today showed."
    for file in sorted((ROOT / "nbs" / "8_figures").glob("*.ipynb")):
        if file.stem in TABLES or (run := run_of(file)) is None: continue
        notebook, shown = (
            nbformat.read(file, as_version=4),
            {c.id: c.outputs for c in run.cells if c.cell_type == "code"},
        )
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [o for o in map(lighter, shown[cell.id]) if o is not None]
        file.write_text(nbformat.writes(notebook) + "\n")


def results_below(figures: Path, name: str) -> list[str]:
    "The folders of a comparison that hold results, one for each method."
    return [f"{name}/{f.parent.name}" for f in sorted((figures / name).glob("*/metrics.json"))]


def keep_evidence(names: list[str]) -> list[Path]:
    "Copy what runs measured to where it is committed, with the picture that RESULTS.md shows."
    figures, kept = ROOT / "figures", []
    for name in names:
        if not results_below(figures, name) and not (figures / name / "metrics.json").exists():
            raise FileNotFoundError(f"no figures/{name}/metrics.json: run its notebook first, for "
                                    "instance with `python -m vdsm reproduce`.")
    for name in [one for n in names for one in (n, *results_below(figures, n))]:
        for file in ("metrics.json", "swap.png"):
            if not (figures / name / file).exists(): continue
            (figures / "evidence" / name).mkdir(parents=True, exist_ok=True)
            kept.append(figures / "evidence" / name / file)
            shutil.copyfile(figures / name / file, kept[-1])
    return kept


if __name__ == "__main__":
    if sys.argv[1:]:
        try: print(*(f.relative_to(ROOT) for f in keep_evidence(sys.argv[1:])), sep="\n")
        except FileNotFoundError as e: sys.exit(str(e))
        sys.exit()
    show_figures()
    show_tables()
    for page in PAGES.values(): fill_tables(page)
    for name, text in pages().items(): (ROOT / name).write_text(text)
