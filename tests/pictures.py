"""`make pictures`: runs every notebook that keeps pictures again, so that no picture outlives the
model that it shows. The pictures of nbs/8_figures are those of `make figures`.

python tests/pictures.py                    all of them, one on each core
python tests/pictures.py 04_dynamics grids  notebooks whose path holds one of these words
"""
import base64, io, json, os, sys
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
    "Reduce a picture to 256 colours."
    if "image/png" not in output.get("data", {}): return
    picture, out = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))), io.BytesIO()
    picture.convert("RGB").quantize(256).save(out, "png", optimize=True)
    output.data["image/png"] = base64.b64encode(out.getvalue()).decode()


def problem(file: Path, notebook: dict) -> str:
    "What is wrong with the outputs of a notebook; '' if nothing is."
    text = nbformat.writes(notebook)
    if any(o.get("name") == "stderr" for o in outputs(notebook)): return "a cell writes to stderr"
    if str(ROOT) in text: return f"an output holds the path {ROOT}"
    if len(text) > LIMIT: return f"it has {len(text)/1e6:.1f} MB; the limit is {LIMIT/1e6} MB"
    return ""


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
    if what := problem(file, notebook): return what
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
