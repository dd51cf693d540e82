"""The explorer's picture in README: `python tests/explorer_picture.py` (or `make screenshot`) opens
the explorer on the pretrained Sprites model in JupyterLab, and writes
figures/evidence/explorer/explorer.png, without the two tabs, which would double its height. It
needs Chromium and the files of Sprites."""
import sys, tempfile
from io import BytesIO
from pathlib import Path
from PIL import Image
from conftest import CHROMIUM
from sync import ROOT
from test_explorer import open_explorer, pause, screenshot, serve_lab

PICTURE = ROOT / "figures" / "evidence" / "explorer" / "explorer.png"


def write(path: Path = PICTURE) -> Path:
    "The explorer, paused, with the code of each slider at its start."
    with tempfile.TemporaryDirectory() as folder, serve_lab(Path(folder), "sprites") as served:
        with open_explorer(served[0], CHROMIUM) as page:
            pause(page)
            shot = Image.open(BytesIO(screenshot(page, "hair")))
            whole, tabs = (page.locator(at).first.bounding_box()
                           for at in (".vdsm-explorer", ".vdsm-explorer .jupyter-widget-tab"))
    top, bottom = (round(tabs["y"] - whole["y"] + dy) for dy in (0, tabs["height"]))
    picture = Image.new("RGB", (shot.width, top + shot.height - bottom), "white")
    picture.paste(shot.crop((0, 0, shot.width, top)), (0, 0))
    picture.paste(shot.crop((0, bottom, shot.width, shot.height)), (0, top))
    picture.save(path, optimize=True)
    return path


if __name__ == "__main__": print(write(*map(Path, sys.argv[1:])))
