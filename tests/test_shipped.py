"""The pretrained models are as good as the figures beside their weights say, and each measure gives
these figures again: on the few clips of `metrics_few.json`, within a tolerance."""
import pytest
from vdsm.lib.pretrained import pretrained_folder, pretrained_names
from vdsm.lib.release_metrics import FEW, FILES, digest, measure_pretrained
from vdsm.lib.report import read_metrics

# A share of clips moves by one clip or draw between machines, other figures in their last digits.
SHARES = "probe", "consistency", "swap", "sample", "dci", "mig", "sap", "code"
SHARE, RELATIVE = .03, .02
COUNTS = ".clips", "_clips", "_clusters", ".pairs", ".chance", ".dimensions", ".draws", ".classes"
# What the shipped pendulum reaches, on all test clips where they were measured, and chance.
AT_LEAST = {"probe.s.colour": .99, "probe.d.speed": .99, "probe_mlp.d.speed": .99,
            "dci.informativeness": .96, "rollout.window.visible": .99}
AT_MOST = {"rollout.window.angle_error": .06, "rollout.posterior.angle_error": .04,
           "pixels.mse": .0015, "swap_error.mae": .012}
IS_CHANCE = {"probe.s.colour.chance": 1/7, "probe.s.speed.chance": 1/2}


def kept(name, few): return read_metrics(pretrained_folder() / name / FILES[few])


def tolerance(key, value):
    "How far a figure may be from the one that was kept."
    if key.endswith(COUNTS): return 1e-6
    of_clips = key.split(".")[0].split("_mlp")[0] in SHARES
    return max(RELATIVE * abs(value), SHARE if of_clips else 1e-4)


HAS = [(name, few) for name in pretrained_names() for few, file in FILES.items()
       if few or (pretrained_folder() / name / file).exists()]     # few: of every model


@pytest.mark.parametrize("name, few", HAS)
def test_figures_are_of_these_weights_and_say_what_they_were_measured_on(name, few):
    report = kept(name, few)
    run, metrics = report["run"], report["metrics"]
    assert run["weights"] == digest(pretrained_folder() / name / "weights.safetensors")
    assert run["name"] == name and run["held_out"] == run["split"].split("/")[1]
    assert {"code", "device", "versions", "train_clips", "held_out_clips"} <= run.keys()
    if few: assert (run["train_clips"], run["held_out_clips"]) == FEW[name]
    assert (metrics["probe.train_clips"], metrics["probe.test_clips"]) == (
        run["train_clips"], run["held_out_clips"])
    for key in [k for k in metrics if k.startswith("probe.") and k.count(".") == 2]:
        assert 0 < metrics[f"{key}.chance"] <= .5 and metrics[f"{key}.majority"] > 0, key


def test_the_pendulum_reaches_what_it_should():
    metrics = kept("pendulum", ("pendulum", False) not in HAS)["metrics"]
    assert not {k: metrics[k] for k, v in AT_LEAST.items() if metrics[k] < v}
    assert not {k: metrics[k] for k, v in AT_MOST.items() if metrics[k] > v}
    for k, v in IS_CHANCE.items(): assert metrics[k] == pytest.approx(v)


@pytest.mark.parametrize("name", pretrained_names())
def test_each_measure_gives_the_kept_figure_again(name):
    _, now = measure_pretrained(name, few=True)
    before = kept(name, True)["metrics"]
    assert now.keys() == before.keys()
    off = {k: (v, now[k]) for k, v in before.items() if abs(now[k] - v) > tolerance(k, v)}
    assert not off, "measured again with `make measured`? kept, and measured now"
