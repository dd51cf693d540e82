"The documentation builds without a broken link, and opens from disk without network."

import re
import docs, nbformat, pytest
from sync import NBS, ROOT

SAFE = dict(args=["--no-sandbox", "--disable-gpu"])
PAGES = {  # page -> what must be on it
    "nbs/index.html": "img[src$='.gif']",
    "nbs/results.html": "table",
    "nbs/2_model/04_dynamics.html": "mjx-container",
    "nbs/3_train/00_annealing.html": ".js-plotly-plot .main-svg",
    "nbs/8_figures/film.html": "img[src$='.gif']",
    "nbs/lib/index.html": "a[href$='03_report.html']",
    "api/vdsm.model.dynamics.html": "dl.field-list",
    "CONTRIBUTING.html": "pre"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The folder of the whole documentation."
    return docs.build(tmp_path_factory.mktemp("docs")).parent


@pytest.fixture(scope="module")
def browser(chromium):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, **SAFE)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    "A page without network; what went wrong on it is kept in `page.wrong`."
    page = browser.new_page(viewport=dict(width=1400, height=1000), offline=True)
    page.wrong = []
    page.set_default_timeout(180_000)           # a machine may be busy
    page.on("console", lambda m: page.wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: page.wrong.append(str(e)))
    page.on("requestfailed", lambda r: page.wrong.append(f"{r.url} {r.failure}"))
    page.on("request", lambda r: page.wrong.append(r.url) if r.url.startswith("http") else None)
    yield page
    page.close()


@pytest.mark.parametrize("name, shows", PAGES.items())
def test_page(site, page, name, shows):
    page.goto((site / name).as_uri())
    page.wait_for_selector(shows, state="attached")
    page.wait_for_function(
        "!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
    )
    missing = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    page.evaluate(
        "document.querySelectorAll('img[loading=lazy]').forEach(i => i.loading = 'eager')"
    )
    page.wait_for_function(f"{missing}.length === 0")
    assert not page.wrong
    assert page.locator("mjx-merror").count() == 0 and "#| " not in page.inner_text("article")


def test_a_plot_can_be_zoomed(site, page):
    page.goto((site / "nbs/3_train/00_annealing.html").as_uri())
    page.wait_for_selector(".js-plotly-plot .main-svg", state="attached")
    axis = "document.querySelector('.js-plotly-plot').layout.xaxis.range"
    page.evaluate(
        "Plotly.relayout(document.querySelector('.js-plotly-plot'), {'xaxis.range': [0.25, 0.5]})"
    )
    assert page.evaluate(axis) == [.25, .5] and not page.wrong


def test_search_finds_a_notebook(site, page):
    page.goto((site / "search.html").as_uri() + "?q=combiner")
    page.wait_for_selector("#search-results li a[href*='04_dynamics']")
    assert not page.wrong


def test_every_notebook_has_a_page_that_is_linked(site):
    files = [f for f in NBS.rglob("*.ipynb") if ".ipynb_checkpoints" not in f.parts]
    contents = (site / "nbs" / "index.html").read_text()
    for file in files:
        assert (site / file.relative_to(ROOT).with_suffix(".html")).exists(), file
        inside = re.search(rf'href="[^"]*{file.stem}\.html"', contents)
        assert inside or file.stem == "index", file


def test_pages_are_made_of_notebooks(tmp_path, monkeypatch):
    "Directives and hidden cells go, plots become live, links to folders lead to their pages."
    for name in ("ROOT", "NBS"):
        monkeypatch.setattr(docs, name, tmp_path / ("nbs" * (name == "NBS")))
    code, file = nbformat.v4.new_code_cell, tmp_path / "nbs" / "2_model" / "01.ipynb"
    file.parent.mkdir(parents=True)
    figure = nbformat.v4.new_output(
        "display_data", {docs.PLOTLY: dict(data=[dict(y=[1])], layout={}), docs.PNG: ""}
    )
    links = "[a](../2_model/) [b](../../README.md) [c](../../tests/) [d](https://x.org)"
    text = nbformat.v4.new_markdown_cell(links)
    (tmp_path / "tests").mkdir()
    cells = [
        code("#| hide\nx"),
        code("#| echo: false\ny"),
        code("#| export\nz = 1", outputs=[figure]),
        text,
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    echo, z, text = docs.as_page(file).cells
    assert echo.source == "y" and echo.metadata.tags == ["remove-input"] and z.source == "z = 1"
    assert (
        "Plotly.newPlot" in z.outputs[0].data[docs.HTML]
        and '"../../_static/plotly' in z.outputs[0].data[docs.HTML]
    )
    assert text.source == "[a](index.md) [b](../index.ipynb) c [d](https://x.org)"
