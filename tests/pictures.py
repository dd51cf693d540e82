"""`make pictures`: runs every notebook that keeps pictures again, so that no picture outlives the
model that it shows. The pictures of nbs/8_figures are those of `make figures`.

python tests/pictures.py                    all of them, one on each core
python tests/pictures.py 04_dynamics grids  notebooks whose path holds one of these words
"""
import base64, io, json, os, re, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbdev.clean import nbdev_clean
from PIL import Image
from conftest import NO_DATA
from sync import ROOT

LIMIT = 1_500_000                                  # bytes of a notebook
KINDS = {"image/png", "image/gif", "image/svg+xml"}
PLOTLY = "application/vnd.plotly.v1+json"
# the beginning of a path that means something on one machine only
FOLDER = re.compile(r"(?<![\w.~/-])/(home|root|tmp|usr|opt|work|mnt|Users|private)/|\b[A-Z]:\\")
# as in `nbdev_test`: the last cell of a notebook exports nothing, and a test is quick
ENVIRONMENT = os.environ | dict(IN_TEST="1", OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))


def outputs(notebook: dict) -> list[dict]:
    "All outputs of a notebook."
    return [o for cell in notebook["cells"] for o in cell.get("outputs", [])]


def has_pictures(file: Path) -> bool:
    "Whether a notebook keeps a picture."
    notebook = json.loads(file.read_text(encoding="utf-8"))
    return any(KINDS & o.get("data", {}).keys() for o in outputs(notebook))


def notebooks(words: list[str] = ()) -> list[Path]:
    "Notebooks that keep pictures; with words, all notebooks whose path holds one of them."
    files = sorted((ROOT / "nbs").rglob("*.ipynb"))
    files = [f for f in files if f.parent.name not in ("8_figures", ".ipynb_checkpoints")]
    if not words: return [f for f in files if has_pictures(f)]
    return [f for f in files if any(word in str(f.relative_to(ROOT)) for word in words)]


class Client(NotebookClient):
    "Runs the cells that `nbdev_test` runs."
    async def async_execute_cell(self, cell, *args, **kwargs):
        if "#| eval: false" in cell.source: return cell
        return await super().async_execute_cell(cell, *args, **kwargs)


def smaller(output: dict):
    "Reduce a picture to 256 colours, and keep it once: Pillow's pictures come as JPEG too."
    if "image/png" not in output.get("data", {}): return
    output.data.pop("image/jpeg", None)
    picture, out = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))), io.BytesIO()
    picture.convert("RGB").quantize(256).save(out, "png", optimize=True)
    output.data["image/png"] = base64.b64encode(out.getvalue()).decode()


def text_of(output: dict) -> str:
    "What a reader sees of an output as text; also the texts of a vector graphic."
    shown = [output.get("text", ""), *output.get("traceback", ())]
    for kind, data in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml": shown.append(data)
    return "\n".join("".join(part) for part in shown)


def problem(notebook: dict) -> str:
    "What is wrong with the outputs of a notebook; '' if nothing is."
    for output in outputs(notebook):
        text, data = text_of(output), output.get("data", {})
        if output.get("name") == "stderr": return "a cell writes to stderr"
        if output["output_type"] == "error" or "Traceback (most recent" in text:
            return "an output holds a traceback"
        if str(ROOT) in text: return f"an output holds the path {ROOT}"
        if path := FOLDER.search(text): return f"an output holds a path, {path[0]}..."
        if PLOTLY in data and "image/png" not in data:
            return "a plot has no PNG; import vdsm.view.curves before it is shown"
    size = len(nbformat.writes(notebook))
    return f"it has {size/1e6:.1f} MB; the limit is {LIMIT/1e6} MB" if size > LIMIT else ""


def run(file: Path) -> str:
    "Run a notebook and keep its outputs; what went wrong, '' if nothing did."
    notebook = nbformat.read(file, as_version=4)
    client = Client(notebook, timeout=600, kernel_name="python3", store_widget_state=False,
                    extra_arguments=["--log-level=ERROR"],
                    resources=dict(metadata=dict(path=str(file.parent))))
    try: client.execute(env=ENVIRONMENT)
    except CellExecutionError as e: return f"{e.ename}: {e.evalue}"
    except (DeadKernelError, TimeoutError) as e: return str(e)
    for output in outputs(notebook): smaller(output)
    notebook.metadata.pop("widgets", None)                # widgets are not pictures
    if what := problem(notebook): return what
    file.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    nbdev_clean(str(file))
    return ""


def main(words: list[str]) -> int:
    "Run notebooks, several at a time; 1 if one of them failed."
    files = notebooks(words)
    if not files: print("no notebook of nbs/ has", " or ".join(words), "in its path"); return 1
    failed = []
    def one(file):
        name, what = file.relative_to(ROOT).as_posix(), run(file)
        missing = NO_DATA.search(what)                     # a data set that this machine lacks
        if not what: print(f"{name}: new pictures", flush=True)
        elif missing: print(f"{name} is left as it is: {missing[0]}", flush=True)
        else: print(f"{name} failed: {what}", flush=True); failed.append(name)
    with ThreadPoolExecutor(int(os.environ.get("JOBS") or 0) or os.cpu_count()) as pool:
        list(pool.map(one, files))
    print(f"failed: {' '.join(failed)}" if failed else "no notebook failed")
    return int(bool(failed))


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
