"Random numbers come from seed 0 unless somebody gives another seed, so that tables repeat."
import inspect, pkgutil
from importlib import import_module
import pytest, vdsm

PACKAGES = "model", "training", "latents", "evaluate"


def functions():
    "Functions and classes of these packages, by name."
    for m in pkgutil.walk_packages(vdsm.__path__, "vdsm."):
        if m.name.split(".")[1] not in PACKAGES: continue
        module = import_module(m.name)
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", "") == m.name:
                yield f"{m.name}.{name}", value


def default_seeds():
    for name, value in functions():
        try: parameters = inspect.signature(value).parameters
        except (TypeError, ValueError): continue
        if "seed" in parameters: yield name, parameters["seed"].default


@pytest.mark.parametrize("name, seed", list(default_seeds()))
def test_the_default_seed_is_0(name, seed): assert seed in (0, inspect.Parameter.empty)


def test_seeds_are_found(): assert len(list(default_seeds())) > 15
