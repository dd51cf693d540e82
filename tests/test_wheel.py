"""The package as people install it: a wheel with weights, and short imports that load no more than
they need."""

import ast, os, shutil, subprocess, sys, sysconfig, venv
from importlib.metadata import version
from pathlib import Path
import pytest, vdsm
from sync import ROOT

OFFLINE = """
import socket
def refuse(self, address, *rest): raise OSError(f'network: {address}')
socket.socket.connect = socket.socket.connect_ex = refuse
"""
FIRST_LINES = """
from vdsm import VDSM, Explorer
model = VDSM.from_pretrained('pendulum')
explorer = Explorer('pendulum')
import pathlib, vdsm
from vdsm import pretrained_names
from vdsm.data.sequences import project_root
assert project_root() == pathlib.Path.cwd()
assert 'wrong' not in explorer.notice._dom_classes, explorer.notice.value
print([vdsm.__file__, vdsm.__version__, str(explorer.data), pretrained_names()])
"""


def run(*words, **options) -> str:
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, encoding="utf-8", **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(code, **options) -> str: return run(sys.executable, "-c", code, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The interpreter of a fresh environment with the wheel of this tree's source distribution;
    what vdsm needs is taken from this one."""
    tmp = tmp_path_factory.mktemp("wheel")
    source = tmp / "source"
    for part in ROOT.iterdir():
        if part.name[0] == "." or part.name in ("build", "dist", "data", "figures", "nbs", "tests"):
            continue
        if part.is_dir():
            shutil.copytree(part, source / part.name, ignore=shutil.ignore_patterns("__pycache__"))
        else: source.mkdir(exist_ok=True); shutil.copy(part, source)
    python(f"from setuptools import build_meta; build_meta.build_sdist({str(tmp)!r})", cwd=source)
    archive, = tmp.glob("vdsm-*.tar.gz")
    alone = ("--quiet", "--no-deps", "--no-index")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        *alone,
        "--no-build-isolation",
        "--wheel-dir",
        tmp,
        archive,
    )
    wheel, = tmp.glob("vdsm-*.whl")
    venv.create(tmp / "venv", with_pip=False)
    interpreter = tmp / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(sys.executable, "-m", "pip", "--python", interpreter, "install", *alone, wheel)
    packages = Path(
        run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    # the .pth files of the folder that is added, and with them this tree, are left out
    (packages / "dependencies.pth").write_text(
        sysconfig.get_path("purelib") + "\n", encoding="utf-8"
    )
    return interpreter


def test_an_installed_wheel_has_weights(installed, tmp_path):
    elsewhere = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VDSM_DATA")
    } | dict(HF_HUB_OFFLINE="1")
    said = run(installed, "-c", OFFLINE + FIRST_LINES, cwd=tmp_path, env=elsewhere)
    file, number, clips, shipped = ast.literal_eval(said.splitlines()[-1])
    assert Path(file).is_relative_to(
        installed.parents[1].resolve()
    ) and number == vdsm.__version__ == version("vdsm")
    assert clips.startswith("pendulum/") and shipped == vdsm.pretrained_names()
    assert not any(tmp_path.iterdir())


def test_short_imports_load_what_they_need():
    heavy = ("torch", "pyro", "ipywidgets", "plotly", "lightning_fabric", "sklearn")
    loaded = f"import sys; print([k for k in {heavy} if k in sys.modules])"
    after = lambda line: set(ast.literal_eval(python(f"{line}\n{loaded}").strip()))
    assert after("import vdsm; dir(vdsm)") == set()
    assert after("from vdsm import Pendulum") == {"torch"}
    assert not after("from vdsm import VDSM, get_preset") & {
        "ipywidgets",
        "plotly",
        "lightning_fabric",
    }
    assert not after("from vdsm import train") & {"ipywidgets", "plotly"}


def test_short_imports_are_the_names_themselves():
    from vdsm.latents import swap
    from vdsm.training.loop import train
    assert vdsm.swap is swap and vdsm.train is train
    assert all(hasattr(vdsm, name) for name in vdsm.__all__) and set(vdsm.__all__) <= set(dir(vdsm))
    assert len(set(vdsm.__all__)) == len(vdsm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"): vdsm.nothing
    with pytest.raises(ImportError, match="nothing"): from vdsm import nothing  # noqa: F401
