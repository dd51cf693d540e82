"The page that adds a data set works for a stranger: in an empty folder, with fewer steps."
import json, subprocess, sys
from sync import ROOT

PAGE = ROOT / "nbs" / "1_data" / "07_add_your_data_set.ipynb"
CHECKS = """
assert len(rows) == 8 and float(made.min()) >= 0 and float(made.max()) <= 1
assert matrix.shape == (4, 4, 8, 3, 64, 64) and len(explorer.clips) == 9
print('ROW', table_rows[0])
"""


def page():
    "The code of the page: 8 steps of each stage, and the row of its own data set only."
    cells = [c for c in json.loads(PAGE.read_text())["cells"] if c["cell_type"] == "code"]
    code = {c["id"]: "".join(c["source"]) for c in cells}
    def less(cell, before, after):
        assert before in code[cell], (cell, before)
        code[cell] = code[cell].replace(before, after)
    less("train", "(300, 200)", "(8, 8)")
    released = "dict(pendulum='Pendulum, released', sprites='Sprites, released')"
    less("table", released, "{}")
    less("table", "head = ", "table_rows = rows\nhead = ")
    return "\n".join(source for cell, source in code.items() if cell != "clean") + CHECKS


def test_a_data_set_is_added_in_an_empty_folder(tmp_path):
    (script := tmp_path / "page.py").write_text(page())
    (empty := tmp_path / "empty").mkdir()
    run = subprocess.run(
        [sys.executable, str(script)], cwd=empty, capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert (
        "shapes/train: 540 clips x 8 frames, 9 identities; form (3), colour (3), path (3)"
        in run.stdout
    )
    row = run.stdout.split("ROW ")[1]
    assert row.startswith("['Moving shapes, this page'") and row.count(",") == 5
