"""Frames of 64 and of 128 pixels: models of both train, are saved and loaded, and are used alike.
Every other size is refused in a sentence."""
import json
from dataclasses import replace
from functools import cache
import pytest, torch
from vdsm.data.pendulum import Pendulum
from vdsm.data.sequences import ArraySequences
from vdsm.data.registry import DATASETS, DatasetInfo, register
from vdsm.evaluate.judge import JudgeConfig, fit_judge
from vdsm.evaluate.pendulum_angle import angle_errors
from vdsm.latents import extrapolate, reconstruct, swap_matrix
from vdsm.lib.checkpoint import AFTER_STAGE_1, read_history
from vdsm.lib.pretrained import from_pretrained, load_checkpoint, read_config
from vdsm.model.configuration import VDSMConfig
from vdsm.model.vdsm import VDSM
from vdsm.training.loop import train
from vdsm.training.presets import PRESETS, at_size, get_preset
from vdsm.training.runs import open_run
from vdsm.view.diagrams import relations
from vdsm.view.explorer import Explorer

SMOKE = get_preset("pendulum", "smoke")


@cache
def pendula(size, split="train"):
    "A few pendula, drawn once."
    data = Pendulum(split, 28, 6, size=size)
    return ArraySequences(data.clips(slice(None)), data.factors, data.classes, data.identity,
                          "pendulum", split, data.static_factors)


def forget_size(config_file):
    "Take the size out of a `config.json`, as in files written before there was one."
    config = json.loads(config_file.read_text())
    del config["model"]["size"]
    if "preset" in config: del config["preset"]["model"]["size"]
    config_file.write_text(json.dumps(config))


@pytest.mark.parametrize("size", (64, 128))
def test_a_model_of_each_size_trains_and_is_used(size, tmp_path):
    preset = get_preset("pendulum", "smoke", size=size)
    trained = train(pendula(size), preset, tmp_path / "run", log_every=1)
    steps = [r["stage"] for r in read_history(tmp_path / "run")]
    assert steps == [1]*6 + [2]*6 and all(p.isfinite().all() for p in trained.parameters())
    trained.save_pretrained(tmp_path / "saved")
    model, x = from_pretrained(tmp_path / "saved"), pendula(size, "validation").clips([0, 8])
    assert model.config == trained.config and model.frame_size == size == x.shape[-1]
    codes = model.encode(x)
    assert torch.equal(model.decode(codes), trained.decode(trained.encode(x)))
    assert model.decode(codes).shape == reconstruct(model, x).shape == x.shape
    assert swap_matrix(model, x, x).shape == (2, 2, *x.shape[1:])
    assert model.sample(3, 5).shape == (3, 5, *x.shape[2:])
    assert extrapolate(model, x, 5).shape == (2, 5, *x.shape[2:])
    assert load_checkpoint(tmp_path / "run" / "final").config.size == size


@pytest.fixture
def few():
    "The name of a registered data set of a few pendula."
    register(DatasetInfo("few", lambda split, size=64: pendula(size, split), "Few", n_frames=6))
    yield "few"
    del DATASETS["few"]
    PRESETS.pop("few", None)


def test_open_run_takes_the_size_of_the_clips(few, tmp_path):
    for size in (64, 128):
        run = open_run(few, "smoke", folder=tmp_path / str(size), size=size)
        assert run.model.frame_size == run.training.frame_size == run.held_out.frame_size == size


LARGER = ("pendulum: frames are 128 by 128 pixels and the model's configuration has size=64; set "
          "size=128 in the model's VDSMConfig, as get_preset.* does, or resize the frames to 64 by "
          "64")
NONE = ("small: frames are 48 by 48 pixels and the model's configuration has size=128; resize the "
        "frames to 128 by 128")


def test_a_wrong_size_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=LARGER): train(pendula(128), SMOKE, tmp_path)
    small = ArraySequences(torch.rand(2, 16, 3, 48, 48), name="small")
    with pytest.raises(ValueError, match=NONE): train(small, at_size(SMOKE, 128), tmp_path)
    assert not list(tmp_path.iterdir())
    for wrong in (48, 16, 0, 64., "64", None):
        with pytest.raises(ValueError, match=f"size={wrong!r}: .*32, 64, 128.*resize"):
            VDSMConfig(size=wrong)
    with pytest.raises(ValueError, match="size=48: .*resize"): get_preset("pendulum", size=48)


def test_frames_that_change_their_size_during_training_are_named(tmp_path):
    data = Pendulum(n_clips=28, n_frames=6)
    first, frames = data.clips(slice(None)), data.frames
    data.clips = lambda idx, n_frames=None: first[torch.arange(28)[idx].reshape(-1)]
    data.frames = lambda clips, times: frames(clips, times)[..., ::2, ::2]
    with pytest.raises(ValueError, match="a batch of pendulum: .*resize the frames to 64 by 64"):
        train(data, SMOKE, tmp_path)


def test_clips_of_another_size_are_named_wherever_they_are_used():
    model, x = from_pretrained("pendulum"), pendula(128).clips([0])
    calls = [model.encode, model.encode_frames, lambda x: model.extrapolate(x, 3),
             lambda x: reconstruct(model, x)]
    for call in calls:
        with pytest.raises(ValueError, match="a VDSM of size 64: .*128, 128.*; resize .* 64 by 64"):
            call(x)
    said = Explorer(model, pendula(128)).notice
    assert "wrong" in said._dom_classes and "size=64" in said.value and "128 pixels" in said.value


def test_a_configuration_without_a_size_means_64(tmp_path):
    before = train(pendula(64), SMOKE, tmp_path / "run")
    for checkpoint in ("final", AFTER_STAGE_1):
        forget_size(tmp_path / "run" / checkpoint / "config.json")
    loaded = load_checkpoint(tmp_path / "run" / "final")
    assert loaded.config == before.config and loaded.config.size == 64
    x = pendula(64).clips([0])
    assert torch.equal(loaded.decode(loaded.encode(x)), before.decode(before.encode(x)))
    again = train(pendula(64), SMOKE, tmp_path / "run")        # finished: it is loaded
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), before.parameters()))
    longer = replace(SMOKE, stage2=replace(SMOKE.stage2, steps=8))
    # its stage 1 is taken over
    after = train(pendula(64), longer, tmp_path / "longer", after=tmp_path / "run")
    assert read_config(tmp_path / "longer" / "final")["model"] == after.config == before.config


def test_the_shipped_models_are_of_64():
    for name in ("pendulum", "sprites"): assert from_pretrained(name).frame_size == 64


def test_a_run_of_another_size_in_the_folder_is_named(tmp_path):
    train(pendula(64), SMOKE, tmp_path)
    with pytest.raises(ValueError, match="differs in preset .model."):
        train(pendula(128), at_size(SMOKE, 128), tmp_path)


def test_channels_of_every_layer_can_be_given():
    channels = dict(encoder=(2, 3, 4, 5, 6, 7), decoder=(7, 6, 5, 4, 3))
    model = VDSM(replace(SMOKE.model, size=128, **channels))
    assert tuple(c.out_channels for c in model.encoder.convs) == channels["encoder"]
    assert model.decoder.channels == channels["decoder"]
    with pytest.raises(ValueError, match="give 5 sizes"): replace(model.config, size=64)


def test_a_registered_data_set_brings_its_size():
    register(DatasetInfo("large", pendula, "Large", size=128))
    try:
        presets = [get_preset("large", name) for name in ("quick", "paper", "released", "smoke")]
        assert {p.model.size for p in presets} == {128}
    finally: del DATASETS["large"], PRESETS["large"]


def test_a_judge_takes_the_size_of_its_clips():
    for size in (64, 128):
        judge = fit_judge(pendula(size), JudgeConfig(width=2, hidden=4, steps=2, batch=4))
        assert judge(pendula(size).clips([0, 1]))["colour"].shape == (2, 7)
        with pytest.raises(ValueError, match=f"a judge of size {size}: .*resize"):
            judge(pendula(192 - size).clips([0]))


def test_large_pendula_are_read_as_small_ones_are():
    data = Pendulum(n_clips=28, size=128)
    truth = data.angle(torch.arange(28)[:, None], torch.arange(16)[None].expand(28, -1))
    error, visible = angle_errors(data.clips(slice(None)), truth, data.rgb)
    assert error.max() < .005 and visible.all()


def test_diagrams_are_drawn_of_a_large_model():
    graphs = [relations(VDSM(at_size(SMOKE, size).model), "model", 3) for size in (64, 128)]
    assert graphs[0].edges == graphs[1].edges
