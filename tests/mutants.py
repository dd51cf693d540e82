"""Do the tests beside the code notice a mistake? `python tests/mutants.py` makes 300 small changes,
drawn by a fixed seed, of model, training, latents and evaluation, one at a time. Against each it
runs the notebook that exports the module (with the change in its cell too) and the test files of
the table `BESIDE`. Results are kept in `_mutants/`, so that the same command goes on after an
interruption; a survivor is tried again once the files beside it have changed.

    python tests/mutants.py --only 30          the first 30 of them, a fair sample
    python tests/mutants.py --module model     those of a package or module
    python tests/mutants.py --breakages        the mistakes that are named in breakages.py
    python tests/mutants.py --show             score and survivors of what was run

One process imports torch and the rest once and is forked for each file, so a change that the first
cells notice takes seconds. Mutation tools for whole test suites (mutmut, cosmic-ray) know pytest
only and start it anew for each change; the tests of a notebook are its cells."""
import argparse, compileall, hashlib, importlib, json, os, re, shutil, signal, sys, tempfile, time
from collections import Counter
from functools import cache
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"): os.environ[name] = "1"
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))
from breakages import BREAKAGES
from mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "_mutants" / "results.jsonl"
EXPLAINED = ROOT / "tests" / "mutants_explained.json"   # id -> why it changes nothing
SEED, DRAWN = 18, 300
PACKAGES = "model", "training", "latents", "evaluate"
BESIDE = {  # module or package -> test files that belong to it, besides its notebook
    "model": ["test_model.py"],
    "training": ["test_defaults.py"],
    "training.presets": ["test_presets.py"],
    "training.loop": ["test_training.py"],
    "latents": ["test_latents.py", "test_defaults.py"],
    "evaluate.judge": ["test_judge.py"],
    "evaluate.generated_clips": ["test_swaps.py"],
    "evaluate.swap_benchmark": ["test_swaps.py"],
    "evaluate.frechet": ["test_frechet.py"],
    "evaluate": ["test_defaults.py", "test_shipped.py"],
}
SETTINGS = {  # cells whose numbers are settings of a run: data, not code
    "training.presets": {"cell06", "cell08", "quick", "quick-digits", "full-size", "released",
                         "all-presets"}}
NUMBERS = {"constant", "arithmetic", "arguments", "sign"}


def cells(module: str) -> list[tuple[str, str, str]]:
    "Notebook, id and source of the exported cells of a module."
    text = (ROOT / "vdsm" / f"{module.replace('.', '/')}.py").read_text()
    parts = re.split(r"^# %% (?:\.\./)+(\S+) #(\S+)\n", text, flags=re.M)[1:]
    return [(*parts[i:i + 2], parts[i + 2].strip("\n")) for i in range(0, len(parts), 3)]


def modules() -> list[str]:
    "The modules that are changed."
    files = (p for name in PACKAGES for p in sorted((ROOT / "vdsm" / name).glob("*.py")))
    return [f"{p.parent.name}.{p.stem}" for p in files if "# %%" in p.read_text()]


def draw() -> list[Mutant]:
    "All mutants in a random order that an edit elsewhere does not change."
    found = [m for module in modules() for _, cell, source in cells(module)
             for m in mutants_of(module, cell, source)
             if not (cell in SETTINGS.get(module, ()) and m.kind in NUMBERS)]
    return sorted(found, key=lambda m: hashlib.sha256(f"{SEED}:{m.id}".encode()).hexdigest())


def breakages() -> list[Mutant]:
    "The mistakes of breakages.py, as mutants."
    found = []
    for what, module, old, new in BREAKAGES:
        holds = [(cell, source) for _, cell, source in cells(module) if old in source]
        assert len(holds) == 1 and holds[0][1].count(old) == 1, f"{what}: {old!r} in {module}"
        (cell, source), = holds
        line = source[:source.index(old)].count("\n") + 1
        found.append(Mutant(module, cell, "", what, line, old, new, what, 1,
                            source.replace(old, new)))
    return found


@cache
def beside(module: str) -> list[str]:
    "The notebook and the test files of a module, below the project's folder."
    tests = [t for name in (module.split(".")[0], module) for t in BESIDE.get(name, [])]
    return [cells(module)[0][0], *(f"tests/{t}" for t in tests if (ROOT / "tests" / t).exists())]


def sources(file: str) -> str:
    "What a file tests, without saved outputs."
    text = (ROOT / file).read_text()
    if not file.endswith(".ipynb"): return text
    return json.dumps([c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"])


@cache
def state(module: str) -> str:
    "A hash of the files beside a module."
    texts = "".join(map(sources, beside(module)))
    return hashlib.sha256(texts.encode()).hexdigest()[:12]


class Copy:
    "A copy of the project in which one module is changed at a time."
    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="mutants-"))
        ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "8_figures")
        for name in ("nbs", "tests"): shutil.copytree(ROOT / name, self.root / name, ignore=ignore)
        (self.root / "nbs" / "8_figures").symlink_to(ROOT / "nbs" / "8_figures")
        weights = shutil.ignore_patterns("__pycache__", "pretrained")
        shutil.copytree(ROOT / "vdsm", self.root / "vdsm", ignore=weights)
        (self.root / "vdsm" / "pretrained").symlink_to(ROOT / "vdsm" / "pretrained")
        for p in ROOT.iterdir():
            if p.is_file(): (self.root / p.name).symlink_to(p)
        (self.root / "figures").mkdir()
        (self.root / "figures" / "evidence").symlink_to(ROOT / "figures" / "evidence")
        self.changed = {}
        sys.dont_write_bytecode = False
        compileall.compile_dir(self.root / "vdsm", quiet=1)
        sys.dont_write_bytecode = True

    def write(self, path: Path, text: str):
        self.changed.setdefault(path, path.read_text())
        path.write_text(text)

    def apply(self, m: Mutant):
        "Make the change in the module, and in its notebook where the cell is the same there."
        path = self.root / "vdsm" / f"{m.module.replace('.', '/')}.py"
        for old in (path.parent / "__pycache__").glob(f"{path.stem}.*"): old.unlink()
        notebook, _, source = next(c for c in cells(m.module) if c[1] == m.cell)
        text = path.read_text()
        assert text.count(source) == 1, f"{m.module} {m.cell}"
        self.write(path, text.replace(source, m.code))
        file = self.root / notebook
        nb = json.loads(file.read_text())
        cell = next(c for c in nb["cells"] if c.get("id") == m.cell)
        lines = [line for line in "".join(cell["source"]).splitlines() if line[:2] != "#|"]
        if "\n".join(lines).strip("\n") == source:
            cell["source"] = "#| export\n" + m.code
            self.write(file, json.dumps(nb))

    def restore(self):
        for path, text in self.changed.items(): path.write_text(text)
        self.changed = {}
        shutil.rmtree(self.root / "data", ignore_errors=True)


# ---- in a process of its own
def enter(root: Path):
    "Work in a copy of the project."
    sys.path[:] = [str(root), str(root / "tests"),
                   *(p for p in sys.path if p not in ("", str(ROOT), str(ROOT / "tests")))]
    os.environ["PYTHONPATH"] = str(root)
    os.chdir(root)


def run_notebook(file: Path) -> str: # what went wrong; nothing if nothing did
    "The cells of a notebook, without drawing PNGs of plots."
    import plotly.io._base_renderers as renderers
    from execnb.shell import CaptureShell
    from nbdev.test import test_nb
    renderers.to_image = lambda *args, **kwargs: b""
    said, pretty = [], CaptureShell.prettytb
    CaptureShell.prettytb = lambda self, *args, **kwargs: said.append(
        f"{type(self.exc).__name__}: {self.exc}") or pretty(self, *args, **kwargs)
    good, _ = test_nb(file, skip_flags=["slow", "gpu"], basepath=file.parents[2])
    return "" if good else (said or ["failed"])[-1]


def run_tests(file: Path) -> str: # what went wrong; nothing if nothing did
    "A file of pytest, up to its first failure."
    import pytest
    said = []

    class Listener:
        def pytest_runtest_logreport(self, report):
            if report.failed:
                crash = getattr(report.longrepr, "reprcrash", None)
                message = crash.message if crash else str(report.longrepr)
                said.append(f"{report.nodeid.split('::')[-1]}: {message}")
    os.environ["CI"] = "1"
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)],
                       plugins=[Listener()])
    return "" if code == 0 else (said or [f"pytest ended with {int(code)}"])[0]


def run_file(root: Path, file: str) -> str:
    enter(root)
    return (run_notebook if file.endswith(".ipynb") else run_tests)(root / file)


def forked(call, limit: float) -> tuple[str, float]: # what it returned or 'timeout', and seconds
    "Call a function in a fork of this process."
    log, begin = tempfile.NamedTemporaryFile("w+"), time.time()
    out = tempfile.NamedTemporaryFile("w+")
    pid = os.fork()
    if not pid:
        os.setsid()
        for fd in (1, 2): os.dup2(log.fileno(), fd)
        try: text = call()
        except BaseException as e: text = f"{type(e).__name__}: {e}"
        Path(out.name).write_text(text[:2000] + "\0")
        os._exit(0)
    status = None
    while time.time() - begin < limit and status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done: status = code
        else: time.sleep(.02)
    try: os.killpg(pid, signal.SIGKILL)    # also whatever it has started
    except ProcessLookupError: pass
    if status is None:
        os.waitpid(pid, 0)
        return "timeout", time.time() - begin
    text = out.read()
    return text.rstrip("\0") if text.endswith("\0") else "the process died", time.time() - begin


def preload(root: Path):
    "Import what the package imports, but not the package."
    def names():
        enter(root)
        import pkgutil, vdsm
        for name in ("pytest", "papermill", "nbdev.test"): importlib.import_module(name)
        before = list(sys.modules)
        for m in pkgutil.walk_packages(vdsm.__path__, "vdsm."):
            if not m.name.endswith("__main__"): importlib.import_module(m.name)
        loaded = [m for m in [*before, *sys.modules] if m.partition(".")[0] != "vdsm"]
        (root / "loaded.json").write_text(json.dumps(list(dict.fromkeys(loaded))))
        return ""
    said, _ = forked(names, 300)
    if said: sys.exit(f"the package cannot be imported: {said}")
    for name in json.loads((root / "loaded.json").read_text()):
        if name in sys.modules: continue
        try: importlib.import_module(name)
        except Exception: pass
    for name in ("fastcore.all", "plotly.io._base_renderers"): importlib.import_module(name)


# ---- the survey
def read_results() -> dict[str, dict]:
    "Newest result of each id."
    if not RESULTS.exists(): return {}
    return {r["id"]: r for r in map(json.loads, RESULTS.read_text().splitlines())}


def keep(record: dict):
    RESULTS.parent.mkdir(exist_ok=True)
    with open(RESULTS, "a") as f: f.write(json.dumps(record) + "\n")


def baseline(copy: Copy, file: str, known: dict) -> float|None: # seconds
    "The time of a file on the code as it is; None, and a sentence, if it fails even so."
    key, text = f"baseline {file}", hashlib.sha256(sources(file).encode()).hexdigest()[:12]
    if known.get(key, {}).get("beside") == text: return known[key]["seconds"]
    said, seconds = forked(lambda: run_file(copy.root, file), 1200)
    if said: print(f"{file} is left out, it fails without a change: {said}", flush=True)
    else: print(f"{file}: {seconds:.0f} s", flush=True)
    known[key] = dict(id=key, beside=text, seconds=None if said else round(seconds, 1))
    if not said: keep(known[key])
    return known[key]["seconds"]


def try_mutant(copy: Copy, m: Mutant, known: dict) -> dict:
    "Run the files beside a mutant, the fastest first, until one notices."
    times = {f: baseline(copy, f, known) for f in beside(m.module)}
    files = sorted((seconds, f) for f, seconds in times.items() if seconds is not None)
    record = dict(id=m.id, module=m.module, cell=m.cell, where=m.where, kind=m.kind, line=m.line,
                  before=m.before, after=m.after, statement=m.statement, outcome="survived",
                  beside=state(m.module), seconds=0.)
    copy.apply(m)
    try:
        for seconds, file in files:
            said, took = forked(lambda file=file: run_file(copy.root, file), 3*seconds + 20)
            record["seconds"] = round(record["seconds"] + took, 1)
            if said:
                record |= dict(outcome="timeout" if said == "timeout" else "killed", by=file,
                               said=said[:300])
                break
    finally: copy.restore()
    return record


def is_done(record: dict|None, m: Mutant) -> bool:
    return bool(record) and (record["outcome"] != "survived" or record["beside"] == state(m.module))


def survey(chosen: list[Mutant], again: bool):
    "Try those that have no result yet."
    known, copy = read_results(), Copy()
    explained = json.loads(EXPLAINED.read_text()) if EXPLAINED.exists() else {}
    try:
        preload(copy.root)
        for i, m in enumerate(chosen):
            if not again and is_done(known.get(m.id), m): continue
            if m.id in explained and m.id in known: continue   # changes nothing
            record = try_mutant(copy, m, known)
            known[m.id] = record
            keep(record)
            print(f"{i + 1}/{len(chosen)} {line(record)}", flush=True)
    finally: shutil.rmtree(copy.root)


def line(r: dict) -> str:
    change = " ".join(f"{r['before']} -> {r['after']}".split())
    by = Path(r["by"]).name if "by" in r else ""
    return f"{r['outcome']} {r['module']} {r['where']} [{r['cell']}:{r['line']}] {r['kind']}: " \
           f"{change[:150]} ({r['seconds']:.0f} s{', ' + by if by else ''})"


def score(chosen: list[Mutant]) -> str:
    "Killed, survivors, and what is explained."
    known = read_results()
    explained = json.loads(EXPLAINED.read_text()) if EXPLAINED.exists() else {}
    rows = [known[m.id] for m in chosen if m.id in known]
    left = [r for r in rows if r["outcome"] == "survived"]
    equal = [r for r in left if r["id"] in explained]
    n, killed = len(rows), len(rows) - len(left)
    said = [f"survived {r['id']} {line(r)}\n    in: {r['statement'][:160]}" +
            (f"\n    {explained[r['id']]}" if r["id"] in explained else "") for r in left]
    per = Counter((r["module"], r["outcome"] != "survived") for r in rows)
    table = [f"{m}: {per[m, True]} of {per[m, True] + per[m, False]}"
             for m in sorted({m for m, _ in per})]
    if not n: return "nothing was run yet"
    last = f"{n} of {len(chosen)} run; killed {killed} ({killed/n:.1%}), survived {len(left)}, " \
           f"of which {len(equal)} change nothing"
    return "\n".join([*said, *table, last])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", type=float, help="so many, or a share, in drawn order")
    parser.add_argument("--module", default="", help="only those of a package or module")
    parser.add_argument("--ids", nargs="*", help="only these")
    parser.add_argument("--breakages", action="store_true", help="the mistakes of breakages.py")
    parser.add_argument("--again", action="store_true", help="also those that have a result")
    parser.add_argument("--show", action="store_true", help="run nothing, print the results")
    a = parser.parse_args()
    chosen = breakages() if a.breakages else draw()[:DRAWN]
    if a.only: chosen = chosen[:int(a.only if a.only >= 1 else a.only*DRAWN)]
    chosen = [m for m in chosen if m.module.startswith(a.module)]
    if a.ids: chosen = [m for m in chosen if m.id in a.ids]
    if not a.show: survey(chosen, a.again)
    print(score(chosen))


if __name__ == "__main__": main()
