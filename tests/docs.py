"""Build the documentation: `python tests/docs.py` (or `make docs`) writes _docs/html from the
notebooks as they are saved, RESULTS, CONTRIBUTING, CHANGELOG and the docstrings, with Jupyter Book.
A link that leads nowhere is an error. The result needs no network: MathJax and plotly.js are copied
from the environment."""

import importlib.util, json, os, re, shutil, subprocess, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
import nbformat, plotly.io, yaml
from counts import modules
from sync import ECHO_OFF, HIDDEN, LINK, NBS, ROOT

OUT = ROOT / "_docs"
PLOTLY, PNG, HTML = "application/vnd.plotly.v1+json", "image/png", "text/html"
MARKDOWN = "text/markdown"
FOLDERS = {  # name without its number -> title
    "data": "Data", "model": "Model", "train": "Training", "latents": "Inference",
    "evaluate": "Evaluation", "view": "Explorer", "compare": "Other models",
    "figures": "Figures and tables", "lib": "Library"}
LOADED = "stylesheet", "preload", "icon", "shortcut icon"        # links whose target a browser gets
PAGES = {"README.md": "nbs/index.ipynb", "RESULTS.md": "nbs/results.ipynb"}
CONFIG = dict(
    title="vdsm",
    author="",
    copyright="",
    logo="",
    only_build_toc_files=True,
    execute=dict(execute_notebooks="off"),
    html=dict(use_issues_button=False, use_repository_button=False, use_edit_page_button=False),
    launch_buttons=dict(binderhub_url="", colab_url="", thebe=False, notebook_interface="classic"),
    sphinx=dict(
        extra_extensions=["sphinx.ext.autodoc"],
        local_extensions=dict(docments=str(Path(__file__).parent)),
        recursive_update=True,
        config=dict(
            html_copy_source=False,
            html_css_files=["docs.css"],
            html_theme_options=dict(navbar_persistent=[], use_download_button=False),
            html_static_path=["_assets"],
            mathjax_path="mathjax/tex-svg-full.js",
            nb_ipywidgets_js={},
            nb_render_markdown_format="myst",
            myst_heading_anchors=3,
            autodoc_member_order="bysource",
            autodoc_typehints="none",
            autodoc_inherit_docstrings=False,
            html_show_search_summary=False,
            html_context=dict(default_mode="auto"),
            suppress_warnings=["myst.header", "misc.highlighting_failure"],
        ),
    ),
)


def from_environment(static: Path):
    "Copy what pages would else fetch. Of _static, Jupyter Book would load all on each page."
    es5 = (
        Path(importlib.util.find_spec("mathjax").submodule_search_locations[0])
        / "static/mathjax/es5"
    )
    plots = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    (static / "mathjax").mkdir(parents=True)
    shutil.copy(es5 / "tex-svg-full.js", static / "mathjax")
    shutil.copy(plots, static)
    shutil.copy(Path(__file__).with_suffix(".css"), static)


def relinked(text: str, here: Path, left_out: set[Path] = frozenset()) -> str:
    "Links of a page: a folder becomes its page; plain text if it has none, or is left out."
    def to_page(match):
        before, (path, _, anchor) = match[1], match[2].partition("#")
        target = Path(os.path.normpath(here / path)).relative_to(ROOT)
        if str(target) in PAGES: target = Path(PAGES[str(target)])
        elif target == Path("nbs"): target = Path("nbs/index.ipynb")
        elif (ROOT / target).is_dir():
            if target.parent.name != "nbs": return "](#)"
            target /= "index.md"
        if ROOT / target in left_out: return "](#)"
        path = os.path.relpath(ROOT / target, here).replace(os.sep, "/")
        return f"{before}{path}{'#' * bool(anchor)}{anchor}{match[3]}"
    return re.sub(r"\[([^]]*)\]\(#\)", r"\1", LINK.sub(to_page, text))


def live(output, script: str = ""):
    "A plot that was saved with its data becomes one that can be zoomed; other outputs stay."
    data = output.get("data", {})
    if PLOTLY not in data: return output
    figure = plotly.io.from_json(json.dumps(data[PLOTLY]), skip_invalid=True)
    plot = plotly.io.to_html(
        figure, include_plotlyjs=False, full_html=False, config=dict(responsive=True)
    )
    return nbformat.v4.new_output("display_data", {HTML: script + plot})


def as_page(file: Path, left_out: set[Path] = frozenset()) -> nbformat.NotebookNode:
    "A notebook as readers see it: without directives and what is hidden, with live plots."
    notebook, kept = nbformat.read(file, as_version=4), []
    up = "../" * len(file.relative_to(ROOT).parent.parts)
    script = f'<script src="{up}_static/plotly.min.js"></script>'   # before the first plot
    for cell in notebook.cells:
        if cell.cell_type == "markdown": cell.source = relinked(cell.source, file.parent, left_out)
        if cell.cell_type == "code":
            if cell.source.startswith((HIDDEN, "#| default_exp", "#|default_exp")): continue
            if cell.source.startswith(ECHO_OFF): cell.metadata["tags"] = ["remove-input"]
            cell.source = "\n".join(x for x in cell.source.split("\n") if not x.startswith("#|"))
            for i, output in enumerate(cell.outputs):
                data = output.get("data", {})
                if PLOTLY in data: cell.outputs[i], script = live(output, script), ""
                elif MARKDOWN in data:
                    text = data[MARKDOWN].replace(" ± ", "\u00a0±\u00a0")
                    data[MARKDOWN] = relinked(text, file.parent, left_out)
            if not cell.source.strip() and not cell.outputs: continue
        kept.append(cell)
    notebook.cells = kept
    notebook.metadata = dict(
        kernelspec=dict(name="python3", display_name="python3", language="python")
    )
    return notebook


def contents(source: Path, notebooks: list[Path], apis: list[str]) -> dict:
    "The table of contents, for which each folder gets a page."
    parts, names = [], sorted({f.parent.name for f in notebooks if f.parent != NBS})
    for name in names:
        title = FOLDERS[name.split("_")[-1]]
        (source / "nbs" / name).mkdir(exist_ok=True)
        (source / "nbs" / name / "index.md").write_text(
            f"# {title}\n\n```{{tableofcontents}}\n```\n"
        )
        files = [f"nbs/{name}/{f.stem}" for f in notebooks if f.parent.name == name]
        parts.append(
            dict(file=f"nbs/{name}/index", title=title, sections=[dict(file=f) for f in files])
        )
    top = [
        f"nbs/{f.stem}" for f in notebooks if f.parent == NBS and f.stem not in ("index", "results")
    ]
    more = [dict(file=name) for name in ("CONTRIBUTING", "CHANGELOG")]
    api = [dict(file=f"api/{m}", title=m.removeprefix("vdsm.")) for m in apis]
    api = dict(file="api/index", sections=api)
    return dict(format="jb-book", root="nbs/index", parts=[
        dict(caption="Notebooks", chapters=[dict(file=f) for f in top] + parts),
        dict(caption="Results", chapters=[dict(file="nbs/results")]),
        dict(caption="Reference", chapters=[api, *more])])


def write_api(folder: Path, apis: list[str]):
    "A page for each module, from its docstrings and the comments of its parameters."
    folder.mkdir()
    (folder / "index.md").write_text("# API\n\n```{tableofcontents}\n```\n")
    for module in apis:
        auto = f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n   :undoc-members:\n```\n"
        title = module.replace("_", r"\_")
        (folder / f"{module}.md").write_text(f"# {title}\n\n{auto}")


def copy_linked(source: Path):
    "Copy the files of this repository that pages link to and that are no pages."
    for page in [*source.rglob("*.md"), *source.rglob("*.ipynb")]:
        links = {link for _, link, _ in LINK.findall(page.read_text()) if len(link) < 200}
        for link in links:
            copy = Path(os.path.normpath(page.parent / link.partition("#")[0]))
            if not copy.is_relative_to(source) or copy.exists(): continue
            if not (file := ROOT / copy.relative_to(source)).is_file(): continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def write_source(source: Path, only: re.Pattern) -> None:
    "What Jupyter Book reads."
    notebooks = [f for f in sorted(NBS.rglob("*.ipynb")) if ".ipynb_checkpoints" not in f.parts]
    chosen = [f for f in notebooks if f.parent == NBS or only.search(f.relative_to(NBS).as_posix())]
    left_out = {*notebooks} - {*chosen}
    left_out |= {f.parent / "index.md" for f in left_out} - {f.parent / "index.md" for f in chosen}
    for file in chosen:
        copy = source / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(as_page(file, left_out), copy)
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        (source / name).write_text(relinked((ROOT / name).read_text(), ROOT, left_out))
    shutil.copytree(ROOT / "figures" / "evidence", source / "figures" / "evidence")
    copy_linked(source)
    from_environment(source / "_assets")
    apis = sorted(m for m, file in modules().items() if file in chosen)
    write_api(source / "api", apis)
    (source / "_toc.yml").write_text(
        yaml.safe_dump(contents(source, chosen, apis), sort_keys=False)
    )
    (source / "_config.yml").write_text(yaml.safe_dump(CONFIG))


class Page(HTMLParser):
    "The links of an HTML page, what it loads, and the anchors that others may link to."
    def __init__(self, file: Path):
        super().__init__()
        self.file, self.links, self.loads, self.anchors = file, set(), set(), {""}
        self.feed(file.read_text(encoding="utf-8"))
    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given.get("id"), given.get("name")}
        if tag == "a": self.links.add(given.get("href") or "")
        elif tag == "link" and given.get("rel") in LOADED: self.loads.add(given["href"])
        elif given.get("src"): self.loads.add(given["src"])


def broken_links(site: Path) -> list[str]:
    "Links to pages, anchors and files that a site lacks, and what it would fetch from elsewhere."
    files = [f for f in sorted(site.rglob("*.html")) if "_static" not in f.parts]  # templates
    pages = {f.resolve(): Page(f) for f in files}
    wrong = []
    for page in pages.values():
        here, own = page.file.relative_to(site), page.file.resolve()
        for link in sorted(page.links | page.loads):
            to = urlsplit(link)
            if to.scheme or to.netloc:
                if link in page.loads and to.scheme != "data": wrong.append(f"{here} loads {link}")
                continue
            file = (own.parent / unquote(to.path)).resolve() if to.path else own
            known = pages[file].anchors if file in pages else {""}
            if not file.is_file() or unquote(to.fragment) not in known:
                wrong.append(f"{here} links to {link}")
    return wrong


def without_thebe(html: Path):
    "Jupyter Book adds the scripts of a service for live code, twice; nothing here uses them."
    found = (
        r"<script[^>]*>const THEBE_JS_URL.*?</script>|<script[^>]*sphinx-thebe\.js[^>]*></script>"
    )
    html.write_text(re.sub(found, "", html.read_text(), flags=re.S))


def build(out: Path = OUT, only: str = "") -> Path:
    "Build the site, or of the numbered folders and lib only notebooks that match; its first page."
    source, done = out / "source", out / "html"
    for folder in (source, done): shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    write_source(source, re.compile(only))
    start = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    words = [
        "-c",
        start,
        "build",
        "--keep-going",
        "-W",
        "--path-output",
        str(out / "work"),
        str(source),
    ]
    env = os.environ | dict(PYTHONPATH=os.pathsep.join([str(ROOT), str(Path(__file__).parent)]))
    ran = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
    said = re.sub(r"\x1b\[\d*(;\d+)*m", "", ran.stderr)
    problems = [line for line in said.splitlines() if re.search(r"\b(WARNING|ERROR)\b", line)]
    if ran.returncode: raise RuntimeError("\n".join(problems) or said[-3000:] + ran.stdout[-3000:])
    shutil.move(out / "work" / "_build" / "html", done)
    for html in done.rglob("*.html"): without_thebe(html)
    shutil.rmtree(out / "work")
    if wrong := broken_links(done): raise RuntimeError("\n".join(wrong))
    return done / "index.html"


if __name__ == "__main__":
    try: print(build(only=" ".join(sys.argv[1:])).relative_to(ROOT))
    except RuntimeError as e: sys.exit(str(e))
