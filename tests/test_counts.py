"What the notebooks promise a reader, counted; a count that reached its goal (none) stays there."
import subprocess, sys
import counts, pytest
from counts import COUNTS, NBS, Cell
from sync import ROOT

REACHED = tuple(COUNTS)


@pytest.mark.parametrize("name", REACHED)
def test_a_goal_that_was_reached_is_kept(name): assert not COUNTS[name]()


def test_the_script_prints_every_count():
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "counts.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert [line.split()[1] for line in done.stdout.splitlines()] == list(COUNTS)


@pytest.mark.parametrize("code, drawn", [
    ("data = Sprites('test')\nx, y = data.clips([0]), 1\nshow_clips(x)", True),
    ("model = VDSM.from_pretrained('sprites')\nshow_clips(decode(model))", True),
    ("for d in (Pendulum(), Sprites()): show_clips(d.clips([0]))", True),
    ("def clips(): return Sprites().clips([0])\nshow_clips(clips())", True),
    ("x = Sprites().clips([0])\nx = Pendulum().clips([0])\nshow_clips(x)", False),
    ("a, b = Sprites(), Pendulum()\nshow_clips(b.clips([0]))", False),
    ("measured = VDSM.from_pretrained('sprites').metadata\nshow_clips(Pendulum()[0])", False)])
def test_pictures_of_sprites_are_told_from_others(code, drawn):
    cell = Cell(NBS / "it.ipynb", "it", code, [dict(data={"image/png": ""})])
    assert counts.draws_sprites([cell]) == drawn


def test_what_is_counted(monkeypatch):
    "On a notebook with one fault of each kind."
    long = "x = 1" + " " * 100 + "# far to the right"
    one = (
        "#| export\nfrom vdsm.two import b\n" + long + "\ndef shown(): pass\ndef _hidden(): pass\n"
    )
    one += "TABLE = [" + "1, " * 60 + "]\n" + "y = 0\n" * 30
    sprites = "show_clips(Sprites('validation').clips([0]))"
    picture = [dict(data={"image/png": ""})]
    found = [Cell(NBS / "2_model" / f"0{i}.ipynb", "it", code, out) for i, code, out in (
        (1, "#| default_exp one", []), (1, one, []), (2, "#| default_exp two", []),
        (2, "#| export\nfrom vdsm.one import shown\nfrom vdsm.view.three import c", []),
        (3, "#| default_exp view.three", []), (2, sprites, picture), (3, "z = 0\n" * 26, []))]
    for f in (counts.modules, counts.imports): f.cache_clear()
    monkeypatch.setattr(counts, "cells", lambda: found)
    monkeypatch.setattr(counts, "markdown", lambda file: "")
    said = {name: len(count()) for name, count in COUNTS.items()}
    for f in (counts.modules, counts.imports): f.cache_clear()
    assert said == dict(lines=1, cells=1, demonstrations=1, pictures=3, docstrings=1, cycles=1,
                        imports=2, licences=1)
