"""Every number in README and RESULTS comes from a file: it changes with figures/evidence, or it is
a published one, or it is a word of the text that measures nothing."""
import json, re, shutil, zlib
from pathlib import Path
import nbformat, pytest
from sync import PAGES, ROOT, tables

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
LINKS = re.compile(r"\]\([^)]*\)|`[^`]*`|https?://\S+")
WORDS = "|".join([  # numbers that name things
    r"CVPR 2021", "Bowden, 2021", r"Python 3\.11", r"CC BY-SA 3\.0", r"GPL 3\.0", r"Apache 2\.0",
    r"[Ee]q\. \d(?:-\d)?", r"Tables? \d", r"stage \d", r"\d_[a-z]+", r"seeds? [\d, and]+",
    r"frames \d+-\d+", "70 to 30", "near 0", "be at 100", r"published(?:, from s:)? [\d.]+",
    "the paper's 1", "S3VAE",
    r"consistency of [\d.]+", "a 4 looks like a 9, and a 2",
    r"on [\w ]+, \d+ cores, \d+ threads", "bf16", "float32", "bfloat16",
    "40 experts, decoder 512-256-128-64-3"])


def numbers(text: str) -> list[str]:
    "The numbers of a text that may be measurements."
    return NUMBER.findall(re.sub(WORDS, "", LINKS.sub("", text)))


def altered(value, name=""):
    "Another number for each number that was measured; ratios change too."
    if isinstance(value, dict): return {k: altered(v, f"{name}.{k}") for k, v in value.items()}
    if isinstance(value, list): return [altered(v, f"{name}.{i}") for i, v in enumerate(value)]
    if isinstance(value, bool) or not isinstance(value, (int, float)): return value
    if isinstance(value, int): return value*3 + 1
    return value*(1.3 + zlib.crc32(name.encode()) % 1000/500) + .0137


def other_evidence(folder: Path):
    "A copy of what the pages read, in which every measured number is another one."
    shutil.copytree(ROOT / "nbs", folder / "nbs", ignore=lambda *_: [".ipynb_checkpoints"])
    shutil.copytree(ROOT / "figures" / "evidence", folder / "figures" / "evidence")
    for file in (folder / "figures" / "evidence").rglob("metrics.json"):
        report = json.loads(file.read_text())
        run = report["run"]
        kept = {k: run[k] for k in ("seed", "seeds") if k in run}
        changed = dict(run=altered(run) | kept, metrics=altered(report["metrics"]))
        file.write_text(json.dumps(changed))


def cells_of(line: str) -> list[str]:
    "The cells of a line of a table; a line of prose is one cell."
    return [c.strip() for c in line.strip("|").split("|")] if line.startswith("|") else [line]


def unsupported(before: str, after: str) -> list[str]:
    "Cells whose numbers stay the same with other evidence, although they are not published ones."
    found, head = [], []
    pairs = list(zip(before.splitlines(), after.splitlines(), strict=True))
    for i, (a, b) in enumerate(pairs):
        now, other = cells_of(a), cells_of(b)
        if i + 1 < len(pairs) and pairs[i + 1][0].startswith("|--"): head = now
        elif a.startswith("|"):
            if "published" in now[0] or now[0] == "best possible": continue
            for name, x, y in list(zip(head, now, other))[1:]:
                if "published" not in name and "ln K" not in name and same(x, y):
                    found.append(f"{name}: {x}")
        elif same(a, b): found.append(a)
    return found


def same(a: str, b: str) -> list[str]:
    "The numbers that stand at the same place of both texts."
    return [x for x, y in zip(numbers(a), numbers(b)) if x == y]


@pytest.mark.parametrize("name", PAGES)
def test_numbers_of_tables_come_from_the_evidence(name, tmp_path, monkeypatch):
    notebook = nbformat.read(PAGES[name], as_version=4)
    before = [text for _, text in tables(notebook)]
    other_evidence(tmp_path)
    monkeypatch.setattr("vdsm.data.sequences.project_root", lambda: tmp_path)
    after = [text for _, text in tables(notebook)]
    assert sum(bool(numbers(text)) for text in before) > len(before)/3
    found = [cell for a, b in zip(before, after, strict=True) for cell in unsupported(a, b)]
    assert not found, f"numbers that no metrics.json supports: {found}"


@pytest.mark.parametrize("name", PAGES)
def test_prose_of_the_pages_holds_no_measured_number(name):
    cells = nbformat.read(PAGES[name], as_version=4).cells
    prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    prose = re.sub(r"```.*?```", "", prose, flags=re.S)
    assert not numbers(prose), "write the number in a cell that reads it from figures/evidence"


def test_a_number_that_was_typed_is_found():
    table = "| a | seconds | published |\n|---|---|---|\n| b | {} | 5.0 |"
    assert not unsupported(table.format("3.0"), table.format("4.1"))
    assert unsupported(table.format("3.0"), table.format("3.0")) == ["seconds: 3.0"]
    assert unsupported("It takes 3 minutes.", "It takes 3 minutes.") == ["It takes 3 minutes."]
