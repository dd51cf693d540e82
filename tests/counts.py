"""How readable the workbook is, counted on the notebooks: `python tests/counts.py` prints each
count, `python tests/counts.py lines cells` lists what these two count."""
import ast, json, re, sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sync import NBS

COLUMNS, SPINE_LINES, LIB_LINES = 100, 25, 40
PICTURES = "image/png", "image/gif", "image/jpeg", "image/svg+xml", "application/vnd.plotly.v1+json"
SPINE = re.compile(r"[1-7]_")
LICENCE = "CC BY-SA 3.0"
DRAWS = "clip_grid", "show_clips", "clip_gif", "Pictures", "Explorer" # the caller gives the credit


@dataclass
class Cell:
    "A code cell."
    file: Path
    id: str
    source: str
    outputs: list

    @property
    def where(self) -> str: return f"{self.file.relative_to(NBS)} {self.id}"
    @property
    def folder(self) -> str: return self.file.parent.name
    @property
    def exported(self) -> bool: return bool(re.search(r"^#\| *exporti?\b", self.source, re.M))

    def tree(self) -> ast.Module:
        "Its code, without what IPython adds to Python."
        return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", self.source, flags=re.M))

    def table_lines(self) -> set[int]:
        "Lines of constants: tables of data, which may be as long as they need."
        lines = set()
        for node in self.tree().body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None: continue
            names = [t.id for t in ast.walk(node) if isinstance(t, ast.Name)]
            inner = (ast.Lambda, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)
            if names[0].isupper() and not any(isinstance(n, inner) for n in ast.walk(node.value)):
                lines |= set(range(node.lineno, node.end_lineno + 1))
        return lines

    def pictures(self) -> int:
        return sum(any(k in o.get("data", {}) for k in PICTURES) for o in self.outputs)

    def lines(self) -> list[tuple[int, str]]:
        "Number and text of its lines outside tables of data."
        tables = self.table_lines()
        return [(i, x) for i, x in enumerate(self.source.splitlines(), 1) if i not in tables]


@cache
def cells() -> list[Cell]:
    "All code cells, in reading order."
    found = []
    for file in sorted(NBS.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in file.parts: continue
        for c in json.loads(file.read_text())["cells"]:
            if c["cell_type"] != "code": continue
            found.append(Cell(file, c["id"], "".join(c["source"]), c["outputs"]))
    return found


def markdown(file: Path) -> str:
    "The text of a notebook."
    found = json.loads(file.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in found if c["cell_type"] == "markdown")


def long_lines() -> list[str]:
    "Lines of code over 100 columns, outside tables of data."
    return [f"{c.where}, line {i}: {len(line)} columns" for c in cells() if c.folder != "nbs"
            if any(len(line) > COLUMNS for line in c.source.splitlines())
            for i, line in c.lines() if len(line) > COLUMNS]


def long_cells() -> list[str]:
    "Exported cells over 25 lines in the spine and 40 in lib, outside tables of data."
    found = []
    for c in cells():
        limit = SPINE_LINES if SPINE.match(c.folder) else LIB_LINES
        if not c.exported or c.source.count("\n") < limit: continue
        lines = [line for _, line in c.lines() if line.strip() and not line.startswith("#|")]
        if len(lines) > limit: found.append(f"{c.where}: {len(lines)} lines")
    return found


def long_demonstrations() -> list[str]:
    "Other cells over 25 lines, 40 in lib, outside tables of data."
    found = []
    for c in cells():
        limit = LIB_LINES if c.folder == "lib" else SPINE_LINES
        lines = [line for _, line in c.lines() if line.strip() and not line.startswith("#|")]
        if not c.exported and len(lines) > limit: found.append(f"{c.where}: {len(lines)} lines")
    return found


def few_pictures() -> list[str]:
    "Spine notebooks with fewer than two pictures; one is enough where something is evaluated."
    counts = {}
    for c in cells():
        if SPINE.match(c.folder): counts[c.file] = counts.get(c.file, 0) + c.pictures()
    enough = lambda file: 1 if file.parent.name.endswith("evaluate") else 2
    return [f"{f.relative_to(NBS)}: {n}" for f, n in counts.items() if n < enough(f)]


def no_docstring() -> list[str]:
    "Public functions and classes without a docstring."
    kinds, found = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), []
    for c in cells():
        if not c.exported: continue
        for node in c.tree().body:
            if isinstance(node, kinds) and node.name[0] != "_" and not ast.get_docstring(node):
                found.append(f"{c.where}: {node.name}")
    return found


@cache
def modules() -> dict[str, Path]:
    "Module -> the notebook that exports it."
    found = {}
    for c in cells():
        if name := re.search(r"^#\| *default_exp +(\S+)", c.source, re.M):
            found[f"vdsm.{name[1]}"] = c.file
    return found


@cache
def imports() -> dict[str, set[str]]:
    "Module -> the modules of this package that its exported cells import, within functions too."
    found = {module: set() for module in modules()}
    of_file = {file: module for module, file in modules().items()}
    for c in cells():
        if not c.exported or c.file not in of_file: continue
        for node in ast.walk(c.tree()):
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            elif isinstance(node, ast.Import): names = [a.name for a in node.names]
            else: continue
            found[of_file[c.file]] |= {n for n in names if n in found} - {of_file[c.file]}
    return found


def import_cycles() -> list[str]:
    "Modules that import each other, by whatever detour."
    graph, done, found = imports(), set(), []

    def visit(module, path):
        if module in path: return found.append(" -> ".join([*path[path.index(module):], module]))
        if module in done: return
        for other in sorted(graph[module]): visit(other, [*path, module])
        done.add(module)

    for module in graph: visit(module, [])
    return found


def wrong_imports() -> list[str]:
    "Imports of the view by the spine, and of a notebook with a higher number."
    found, place = [], lambda module: modules()[module].relative_to(NBS).as_posix()
    for module, others in imports().items():
        if not SPINE.match(place(module)) or module.startswith("vdsm.view"): continue
        for other in others:
            later = SPINE.match(place(other)) and place(other) > place(module)
            if later or other.startswith("vdsm.view"):
                found.append(f"{place(module)} imports {other}")
    return found


class Sprites(ast.NodeVisitor):
    """Which names of a notebook hold something of Sprites, statement by statement, and whether a
    cell with a picture draws from one of them."""
    def __init__(self): self.names, self.drawn, self.pictures = set(), False, False

    def within(self, node) -> bool:
        "Whether an expression mentions Sprites, or a name that holds something of them."
        held = self.names | {"Sprites"}
        return any(isinstance(n, ast.Name) and n.id in held
                   or isinstance(n, ast.Constant) and n.value == "sprites" for n in ast.walk(node))

    def assign(self, target, value):
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts))
        held = [(t, self.within(v)) for t, v in pairs]
        for t, yes in held:
            for n in ast.walk(t):
                if isinstance(n, ast.Name): (self.names.add if yes else self.names.discard)(n.id)

    def visit_Assign(self, node):
        self.generic_visit(node)
        for target in node.targets: self.assign(target, node.value)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if self.within(node.value): self.assign(node.target, node.value)

    def visit_For(self, node):
        self.assign(node.target, node.iter)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if self.within(ast.Module(node.body, [])): self.names.add(node.name)

    def visit_Call(self, node):
        self.generic_visit(node)
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        given = [*node.args, *(k.value for k in node.keywords)]
        if self.pictures and name in DRAWS and any(map(self.within, given)): self.drawn = True


def draws_sprites(mine: list[Cell]) -> bool:
    "Whether a saved picture of a notebook shows Sprites."
    found = Sprites()
    for c in mine:
        found.pictures = c.pictures() > 0
        found.visit(c.tree())
    return found.drawn


def unlicensed_pictures() -> list[str]:
    "Notebooks with saved pictures of Sprites without their licence, or of people's own films."
    found = []
    for file in sorted({c.file for c in cells() if c.pictures()}):
        mine, name = [c for c in cells() if c.file == file], file.relative_to(NBS)
        code, text = "\n".join(c.source for c in mine), markdown(file)
        outputs = [o for c in mine for o in c.outputs]
        text += json.dumps([[o.get("text"), o.get("data", {}).get("text/plain")] for o in outputs])
        if draws_sprites(mine) and LICENCE not in text and "attribution" not in code.lower():
            found.append(f"{name}: Sprites")
        if "mug" not in file.stem and re.search(r"\bmug/(train|validation|test)", text):
            found.append(f"{name}: MUG")
        if "VideoFolder(folder" in code and LICENCE not in text:
            found.append(f"{name}: a folder of films")
    return found


COUNTS = dict(lines=long_lines, cells=long_cells, demonstrations=long_demonstrations,
              pictures=few_pictures, docstrings=no_docstring, cycles=import_cycles,
              imports=wrong_imports, licences=unlicensed_pictures)


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(COUNTS):
        sys.exit(f"unknown count {unknown}; choose of {', '.join(COUNTS)}")
    for name in sys.argv[1:]: print(COUNTS[name].__doc__, *COUNTS[name](), sep="\n  ")
    if not sys.argv[1:]:
        for name, count in COUNTS.items(): print(f"{len(count()):5}  {name:<14} {count.__doc__}")
