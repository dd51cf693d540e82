"""VDSM: `from vdsm import VDSM, Explorer, train, ...`; a name is loaded when it is first used."""
__version__ = "0.1.0"
import os

# OpenMP's threads wait for each other by spinning. Beside another busy process they would spin away
# the time that it could use, so they spin briefly and then sleep. It has to be said before torch is
# loaded, and what a user says counts.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"

NAMES = {  # module -> the names that people use most
    "data.pendulum": ["Pendulum"],
    "data.sprites": ["Sprites"],
    "data.moving_mnist": ["MovingMNIST"],
    "data.mug": ["MUG"],
    "data.video_folder": ["VideoFolder"],
    "lib.pretrained": ["from_pretrained", "pretrained_names"],
    "model.interface": ["Codes", "VideoModel"],
    "model.configuration": ["VDSMConfig"],
    "model.vdsm": ["VDSM"],
    "training.presets": ["get_preset"],
    "training.loop": ["train"],
    "training.runs": ["open_run"],
    "latents": ["encode", "reconstruct", "swap", "extrapolate"],
    "latents.table": ["codes_table"],
    "view.grids": ["clip_gif", "show_clips"],
    "view.explorer": ["Explorer"],
}
__all__ = [name for names in NAMES.values() for name in names]


def __getattr__(name: str):
    from importlib import import_module
    module = next((module for module, names in NAMES.items() if name in names), None)
    if module is None: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{module}"), name)
    return value


def __dir__(): return sorted({*globals(), *__all__})
