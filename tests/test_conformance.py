"""What every model of videos has to do, whichever it is. A new model joins with a line in `MODELS`,
and what makes no model of its kind with lines in `WRONG`."""
from functools import cache
import pytest, torch
from torch.testing import assert_close as close
from vdsm.compare.cdsvae import CDSVAE, CDSVAEConfig
from vdsm.compare.dsvae import DSVAE, DSVAEConfig
from vdsm.compare.mocogan import MoCoGAN, MoCoGANConfig
from vdsm.compare.s3vae import S3VAE, S3VAEConfig
from vdsm.data.pendulum import Pendulum
from vdsm.data.registry import DATASETS
from vdsm.data.sequences import ArraySequences
from vdsm.evaluate.generated_clips import generate, missing_ways
from vdsm.latents import reconstruct, swap
from vdsm.lib.checkpoint import load_optimizer, newest_checkpoint
from vdsm.lib.method import TRAINED_BY, StageTrainer, training_method
from vdsm.lib.pretrained import METHODS, from_pretrained
from vdsm.model.configuration import VDSMConfig
from vdsm.model.diagnosis import diagnose
from vdsm.model.interface import Codes
from vdsm.model.vdsm import VDSM
from vdsm.training.loop import train_method
from vdsm.training.presets import at_size, get_preset
from vdsm.training.runs import open_run

TINY = dict(encoder=(8,)*5, decoder=(16, 8, 8, 8), embedding=16, hidden=12)
MODELS = {  # name in the test -> class and configuration
    "VDSM": (VDSM, VDSMConfig(**TINY, n_experts=4, z_dim=3, d_dim=5)),
    "DSVAE full": (DSVAE, DSVAEConfig(**TINY, f_dim=5, z_dim=3)),
    "DSVAE factorised": (DSVAE, DSVAEConfig(**TINY, f_dim=5, z_dim=3, posterior="factorised")),
    "C-DSVAE": (CDSVAE, CDSVAEConfig(**TINY, f_dim=5, z_dim=3)),
    "S3VAE": (S3VAE, S3VAEConfig(**TINY, f_dim=5, z_dim=3)),
    "MoCoGAN": (MoCoGAN, MoCoGANConfig(content_dim=5, motion_dim=3, decoder=(16, 8, 8, 8),
                                       image=(4, 8), video=(4, 8))),
    "MoCoGAN averaged": (MoCoGAN, MoCoGANConfig(
        content_dim=5, motion_dim=3, decoder=(16, 8, 8, 8), image=(4, 8), video=(4, 8),
        batch_norm=False, video_scale=2, memory=1., average=.9)),
}
SIZES = dict(hidden=0, embedding=-1, channels=0, encoder=(8, 8), decoder=(8,)*9, size=48,
             likelihood="poisson")
CONFIGS = VDSMConfig, DSVAEConfig, CDSVAEConfig, S3VAEConfig
WRONG = [(cls, {field: value}) for cls in CONFIGS for field, value in
         (SIZES | dict(z_dim=0)).items()] + [
    (VDSMConfig, dict(iaf=1, z_dim=1)), (VDSMConfig, dict(n_experts=0)),
    (DSVAEConfig, dict(f_dim=0)), (DSVAEConfig, dict(posterior="half")),
    (CDSVAEConfig, dict(temperature=0.)),
    (S3VAEConfig, dict(grid=1)), (S3VAEConfig, dict(margin=0.)),
    *[(MoCoGANConfig, {field: 0}) for field in ("content_dim", "motion_dim", "categories")],
    (MoCoGANConfig, dict(size=48)), (MoCoGANConfig, dict(decoder=(8,)*9)),
    (MoCoGANConfig, dict(image=())), (MoCoGANConfig, dict(video=(8,)*6)),
    (MoCoGANConfig, dict(video_scale=3)), (MoCoGANConfig, dict(average=1.))]
WAYS = ("reconstruction", "rollout", "action.prior", "action.donor", "content.prior",
        "content.donor", "content.lstm", "sample.prior", "sample.aggregate")
every_model = pytest.mark.parametrize("name", MODELS)
every_method = pytest.mark.parametrize("method", TRAINED_BY)


@cache
def pendula(split="train", size=64):
    "A few pendula, drawn once."
    data = Pendulum(split, 28, 6, size=size)
    return ArraySequences(data.clips(slice(None)), data.factors, data.classes, data.identity,
                          "pendulum", split, data.static_factors)


def new(name, **changed):
    "A model with random weights."
    torch.manual_seed(0)
    cls, config = MODELS[name]
    return cls(type(config)(**vars(config) | changed)).eval()


every_encoder = pytest.mark.parametrize("name", [k for k in MODELS if new(k).has_encoder])


def clips(size=64): return pendula("validation", size).clips(range(4))


def same(a, b):
    assert list(a) == list(b)
    for k in a:
        for x, y in zip(a[k], b[k]): assert torch.equal(x, y)


def seeded(call, seed=1):
    torch.manual_seed(seed)
    return call()


@every_encoder
@pytest.mark.parametrize("size", (64, 128))
def test_shapes(name, size):
    model, x = new(name, size=size), clips(size)
    codes = model.encode(x)
    assert model.frame_size == size and codes.static and codes.dynamic
    for k in codes:
        mean, scale = codes[k]
        assert mean.shape == scale.shape and len(mean) == 4 and (scale > 0).all()
        assert mean.dim() == 2 or k in codes.dynamic and mean.shape[1] == 6
    made = model.decode(codes)
    assert made.shape == x.shape and made.min() >= 0 and made.max() <= 1
    assert all(len(codes[k].mean) == len(model.encode(x[0])[k].mean)*4 for k in codes)
    picture = model.encode(x[0, 0])
    assert model.decode(picture).shape == (1, 1, 3, size, size)


@every_encoder
def test_a_batch_is_its_clips(name):
    model, x = new(name), clips()
    codes = model.encode(x)
    for k in codes: close(codes[k].mean[2:3], model.encode(x[2])[k].mean, atol=1e-5, rtol=0)
    some = codes.map(lambda v: v[2:3])
    close(model.decode(some), model.decode(codes)[2:3], atol=1e-5, rtol=0)


@every_model
def test_a_seed_gives_the_same(name):
    model, x = new(name), clips()
    draws = [lambda: model.sample(2, 5),
             lambda: model.sample_static(2) | model.sample_dynamic(2, 5)]
    if model.has_encoder:
        same(model.encode(x), model.encode(x))
        draws.append(lambda: model.encode(x, sample=True).map(torch.clone))
    for draw in draws:
        a, b = seeded(draw), seeded(draw)
        same(a, b) if isinstance(a, Codes) else close(a, b, rtol=0, atol=0)
    a, b = (seeded(lambda: model.sample_dynamic(8, 5), seed) for seed in (1, 2))
    assert all(not torch.equal(a[k].mean, b[k].mean) for k in a)


@every_model
@pytest.mark.parametrize("size", (64, 128))
def test_halves_of_a_sample(name, size):
    "A static half and a dynamic one make a clip; each half can be kept while the other is drawn."
    model = new(name, size=size)
    static, dynamic = model.sample_static(3), model.sample_dynamic(3, 5)
    assert static.static and not static.dynamic and dynamic.dynamic and not dynamic.static
    made = model.decode(static | dynamic)
    assert made.shape == (3, 5, 3, size, size) and made.min() >= 0 and made.max() <= 1
    for kept in (static, dynamic):
        first = kept.map(lambda v: v[:1]).expand(3)
        other = model.decode(static | dynamic | first)
        close(other[0], made[0], atol=1e-5, rtol=0)
        assert (other[1] - other[0]).abs().max() > 1e-6


@every_model
def test_a_model_without_an_encoder_says_so(name):
    model, data, x = new(name), pendula("validation"), clips()
    if model.has_encoder:
        assert model.encode(x)
        return
    calls = [lambda: model.encode(x), lambda: reconstruct(model, x), lambda: swap(model, x, x),
             lambda: diagnose(model, x), lambda: model.extrapolate(x, 2)]
    for call in calls:
        with pytest.raises(NotImplementedError, match=f"{model.method} has no .*[.]$"): call()
    missing = missing_ways(model, data, WAYS)
    assert set(WAYS) - set(missing) == {"sample.prior"}
    assert all(f"{model.method} has no " in why for why in missing.values())


@every_encoder
def test_swaps(name):
    "With itself nothing changes; both halves of another clip are that clip; a swap has two names."
    model, x = new(name), clips()
    a, b = x[:2], x[2:]
    own = reconstruct(model, a)
    assert torch.equal(swap(model, a, a), own) and torch.equal(swap(model, a, a, "action"), own)
    close(swap(model, a, b, "both"), reconstruct(model, b), atol=1e-5, rtol=0)
    close(swap(model, a, b, "identity"), swap(model, b, a, "action"), atol=1e-5, rtol=0)


@every_encoder
def test_prior_and_prediction(name):
    model, x = new(name), clips()
    drawn = model.sample(3, 7)
    assert drawn.shape == (3, 7, *x.shape[2:]) and drawn.min() >= 0 and drawn.max() <= 1
    codes = model.encode(x)
    priors = model.prior_of(codes)
    assert {k: v.mean.shape for k, v in priors.items()} == {k: codes[k].mean.shape for k in codes}
    assert all((p.scale > 0).all() for p in priors.values())
    rolled = model.rollout(codes)
    for k in codes.static: assert torch.equal(rolled[k].mean, codes[k].mean)
    moved = [k for k in codes.dynamic if codes[k].mean.dim() == 3]
    for k in moved:
        assert torch.equal(rolled[k].mean[:, 0], codes[k].mean[:, 0])
        close(model.prior_of(rolled)[k].mean[:, 1:], rolled[k].mean[:, 1:], atol=1e-5, rtol=0)
    ahead = model.extrapolate(x, 5)
    assert ahead.shape == (4, 5, *x.shape[2:])
    close(model.extrapolate(x, 3), ahead[:, :3], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="method='guess'"): model.extrapolate(x, 5, "guess")


@every_model
def test_what_evaluation_needs(name):
    model, data, x = new(name), pendula("validation"), clips()
    missing = missing_ways(model, data, WAYS)
    assert all(why.endswith(".") for why in missing.values())
    made = generate(model, x, x.flip(0), tuple(w for w in WAYS if w not in missing))
    assert {v.shape for v in made.values()} == {x.shape}
    if not model.has_encoder: return
    found = diagnose(model, x)
    assert set(found.nats) == set(model.encode(x)) and str(found)


@every_model
def test_save_and_load(name, tmp_path):
    model, x = new(name), clips()
    model.metadata = dict(dataset="pendulum", preset="quick", seed=3)
    model.save_pretrained(tmp_path)
    again = from_pretrained(tmp_path)
    assert type(again) is type(model) and again.config == model.config and not again.training
    assert again.metadata == model.metadata and METHODS[model.method] == type(model).__module__
    for a, b in zip(model.state_dict().items(), again.state_dict().items()):
        assert a[0] == b[0] and torch.equal(a[1], b[1])
    close(seeded(lambda: model.sample(2, 3)), seeded(lambda: again.sample(2, 3)), rtol=0, atol=0)
    other = next(cls for cls, _ in MODELS.values() if cls is not type(model))
    with pytest.raises(ValueError, match=f"is a {model.method} and no {other.__name__}"):
        other.from_pretrained(tmp_path)
    assert not model.has_encoder or model.encode(x)


@every_model
def test_everything_is_on_the_device_of_the_model(name, monkeypatch):
    "The device `meta` computes shapes and no values, and refuses tensors of another device."
    monkeypatch.setattr("vdsm.model.interface.check_clips", lambda x, *_: x)
    model, x = new(name).to("meta"), clips()
    made = [lambda: model.sample(2, 3), lambda: model.extrapolate(x, 2),
            lambda: model.decode(model.rollout(model.encode(x), sample=True)),
            lambda: model.decode(model.sample_static(4) | Codes({}, model.encode(x).dynamic))]
    for make in made:
        try: assert make().device.type == "meta" == model.device.type
        except NotImplementedError as e: assert " has no " in str(e)


@every_encoder
def test_wrong_clips_are_refused(name):
    model = new(name)
    said = f"a {model.method} of size 64: .*resize the frames to 64 by 64"
    for call in (model.encode, lambda x: model.extrapolate(x, 2), lambda x: reconstruct(model, x)):
        with pytest.raises(ValueError, match=said): call(clips(128))
    x = clips()
    with pytest.raises(ValueError, match="values run from"): model.encode(2*x)
    with pytest.raises(ValueError, match="float tensor"): model.encode((255*x).byte())


@pytest.mark.parametrize("cls, wrong", WRONG, ids=lambda v: getattr(v, "__name__", str(v)))
def test_wrong_configurations_are_refused(cls, wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}=.*[.]$"): cls(**wrong)


@every_method
def test_presets(method):
    for dataset, info in DATASETS.items():
        for name in ("quick", "paper", "smoke"):
            preset = get_preset(dataset, name, method=method)
            assert (preset.model.channels, preset.model.size) == (info.channels, info.size)
            assert at_size(preset, 128).model.size == 128
            assert preset == training_method(method)(preset).preset
    with pytest.raises(ValueError, match="unknown preset 'fast' .*quick"):
        get_preset("pendulum", "fast", method=method)
    with pytest.raises(ValueError, match="no presets for data set 'x'"):
        get_preset("x", method=method)


class Stop(Exception): pass


def weights(model): return model.state_dict()


def equal(a, b): return all(torch.equal(v, weights(b)[k]) for k, v in weights(a).items())


@every_method
def test_a_stopped_run_ends_with_the_same_weights(method, tmp_path, monkeypatch):
    data, how = pendula(), training_method(method)(get_preset("pendulum", "smoke", method=method))
    whole = train_method(how, data, tmp_path / "whole", log_every=1)
    assert type(whole).__name__ == method and not whole.training
    step, at = StageTrainer.__call__, []
    def stops(self):
        if self.run.step == 3 and self.number not in at:
            at.append(self.number)
            raise Stop
        return step(self)
    monkeypatch.setattr(StageTrainer, "__call__", stops)
    for _ in how.preset.stages:
        with pytest.raises(Stop): train_method(how, data, tmp_path / "parts")
    parts = train_method(how, data, tmp_path / "parts")
    states = lambda run: [load_optimizer(tmp_path / run / "final", torch.device("cpu"), i)
                          for i in range(2)]
    for a, b in zip(states("whole"), states("parts")):
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert states("whole")[0] and bool(states("whole")[1]) == (method == "MoCoGAN")
    assert equal(whole, parts) and equal(whole, from_pretrained(tmp_path / "parts" / "final"))
    assert not equal(whole, how.new_model())
    assert newest_checkpoint(tmp_path / "parts").name == "final"
    loaded = train_method(how, data, tmp_path / "parts")
    assert equal(whole, loaded) and loaded.metadata.get("preset") == parts.metadata.get("preset")


@every_method
def test_wrong_data_are_refused_before_training(method, tmp_path):
    how = training_method(method)(get_preset("pendulum", "smoke", method=method))
    grey = ArraySequences(pendula().clips(slice(None))[:, :, :1], name="grey")
    config = type(how.preset.model).__name__
    for data, said in ((grey, f"set channels=1 in the model's {config}"),
                       (pendula(size=128), f"set size=128 in the model's {config}")):
        with pytest.raises(ValueError, match=said): train_method(how, data, tmp_path)
    assert not list(tmp_path.iterdir())


@every_method
def test_a_run_by_name(method, tmp_path, monkeypatch):
    monkeypatch.setattr("vdsm.training.runs.project_root", lambda: tmp_path)
    run = open_run("pendulum", "smoke", 2, method=method)
    name = "pendulum-smoke-2" if method == "VDSM" else f"{method.lower()}-pendulum-smoke-2"
    assert run.model.method == method and run.folder == tmp_path / "data" / "runs" / name
    assert run.title.endswith("Pendulum, smoke, seed 2")
    with pytest.raises(ValueError, match="unknown method 'SVG'; choose one of VDSM"):
        open_run("pendulum", "smoke", method="SVG")
