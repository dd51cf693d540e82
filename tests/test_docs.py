"""The documentation builds without a broken link, and opens from disk without network. A part of it
is built here, in the same way as all of it by `make docs`."""
import re
import docs, nbformat, pytest
from sync import NBS, ROOT

SAFE = dict(args=["--no-sandbox", "--disable-gpu"])
PAGES = {  # page -> what must be on it
    "nbs/index.html": "img[src$='.gif']",
    "nbs/results.html": "table",
    "nbs/2_model/04_dynamics.html": "mjx-container[display=true] svg",
    "nbs/3_train/00_annealing.html": ".js-plotly-plot .main-svg",
    "nbs/5_evaluate/00_probes.html": "table",
    "nbs/8_figures/pendulum.html": "img[src$='.gif']",
    "nbs/lib/index.html": "a[href$='03_report.html']",
    "api/vdsm.model.dynamics.html": "dl.field-list",
    "CONTRIBUTING.html": "pre"}
PART = "2_model/04|3_train/00|5_evaluate/00|8_figures/pendulum|lib/03"
LOADED = """() => {
  for (const i of document.querySelectorAll('img[loading=lazy]')) i.loading = 'eager';
  return [...document.images].every(i => i.complete && i.naturalWidth); }"""
LATEX = r"\\[a-zA-Z]+\{|\$[^$\n]*\\[a-zA-Z]"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    "The folder of a part of the documentation."
    return docs.build(tmp_path_factory.mktemp("docs"), PART).parent


@pytest.fixture(scope="module")
def browser(chromium):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, **SAFE)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request):
    "A page without network; what goes wrong on it is kept in `page.wrong`."
    look = dict(viewport=dict(width=1280, height=1000), offline=True)
    page = browser.new_page(color_scheme=getattr(request, "param", "light"), **look)
    page.wrong = []
    page.set_default_timeout(180_000)           # a machine may be busy
    page.on("console", lambda m: page.wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: page.wrong.append(str(e)))
    page.on("requestfailed", lambda r: page.wrong.append(f"{r.url} {r.failure}"))
    page.on("request", lambda r: None if local(r.url) else page.wrong.append(r.url))
    yield page
    page.close()


def local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


def prose(page) -> str:
    "What a page shows beside code."
    shown = "article => [...article.querySelectorAll('p, li, td, th, h1, h2, h3')].filter("
    return page.eval_on_selector("article", shown + "e => !e.closest('pre')).map(e => e.innerText)"
                                 ".join('\\n')")


@pytest.mark.parametrize("name, shows", PAGES.items())
def test_page(site, page, name, shows):
    page.goto((site / name).as_uri())
    page.wait_for_selector(shows, state="attached")
    page.evaluate("window.MathJax?.startup?.promise?.then(() => null)")
    page.wait_for_function(LOADED)
    assert not page.wrong
    assert page.locator("mjx-merror").count() == 0
    assert page.locator(".math:not(:has(mjx-container))").count() == 0
    assert not re.search(LATEX, prose(page))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"


@pytest.mark.parametrize("page, light", [("light", False), ("dark", True)], indirect=["page"])
def test_the_theme_follows_the_system(site, page, light):
    page.goto((site / "nbs/2_model/04_dynamics.html").as_uri())
    page.wait_for_selector("mjx-container svg")
    colours = "e => getComputedStyle(e).color.match(/[0-9]+/g).slice(0, 3).every(x => x > 128)"
    for what in ("article p", "mjx-container svg"):
        assert page.eval_on_selector(what, colours) == light, what
    assert not page.wrong


def test_a_plot_can_be_zoomed(site, page):
    page.goto((site / "nbs/3_train/00_annealing.html").as_uri())
    page.wait_for_selector(".js-plotly-plot .main-svg", state="attached")
    plot = "document.querySelector('.js-plotly-plot')"
    page.evaluate(f"Plotly.relayout({plot}, {{'xaxis.range': [0.25, 0.5]}})")
    assert page.evaluate(f"{plot}.layout.xaxis.range") == [.25, .5]
    plots = page.locator(".js-plotly-plot")
    drawn = page.locator(".js-plotly-plot:has(.main-svg)")
    assert plots.count() > 1 and drawn.count() == plots.count() and not page.wrong


def test_a_gif_moves(site, page):
    page.goto((site / "nbs/8_figures/pendulum.html").as_uri())
    gif = page.locator("article img[src$='.gif']").first
    gif.scroll_into_view_if_needed()
    before = gif.screenshot()
    page.wait_for_timeout(1500)
    assert gif.screenshot() != before and not page.wrong


def test_search_finds_a_notebook(site, page):
    page.goto((site / "search.html").as_uri() + "?q=combiner")
    page.wait_for_selector("#search-results li a[href*='04_dynamics']")
    assert not page.wrong


NOTEBOOKS = [f for f in sorted(NBS.rglob("*.ipynb")) if ".ipynb_checkpoints" not in f.parts]


def test_every_notebook_is_in_the_contents(tmp_path):
    (tmp_path / "nbs").mkdir()
    contents = str(docs.contents(tmp_path, NOTEBOOKS, ["vdsm.one"]))
    for file in NOTEBOOKS:
        assert f"'{file.relative_to(ROOT).with_suffix('').as_posix()}'" in contents, file
    assert "'api/vdsm.one'" in contents


def test_links_of_notebooks_lead_to_files():
    wrong = []
    for file in [*NOTEBOOKS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        texts = [file.read_text()]
        if file in NOTEBOOKS:
            cells = nbformat.read(file, as_version=4).cells
            texts = [c.source for c in cells if c.cell_type == "markdown"]
        links = [link for text in texts for _, link, _ in docs.LINK.findall(text)]
        found = [(file.parent / link.partition("#")[0]).exists() for link in links]
        wrong += [f"{file.name}: {link}" for link, there in zip(links, found) if not there]
    assert not wrong


def test_links_are_checked(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.html").write_text('<h2 id="there">b</h2><a href="../a.html">a</a>')
    good = '<a href="sub/b.html#there"></a><a href="#"></a><a href="https://x.org/y"></a>'
    (tmp_path / "a.html").write_text(good + '<img src="data:image/gif;base64,R0"><a href="">a</a>')
    assert docs.broken_links(tmp_path) == []
    bad = '<a href="c.html"></a><a href="sub/b.html#gone"></a><img src="no.png">'
    (tmp_path / "a.html").write_text(bad + '<script src="https://x.org/x.js"></script>')
    assert docs.broken_links(tmp_path) == [
        "a.html links to c.html", "a.html loads https://x.org/x.js", "a.html links to no.png",
        "a.html links to sub/b.html#gone"]


def test_pages_are_made_of_notebooks(tmp_path, monkeypatch):
    "Directives and hidden cells go, plots become live, links to folders lead to their pages."
    for name in ("ROOT", "NBS"):
        monkeypatch.setattr(docs, name, tmp_path / ("nbs" * (name == "NBS")))
    code, file = nbformat.v4.new_code_cell, tmp_path / "nbs" / "2_model" / "01.ipynb"
    file.parent.mkdir(parents=True)
    figure = nbformat.v4.new_output(
        "display_data", {docs.PLOTLY: dict(data=[dict(y=[1])], layout={}), docs.PNG: ""})
    table = nbformat.v4.new_output("display_data", {docs.MARKDOWN: "1 ± 2 [r](../../RESULTS.md)"})
    links = "[a](../2_model/) [b](../../README.md) [c](../../tests/) [d](https://x.org)"
    (tmp_path / "tests").mkdir()
    cells = [
        code("#| hide\nx"), code("#| echo: false\ny"),
        code("#| export\nz = 1", outputs=[figure, table, figure]),
        nbformat.v4.new_markdown_cell(links)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    echo, z, text = docs.as_page(file).cells
    assert echo.source == "y" and echo.metadata.tags == ["remove-input"] and z.source == "z = 1"
    first, markdown, second = (o.data for o in z.outputs)
    assert "Plotly.newPlot" in first[docs.HTML] and "Plotly.newPlot" in second[docs.HTML]
    assert first[docs.HTML].startswith('<script src="../../_static/plotly.min.js">')
    assert "plotly.min.js" not in second[docs.HTML]
    assert markdown[docs.MARKDOWN] == "1\u00a0±\u00a02 [r](../results.ipynb)"
    assert text.source == "[a](index.md) [b](../index.ipynb) c [d](https://x.org)"
