"""VDSM: `from vdsm import VDSM, Explorer, train, ...`; a name is loaded when it is first used."""
__version__ = "0.1.0"

# What has to be set before torch is loaded (environment variables of OpenMP) goes here.

NAMES = {  # module -> the names that people use most
    "data.pendulum": ["Pendulum"],
    "data.sprites": ["Sprites"],
    "data.moving_mnist": ["MovingMNIST"],
    "data.mug": ["MUG"],
    "data.video_folder": ["VideoFolder"],
    "model.vdsm": ["VDSM", "VDSMConfig", "shipped"],
    "training.presets": ["get_preset"],
    "training.two_stage": ["train"],
    "training.runs": ["open_run"],
    "latents": ["infer", "reconstruct", "swap", "go_on"],
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
