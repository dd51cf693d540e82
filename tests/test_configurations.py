"""Small configurations drawn at random: each trains, or is refused in a sentence before its first
step."""
import random
import pytest, torch
from vdsm.data.sequences import ArraySequences
from vdsm.model.configuration import CHOICES
from vdsm.model.vdsm import VDSMConfig
from vdsm.training.annealing import Anneal, constant
from vdsm.lib.checkpoint import read_history
from vdsm.lib.method import StageTrainer
from vdsm.training.loop import check_frames, train
from vdsm.training.presets import FrameStage, Preset, SequenceStage

DRAWN, PARTS = 240, 8  # configurations in all, tests that share them
TRAIN = .6              # share of them that has to train


def drawn_options(rng):
    """Fields of the model, of both stages and of the data; one in five has a value that is wrong
    or extreme."""
    small, share = lambda: rng.randint(1, 9), lambda: rng.choice([0., .3, .7, 1.])
    curve = lambda: rng.choice(
        [constant(1.0), constant(0.0), Anneal((0.1, 1)), Anneal((5, 1), (0, 0.5), "geometric")]
    )
    model = dict(
        n_experts=small(),
        z_dim=small(),
        d_dim=small(),
        encoder=tuple(small() for _ in range(5)),
        decoder=tuple(small() for _ in range(4)),
        embedding=small(),
        hidden=small(),
        lstm_layers=rng.randint(1, 2),
        dropout=rng.choice([0.0, 0.5]),
        channels=rng.choice([1, 3]),
        prior_s=rng.choice(["std", "variance"]),
        likelihood=rng.choice(CHOICES["likelihood"]),
        iaf=rng.choice([0, 0, 0, 0, 0, 0, 1, 2]),
        learned_prior=rng.choice([0, 0, 1, 3]),
    )
    def stage():
        few = rng.randint(1, 12)
        return dict(
            steps=rng.randint(1, 3),
            batch=small(),
            frames=(few, few + rng.randint(0, 6)),
            decoded=rng.choice([None, 1, 3, 20]),
            clip_norm=rng.choice([0.1, 50.0]),
            lambda_s=curve(),
            lambda_d=curve(),
            lambda_z=curve(),
            inverse_temperature=rng.choice([None, constant(10.0), Anneal((1, 10))]),
        )
    second = stage() | dict(
        context=rng.choice([None, 1, 5, 30]), pseudo_fraction=share(), pseudo_batch=small(),
        train_static_on_pixels=rng.random() < .5, leave_one_out=rng.random() < .5,
        static_from_other_clip=rng.random() < .5, remove_shared_directions=rng.random() < .5,
        horizon=rng.choice([1, 1, 2, 4, 20]), horizon_from=share(),
        clips=rng.choice([None, 1, 3]), start_clips=rng.choice([1, 5, 64]))
    second["leave_one_out"] &= second["pseudo_fraction"] > 0 # refused without, see below
    first = stage()
    first["frames"] = first["frames"][1]
    del first["lambda_d"]
    clips = rng.randint(1, 8)
    data = dict(
        clips=clips,
        frames=rng.randint(1, 16),
        channels=model["channels"],
        identities=rng.randint(1, clips),
        kind=rng.choice(["noise", "noise", "noise", "still", "black"]),
    )
    parts = dict(model=model, stage1=first, stage2=second, data=data)
    if rng.random() < .2:
        part, field, value = rng.choice(
            [
                ("model", "n_experts", 0),
                ("model", "z_dim", -1),
                ("model", "encoder", (4, 4, 4)),
                ("model", "decoder", (4,) * 5),
                ("model", "likelihood", "poisson"),
                ("model", "dropout", 1.0),
                ("stage1", "steps", 0),
                ("stage1", "frames", (6, 2)),
                ("stage2", "frames", (6, 2)),
                ("stage1", "batch", 0),
                ("stage2", "pseudo_fraction", 1.5),
                ("stage2", "horizon", 0),
                ("stage2", "context", 0),
                ("stage1", "lr", float("nan")),
                ("stage2", "lr", -1.0),
                ("stage2", "clip_norm", 0.0),
                ("data", "channels", 4 - model["channels"]),
                ("data", "kind", "nan"),
                ("data", "kind", "bytes"),
            ]
        )
        parts[part][field] = value
    return parts


def build(parts):
    "What `train` takes."
    d = parts["data"]
    x = torch.rand(
        d["clips"],
        d["frames"],
        d["channels"],
        64,
        64,
        generator=torch.Generator().manual_seed(d["clips"]),
    )
    if d["kind"] == "still": x = x[:1, :1].expand_as(x).contiguous()
    if d["kind"] == "black": x = torch.zeros_like(x)
    if d["kind"] == "nan": x[-1, -1] = float("nan")
    if d["kind"] == "bytes": x = x*255
    data = ArraySequences(x, identity=torch.arange(len(x)) % d["identities"])
    return data, Preset(VDSMConfig(**parts["model"]), FrameStage(**parts["stage1"]),
                        SequenceStage(**parts["stage2"]), save_every=2)


def outcome(parts, folder, taken):
    "'trained' or 'refused'; anything else is an error of ours."
    taken.clear()
    try: data, preset = build(parts); model = train(data, preset, folder, log_every=1)
    except ValueError as e:
        assert not taken, f"refused only after {len(taken)} steps: {e}"
        assert len(str(e)) > 20 and "\n" not in str(e)
        return "refused"
    assert [r["stage"] for r in read_history(folder)] == [1] * preset.stage1.steps + [
        2
    ] * preset.stage2.steps
    assert all(p.isfinite().all() for p in model.parameters())
    return "trained"


@pytest.mark.parametrize("part", range(PARTS))
def test_drawn_configurations_train_or_are_refused(part, tmp_path, monkeypatch):
    taken, step, said = [], StageTrainer.__call__, []
    monkeypatch.setattr(StageTrainer, "__call__", lambda self: (taken.append(1), step(self))[1])
    for i in range(part, DRAWN, PARTS):
        parts = drawn_options(random.Random(i))
        try:
            said.append(outcome(parts, tmp_path / str(i), taken))
        except Exception as e:
            raise AssertionError(f"configuration {i}, {parts}: {type(e).__name__}: {e}") from e
    assert said.count("trained") > len(said)/3, said


def test_six_in_ten_are_not_refused():
    """What `build` and `train` refuse is refused before a step; the rest has to train, as tested
    above."""
    refused = 0
    for i in range(DRAWN):
        try: data, preset = build(drawn_options(random.Random(i))); check_frames(data, preset)
        except ValueError: refused += 1
    assert DRAWN - refused >= TRAIN*DRAWN and refused > DRAWN/10
