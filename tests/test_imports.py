"What an import loads: neither loading a model nor measuring it loads training code."
import subprocess, sys
from sync import ROOT

MODULES = sorted(p.stem for p in (ROOT / "vdsm" / "evaluate").glob("*.py") if p.stem != "__init__")
TRAINING = "vdsm.training", "vdsm.view", "vdsm.commands"
WIDGETS = "papermill", "plotly", "ipywidgets", "IPython", "matplotlib"


def loaded(code: str, *names: str) -> list[str]:
    "Which of these packages a fresh process has loaded after some code."
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    modules = done.stdout.split()
    return [m for m in modules if any(m == name or m.startswith(f"{name}.") for name in names)]


def test_measures_load_no_training_code():
    modules = *(f"vdsm.evaluate.{m}" for m in MODULES), "vdsm.lib.report", "vdsm.lib.resnext"
    assert not loaded(f"import {', '.join(modules)}", *TRAINING)


def test_loading_a_model_loads_neither_training_code_nor_widgets():
    code = "import vdsm; vdsm.VDSM.from_pretrained('pendulum')"
    logs = "tensorboard", "torch.utils.tensorboard", "lightning_fabric"
    others = "vdsm.lib.method", "vdsm.evaluate", "vdsm.latents", "sklearn", "scipy", "pandas"
    assert not loaded(code, *TRAINING, *WIDGETS, *logs, *others)
    assert loaded(code, "vdsm.model.vdsm")                     # it does see what is loaded
