"""Presets: every one takes steps along its whole schedule, `paper` and `released` hold the paper's objective alone,
and `released` is the authors' schedule."""
import math
from dataclasses import fields, replace
import pytest, torch
from lightning_fabric import Fabric
from vdsm.data.sequences import ArraySequences
from vdsm.training.annealing import Anneal
from vdsm.lib.checkpoint import AFTER_STAGE_1
from vdsm.training.presets import PRESETS, Stage, get_preset
from vdsm.training.two_stage import Run, StageTrainer, frame_batch, init_dynamics

SHARES = (0, .25, .5, .6, .75, .99)
# what the paper sets, or leaves open
SCHEDULE = {"steps", "batch", "frames", "lr", "lr_factor", "lambda_s", "lambda_d", "lambda_z", "inverse_temperature"}
ALL = [(dataset, name) for dataset, presets in PRESETS.items() for name in presets]
stages = lambda preset: (preset.stage1, preset.stage2)
def annealed(stage):
    curves = {f.name: getattr(stage, f.name) for f in fields(stage)}
    return {k: v for k, v in curves.items() if isinstance(v, Anneal)}


def reduced(preset):
    "Small networks and batches; schedules, options and steps as they are."
    model = replace(preset.model, n_experts=3, z_dim=4, d_dim=5, encoder=(4,) * 5, decoder=(8, 4, 4, 4),
                    embedding=8, hidden=8)
    less = lambda stage: replace(stage, batch=3, pseudo_batch=4)
    return replace(preset, model=model, stage1=less(preset.stage1), stage2=less(preset.stage2))


@pytest.mark.parametrize("dataset, name", ALL)
def test_a_preset_takes_steps_along_both_stages(dataset, name, tmp_path):
    preset = reduced(get_preset(dataset, name))
    torch.manual_seed(0)
    clips = torch.rand(8, max(preset.stage2.frames), preset.model.channels, 64, 64)
    data = ArraySequences(clips, identity=torch.arange(8) // 2)
    fabric = Fabric(accelerator="cpu", devices=1, precision=preset.precision)
    run = Run(fabric, preset, data, tmp_path, seed=0, log_every=1)
    run.model.init_from_data(frame_batch(data, preset.stage1, torch.Generator())[0]["x"])
    for number, stage in enumerate(stages(preset), 1):
        run.stage = number
        if number == 2: init_dynamics(run); run.step = 0; run.save(AFTER_STAGE_1)
        trainer = StageTrainer(run, None)
        for share in SHARES:
            run.step = int(share * stage.steps)
            record = trainer()
            assert record is not None and math.isfinite(record["loss"]), (number, share)
            weights = [v for k, v in record.items() if k.startswith(("lambda_", "inverse_temperature", "lr"))]
            assert len(weights) == 5 and min(weights) >= 0, (number, share)


@pytest.mark.parametrize("dataset, name", ALL)
def test_no_weight_is_ever_negative(dataset, name):
    for stage in stages(get_preset(dataset, name)):
        for field, curve in annealed(stage).items():
            assert all(curve(i / 300) >= 0 for i in range(301)), field


@pytest.mark.parametrize("dataset", PRESETS)
@pytest.mark.parametrize("name", ["paper", "released"])
def test_the_papers_objective_alone(dataset, name):
    "Equations 2, 4 and 7: whatever `Stage` offers beyond a schedule is off, an option added later too."
    assert SCHEDULE < {f.name for f in fields(Stage)}
    for stage in stages(get_preset(dataset, name)):
        off = Stage(stage.steps)
        differ = {f.name for f in fields(Stage) if getattr(stage, f.name) != getattr(off, f.name)} - SCHEDULE
        assert not differ, f"{name} of {dataset} departs from the paper in {differ}"
    assert (off.decoded, off.context, off.pseudo, off.horizon) == (None, None, 0, 1)
    assert not (off.leave_one_out or off.static_from_other_clip or off.unshared)
    assert get_preset(dataset, name).model.iaf == 0


@pytest.mark.parametrize("dataset, steps, frames, experts", [("sprites", (10_000, 10_000), (16, 8), 40),
                                                             ("mug", (12_500, 400), (20, 20), 15)])
def test_released_is_the_authors_schedule(dataset, steps, frames, experts):
    preset = get_preset(dataset, "released")
    m, one, two = preset.model, *stages(preset)
    assert tuple(s.steps for s in stages(preset)) == steps
    assert [s.frames for s in stages(preset)] == [(n, n) for n in frames] and one.batch == two.batch == 20
    assert (m.n_experts, m.z_dim, m.d_dim, m.lstm_layers, m.hidden, m.dropout) == (experts, 30, 50, 3, 512, .2)
    assert (m.encoder, m.decoder) == ((32, 32, 64, 64, 256), (512, 256, 128, 64))
    at = lambda curve, *shares: pytest.approx([curve(u) for u in shares])
    assert [1, 5.5, 10, 10] == at(one.inverse_temperature, 0, .25, .5, 1)
    assert [10, 10, 10] == at(two.inverse_temperature, 0, .3, 1)
    assert [30, .2, .005, .4, 1] == at(one.lambda_z, 0, .5, .6, .8, 1)
    assert [.1, .4, .4, 1] == at(two.lambda_z, 0, .5, .8, 1)
    assert max(one.lambda_z(i / 1000) for i in range(1001)) <= 80
    assert [.1, .1 + .9 * (1 - math.cos(math.pi / 4)) / 2, .55, 1] == at(two.lambda_d, 0, .25, .5, 1)
    for stage in stages(preset):
        assert [.1, .55, 1, 1] == at(stage.lambda_s, 0, 1 / 6, 1 / 3, 1)
        assert [1e-3] * 3 == [pytest.approx(stage.lr * stage.lr_factor(u)) for u in (0, .5, 1)]
