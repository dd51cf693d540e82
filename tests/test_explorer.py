"The explorer, driven in a browser against a live JupyterLab."
import os, re, shutil, socket, subprocess, sys, time, urllib.request
from contextlib import contextmanager
import pytest
from sync import ROOT

SAFE = dict(args=["--no-sandbox", "--disable-gpu"])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def serve_lab(root, model="pendulum"):
    """A JupyterLab of its own below a folder, on a copy of explore.ipynb that opens a model; its
    address, its log and its folder."""
    for file in ("nbs/explore.ipynb", "figures/evidence/explorer/explorer.png"):
        (root / "work" / file).parent.mkdir(parents=True)
        shutil.copy(ROOT / file, root / "work" / file)
    notebook = root / "work" / "nbs" / "explore.ipynb"
    code = notebook.read_text()
    assert "Explorer('pendulum')" in code
    notebook.write_text(code.replace("Explorer('pendulum')", f"Explorer('{model}')"))
    quiet = (
        root
        / "SETTINGS"
        / "@jupyterlab"
        / "apputils-extension"
        / "notification.jupyterlab-settings"
    )
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    port, log = free_port(), root / "log"
    env = (
        os.environ
        | {f"JUPYTER_{k}_DIR": str(root / k) for k in ("CONFIG", "RUNTIME", "DATA")}
        | {f"JUPYTERLAB_{k}_DIR": str(root / k) for k in ("SETTINGS", "WORKSPACES")}
    )
    options = dict(
        ip="127.0.0.1",
        port=port,
        port_retries=0,
        root_dir=root / "work",
        token="",
        password="",
        open_browser=False,
        allow_root=True,
    )
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            *(f"--ServerApp.{k}={v}" for k, v in options.items()),
            "--IdentityProvider.token=",
            "--expose-app-in-browser",
            "--LabApp.extension_manager=readonly",
        ],
        cwd=root / "work",
        env=env,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try: urllib.request.urlopen(url + "/api/status"); break
        except OSError: time.sleep(.2)
        assert server.poll() is None, log.read_text()
    try: yield url, log, root / "work" / "nbs"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    with serve_lab(tmp_path_factory.mktemp("lab")) as served: yield served


@contextmanager
def open_explorer(url, chromium):
    "The notebook with all cells run, and the explorer's first picture drawn."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, **SAFE)
        page = browser.new_page(viewport=dict(width=1400, height=1700))
        page.errors = []
        page.on(
            "console",
            lambda m: (
                page.errors.append(f"{m.text} {m.location['url']}") if m.type == "error" else None
            ),
        )
        page.on("pageerror", lambda e: page.errors.append(str(e)))
        page.goto(url + "/lab/tree/nbs/explore.ipynb?reset")
        page.wait_for_function(
            "window.jupyterapp && jupyterapp.shell.currentWidget?.context?.isReady && "
            "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
            timeout=60000,
        )
        began = time.time()
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_selector(".vdsm-player[data-answers]", timeout=60000)
        page.wait_for_function(
            "document.querySelectorAll('.vdsm-player')[0].querySelectorAll('canvas').length === 4",
            timeout=60000,
        )
        print(f"\n{time.time() - began:.1f} s from a fresh kernel to the first picture")
        yield page
        browser.close()


@pytest.fixture(scope="module")
def page(lab, chromium):
    with open_explorer(lab[0], chromium) as opened: yield opened


PLAYER = ".vdsm-player >> nth=0"
CANVAS = "document.querySelectorAll('.vdsm-player')[p].querySelectorAll('canvas')[n]"
ANSWER = """() => {
  const player = document.querySelector('.vdsm-player'), n = player.dataset.answers;
  return new Promise((done, late) => {
    const seen = new MutationObserver(() => {
      if (player.dataset.answers === n) return;
      seen.disconnect();
      done(performance.now() - window.pressed);
    });
    seen.observe(player, {attributes: true});
    setTimeout(() => late('no answer in 60 s'), 60000);
  });
}"""


def picture(page, nth=2, player=0):
    "The picture on a canvas of a player."
    return page.evaluate(f"([p, n]) => {CANVAS}.toDataURL()", [player, nth])


def changes(page, do, nth=2, player=0):
    "Check that `do` changes the picture within a minute."
    before = picture(page, nth, player)
    do()
    different = f"([p, n, old]) => {CANVAS}?.toDataURL() !== old"
    page.wait_for_function(different, arg=[player, nth, before], timeout=60000)


def shows(page, wanted, nth=2):
    "Check that the picture is `wanted` within a minute."
    same = f"([p, n, wanted]) => {CANVAS}.toDataURL() === wanted"
    page.wait_for_function(same, arg=[0, nth, wanted], timeout=60000)


def settle(page):
    "Wait until no new picture has arrived for a second."
    answers, now = None, page.get_attribute(PLAYER, "data-answers")
    while answers != now:
        time.sleep(1)
        answers, now = now, page.get_attribute(PLAYER, "data-answers")


def pause(page):
    if page.get_attribute(PLAYER, "data-playing") == "true":
        page.locator(PLAYER).get_by_role("button", name="Pause").click()
    settle(page)
    return page


@pytest.fixture
def paused(page): return pause(page)


def pick(page, group, nth):
    page.locator(f".vdsm-thumbnails fieldset[aria-label^='{group}'] >> nth=0").locator("label").nth(
        nth
    ).click()


def test_plays_and_pauses(page):
    button = page.locator(PLAYER).get_by_role("button")
    assert page.get_attribute(PLAYER, "data-playing") == "true"
    changes(page, lambda: None)                                             # by itself
    button.focus(); page.keyboard.press("Space")
    still = picture(page)
    time.sleep(.6)
    assert picture(page) == still and page.get_attribute(PLAYER, "data-playing") == "false"
    changes(
        page,
        lambda: [
            page.locator(PLAYER).get_by_label("frame", exact=True).focus(),
            page.keyboard.press("ArrowRight"),
        ],
    )
    page.locator(PLAYER).get_by_label("speed").select_option("24")


def test_clips_are_chosen(paused):
    for group, nth, shown in (("Identity", 2, 0), ("Action", 4, 1)):
        changes(paused, lambda: pick(paused, group, nth), shown)
        settle(paused)
    before = picture(paused)
    # thumbnails are radio buttons, so arrow keys choose among them
    changes(paused, lambda: paused.keyboard.press("ArrowRight"), 1)
    settle(paused)
    assert picture(paused) != before
    for nth in (0, 1):
        changes(
            paused,
            lambda: paused.get_by_role("button", name="Sample from the prior").nth(nth).click(),
            nth,
        )
    for group, nth in (("Identity", 0), ("Action", 1)): pick(paused, group, nth)
    settle(paused)


@pytest.mark.parametrize("label", ["identity s", "action d", "pose z"])
def test_arrow_keys_move_a_slider(paused, label):
    page, took = paused, []
    page.evaluate("addEventListener('keydown', () => window.pressed = performance.now(), true)")
    page.get_by_label(re.compile(label)).first.focus()
    changes(page, lambda: [page.keyboard.press("ArrowRight") for _ in range(9)])
    settle(page)
    for _ in range(10):
        answer = page.evaluate_handle("(watch) => ({done: eval(watch)()})", ANSWER)
        page.keyboard.press("ArrowRight")
        took.append(page.evaluate("async h => await h.done", answer))
        time.sleep(.3)
    print(
        f"\n{label}: {sorted(took)[5]:.0f} ms (median of 10, at most {max(took):.0f}) from the "
        f"key to the new picture"
    )
    settle(page)
    page.get_by_role("button", name="reset").nth(
        ["identity s", "action d", "pose z"].index(label)
    ).click()
    settle(page)


def test_a_bar_pulls_the_mixture(paused):
    page, bars = paused, paused.locator(".vdsm-mixture .bars")
    heights = lambda: bars.evaluate("b => [...b.children].map(c => c.firstChild.offsetHeight)")
    box = bars.bounding_box()
    # an expert that is not used
    low = heights().index(min(heights()))
    one = box["x"] + box["width"]*(low + .5)/7
    page.mouse.move(one, box["y"] + 95); page.mouse.down()
    changes(page, lambda: page.mouse.move(one, box["y"] + 5, steps=5))
    page.mouse.up(); settle(page)
    assert heights()[low] > 80, heights()
    page.get_by_label("pull towards the expert").focus()
    changes(page, lambda: page.keyboard.press("Home"))                      # and from the keyboard
    settle(page)
    assert heights()[low] < 20, heights()


def test_tables_and_length(paused):
    page = paused
    page.get_by_role("tab", name="Swap matrix").click()
    page.wait_for_function(
        "document.querySelectorAll('.vdsm-player')[1]?.querySelector('canvas')?.width === 5*66",
        timeout=60000,
    )
    page.locator(".vdsm-thumbnails fieldset[aria-label^='Rows']").locator("label").nth(14).click()
    page.wait_for_function(
        "document.querySelectorAll('.vdsm-player')[1].querySelector('canvas').height === 6*66",
        timeout=60000,
    )
    page.get_by_role("tab", name="Interpolate").click()
    page.wait_for_function(
        "document.querySelector('.vdsm-player canvas[width=\"462\"]')", timeout=60000
    )
    page.get_by_label("frames", exact=True).focus()
    page.keyboard.press("End")
    page.wait_for_function(
        "document.querySelector('.vdsm-player output').textContent.endsWith('of 100')",
        timeout=60000,
    )
    page.get_by_label("frames", exact=True).focus()
    page.keyboard.press("Home")
    # the length of the clips
    page.wait_for_function(
        "document.querySelector('.vdsm-player output').textContent.endsWith('of 16')", timeout=60000
    )


def screenshot(page, factor):
    "A PNG of the whole explorer, once the probes have predicted a factor."
    page.get_by_role("tab", name="Swap matrix").click()
    page.wait_for_function(
        "factor => document.querySelector('.vdsm-probes').textContent.includes(factor)",
        arg=factor,
        timeout=60000,
    )
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.set_viewport_size(dict(width=1400, height=2200))  # all of it
    settle(page)
    return page.locator(".vdsm-explorer").screenshot()


def test_the_whole_explorer_fits_into_one_picture(paused):
    assert 30_000 < len(screenshot(paused, "colour")) < 300_000


def test_a_view_is_saved_and_loaded(paused, lab):
    page = paused
    name = page.get_by_placeholder("name", exact=True)
    name.fill("mine"); name.press("Tab")
    for button, file in (("save GIF", "mine.gif"), ("save codes", "mine.json")):
        page.get_by_role("button", name=button).click()
        page.wait_for_function(
            "file => document.querySelector('.vdsm-notice').textContent.includes(file)", arg=file
        )
    assert (lab[2] / "figures" / "explored" / "mine.gif").read_bytes()[:6] == b"GIF89a"
    kept = picture(page)
    changes(page, lambda: page.get_by_role("button", name="random").nth(0).click())
    settle(page)
    page.get_by_role("button", name="load codes").click()
    shows(page, kept)
    name.fill("nowhere"); name.press("Tab")
    page.get_by_role("button", name="load codes").click()
    page.wait_for_selector(".vdsm-notice [role=alert]:has-text('no codes in')")


def test_500_moves_add_no_elements(paused):
    page = paused
    slider = page.get_by_label(re.compile("action d")).first
    slider.focus()
    count = lambda: page.evaluate("document.querySelectorAll('.vdsm-explorer *').length")
    page.keyboard.press("ArrowLeft"); settle(page)
    before, answers, began = count(), int(page.get_attribute(PLAYER, "data-answers")), time.time()
    for i in range(500):
        page.keyboard.press("ArrowRight" if i//50 % 2 else "ArrowLeft")
        time.sleep(.01)
    moved = time.time() - began
    at = slider.input_value()
    settle(page)
    drawn = int(page.get_attribute(PLAYER, "data-answers")) - answers
    print(
        f"\n500 moves in {moved:.1f} s: {drawn} pictures drawn on the way, {before} nodes before "
        f"and {count()} after"
    )
    assert count() == before and drawn > 1
    kept = picture(page)
    # the last value is shown: a key to the right and one to the left give the same picture again
    changes(page, lambda: page.keyboard.press("ArrowRight"))
    settle(page)
    page.keyboard.press("ArrowLeft")
    shows(page, kept)
    assert slider.input_value() == at


def test_neither_browser_nor_server_reports_an_error(page, lab):
    assert not page.errors, page.errors
    log = lab[1].read_text()
    assert not re.findall(r"^\[E .*|Traceback.*|^\[C .*", log, re.M), log[-3000:]
