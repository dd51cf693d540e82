"""Presets: every one takes steps along its whole schedule, `paper` and `released` hold the paper's
objective alone, and `released` is the authors' schedule."""
import math
from dataclasses import fields, replace
import pytest, torch
from lightning_fabric import Fabric
from vdsm.data.sequences import ArraySequences
from vdsm.training.annealing import Anneal
from vdsm.lib.checkpoint import AFTER_STAGE_1
from vdsm.training.loop import Run, TwoStages
from vdsm.training.presets import PRESETS, get_preset

SHARES = (0, .25, .5, .6, .75, .99)
# what the paper sets, or leaves open
SCHEDULE = {
    "steps",
    "batch",
    "frames",
    "lr",
    "lr_factor",
    "lambda_s",
    "lambda_d",
    "lambda_z",
    "inverse_temperature",
}
ALL = [(dataset, name) for dataset, presets in PRESETS.items() for name in presets]
stages = lambda preset: preset.stages[:2]
def annealed(stage):
    curves = {f.name: getattr(stage, f.name) for f in fields(stage)}
    return {k: v for k, v in curves.items() if isinstance(v, Anneal)}


def reduced(preset):
    "Small networks and batches; schedules, options and steps as they are."
    model = replace(
        preset.model,
        n_experts=3,
        z_dim=4,
        d_dim=5,
        encoder=(4,) * len(preset.model.encoder),
        decoder=(8, 4, 4, 4),
        embedding=8,
        hidden=8,
    )
    return replace(preset, model=model, stage1=replace(preset.stage1, batch=3),
                   stage2=replace(preset.stage2, batch=3, pseudo_batch=4))


@pytest.mark.parametrize("dataset, name", ALL)
def test_a_preset_takes_steps_along_both_stages(dataset, name, tmp_path):
    preset = reduced(get_preset(dataset, name))
    torch.manual_seed(0)
    clips = torch.rand(8, max(preset.stage2.frames), preset.model.channels, 64, 64)
    data = ArraySequences(clips, identity=torch.arange(8) // 2)
    fabric = Fabric(accelerator="cpu", devices=1, precision=preset.precision)
    method = TwoStages(preset)
    run = Run(method, data, tmp_path, fabric)
    method.init_weights(run)
    for number, stage in enumerate(stages(preset), 1):
        run.stage = number
        if number == 2:
            run.step = 0
            method.begin_stage(run)
            run.save(AFTER_STAGE_1)
        trainer = method.trainer(run)
        for share in SHARES:
            run.step = int(share * stage.steps)
            record = trainer()
            assert record is not None and math.isfinite(record["loss"]), (number, share)
            weights = [
                v
                for k, v in record.items()
                if k.startswith(("lambda_", "inverse_temperature", "lr"))
            ]
            assert len(weights) == 5 and min(weights) >= 0, (number, share)


@pytest.mark.parametrize("dataset, name", [k for k in ALL if get_preset(*k).stage3])
def test_a_third_stage_takes_steps_along_its_schedule(dataset, name, tmp_path):
    stage = replace(get_preset(dataset, name).stage3, clips=5, batch=3)
    preset = replace(reduced(get_preset(dataset, name)), stage3=stage)
    data = ArraySequences(torch.rand(8, 16, preset.model.channels, 64, 64))
    run = Run(TwoStages(preset), data, tmp_path, Fabric(accelerator="cpu", devices=1))
    run.stage = 3
    trainer = run.method.trainer(run)
    for share in SHARES:
        run.step = int(share * stage.steps)
        record = trainer()
        assert math.isfinite(record["loss"]) and record["lr"] > 0, share


@pytest.mark.parametrize("dataset, name", ALL)
def test_no_weight_is_ever_negative(dataset, name):
    for stage in stages(get_preset(dataset, name)):
        for field, curve in annealed(stage).items():
            assert all(curve(i / 300) >= 0 for i in range(301)), field


@pytest.mark.parametrize("dataset", PRESETS)
@pytest.mark.parametrize("name", ["paper", "released"])
def test_the_papers_objective_alone(dataset, name):
    """Equations 2, 4 and 7: whatever a stage offers beyond a schedule is off, an option added
    later too."""
    assert get_preset(dataset, name).stage3 is None
    for stage in stages(get_preset(dataset, name)):
        off, names = type(stage)(stage.steps), {f.name for f in fields(stage)}
        assert SCHEDULE - {"lambda_d"} < names
        differ = {f for f in names if getattr(stage, f) != getattr(off, f)} - SCHEDULE
        assert not differ, f"{name} of {dataset} departs from the paper in {differ}"
    assert (off.decoded, off.context, off.pseudo_fraction, off.horizon) == (None, None, 0, 1)
    assert not (off.leave_one_out or off.static_from_other_clip
                or off.remove_shared_directions)
    assert get_preset(dataset, name).model.iaf == 0


@pytest.mark.parametrize(
    "dataset, steps, frames, experts",
    [("sprites", (10_000, 10_000), (16, 8), 40), ("mug", (12_500, 400), (20, 20), 15)],
)
def test_released_is_the_authors_schedule(dataset, steps, frames, experts):
    preset = get_preset(dataset, "released")
    m, one, two = preset.model, *stages(preset)
    assert tuple(s.steps for s in stages(preset)) == steps
    assert (one.frames, two.frames) == (frames[0], (frames[1],) * 2)
    assert one.batch == two.batch == 20
    assert (m.n_experts, m.z_dim, m.d_dim, m.lstm_layers, m.hidden, m.dropout) == (
        experts,
        30,
        50,
        3,
        512,
        0.2,
    )
    assert (m.encoder, m.decoder) == ((32, 32, 64, 64, 256), (512, 256, 128, 64))
    at = lambda curve, *shares: pytest.approx([curve(u) for u in shares])
    assert [1, 5.5, 10, 10] == at(one.inverse_temperature, 0, .25, .5, 1)
    assert [10, 10, 10] == at(two.inverse_temperature, 0, .3, 1)
    assert [30, .2, .005, .4, 1] == at(one.lambda_z, 0, .5, .6, .8, 1)
    assert [.1, .4, .4, 1] == at(two.lambda_z, 0, .5, .8, 1)
    assert max(one.lambda_z(i / 1000) for i in range(1001)) <= 80
    assert [0.1, 0.1 + 0.9 * (1 - math.cos(math.pi / 4)) / 2, 0.55, 1] == at(
        two.lambda_d, 0, 0.25, 0.5, 1
    )
    for stage in stages(preset):
        assert [.1, .55, 1, 1] == at(stage.lambda_s, 0, 1 / 6, 1 / 3, 1)
        assert [1e-3] * 3 == [pytest.approx(stage.lr * stage.lr_factor(u)) for u in (0, .5, 1)]
