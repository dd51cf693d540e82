"Codes of models with random weights: what has to hold for any weights."
import pytest, torch
from fastcore.test import test_close as close, test_eq as equal
from vdsm.data.pendulum import Pendulum
from vdsm.evaluate.probes import probe_all, probe_protocols, probe_table
from vdsm.latents import (code_directions, encode, fit_prior, reconstruct, sample_prior, swap,
                          swap_matrix, traverse)
from vdsm.latents.sampling import draw_mixture
from vdsm.model.vdsm import VDSM, VDSMConfig

SMALL = dict(encoder=(8,)*5, decoder=(16, 8, 8, 8), embedding=16, hidden=16)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VDSM(VDSMConfig(**SMALL)).eval()


@pytest.fixture(scope="module")
def clips():
    return Pendulum("validation", 6).clips(slice(None))


def test_shapes_of_codes(model, clips):
    codes = encode(model, clips)
    equal([codes[k].mean.shape for k in codes], [(6, 7), (6, 16), (6, 16, 12)])
    equal(encode(model, clips[0]).s.mean.shape, (1, 7))
    equal(encode(model, clips[0, 0]).z.mean.shape, (1, 1, 12))
    close(encode(model, clips[2]).d.mean[0], codes.d.mean[2], eps=1e-5)  # a batch is its clips
    with pytest.raises(ValueError, match="resize"): encode(model, clips[..., :32])


def test_flows_change_mean_and_scale(clips):
    torch.manual_seed(0)
    model = VDSM(VDSMConfig(**SMALL, iaf=1)).eval()
    codes, guide = encode(model, clips), model.guide
    loc, scale = guide.combiner(guide.combiner.z0.expand(6, -1),
                                guide.states(codes.d.mean, 16)[:, 0])
    flow, z = guide.flows[0], codes.z
    jacobian = torch.autograd.functional.jacobian(flow, loc[0].detach())
    close(z.mean[0, 0], flow(loc[0]), eps=1e-5)
    assert not torch.allclose(z.mean[:, 0], loc)
    close(z.scale[0, 0], jacobian.diagonal()*scale[0], eps=1e-5)
    assert not torch.allclose(z.scale[:, 0], scale)


def test_codes_of_frames_alone(model, clips):
    codes, frames = encode(model, clips), model.encode_frames(clips)
    close(frames.s.mean, codes.s.mean)
    equal(frames.z.mean.shape, codes.z.mean.shape)
    backwards = model.encode_frames(clips.flip(1)).z.mean.flip(1)
    close(backwards, frames.z.mean, eps=1e-5)
    model.stage_1_kept = False
    with pytest.raises(ValueError, match="did not keep the layers of stage 1"):
        model.encode_frames(clips)


def test_swaps(model, clips):
    a, b = clips[:3], clips[3:]
    close(swap(model, a, b, "both"), reconstruct(model, b), eps=1e-5)
    close(swap(model, a, a, "identity"), reconstruct(model, a), eps=1e-5)
    close(swap(model, a, b, "identity"), swap(model, b, a, "action"), eps=1e-5)
    matrix = swap_matrix(model, a, clips[:2], by="transition")
    equal(matrix.shape, (3, 2, 16, 3, 64, 64))


def test_fitted_prior_is_where_the_codes_are(model):
    swings = Pendulum(n_clips=300)
    with torch.no_grad(): model.guide.encoder.head.loc.bias += 5.  # N(0, 1) is never there
    prior = fit_prior(model, swings)
    mean = encode(model, swings.clips(range(300))).d.mean.mean()
    close(draw_mixture(prior.dynamic, 5000)[:, :16].mean(), mean, eps=.1)
    a, b = ((torch.manual_seed(1), sample_prior(model, 2, 5, prior=prior))[1] for _ in range(2))
    equal(a, b)


def test_fitted_prior_by_hand(model):
    "One draw of d, s and z_1 for each clip, in this order."
    swings = Pendulum(n_clips=120)
    one = fit_prior(model, swings, components=1)
    torch.manual_seed(0)
    s, start = [], []
    for idx in torch.randperm(120).split(100):
        codes = encode(model, swings.clips(idx))
        d = codes.d.sample()
        s.append(codes.s.sample())
        z1 = model.rollout_posterior(d, 1, sample=True).mean[:, 0]
        start.append(torch.cat([d, z1], 1))
    close(one.static.means_[0], torch.cat(s).double().mean(0).numpy(), eps=1e-9)
    close(one.dynamic.means_[0], torch.cat(start).double().mean(0).numpy(), eps=1e-9)


def test_traversal_stays_at_its_own_value(model, clips):
    codes = encode(model, clips)
    along = code_directions(model, codes, "s", "dimension", n_clips=1)
    k = along.which.tolist().index(2)
    one = encode(model, clips[0])
    own = along.coordinates(one.s.mean)[0, k:k + 1]
    close(traverse(model, one, along, k, own)[:, 0], reconstruct(model, clips[0]), eps=1e-5)
    walk = traverse(model, codes, code_directions(model, codes, "z", n_clips=1), 0,
                    torch.linspace(-2, 2, 4))
    equal(walk.shape, (6, 4, 16, 3, 64, 64))
    assert not torch.equal(walk[:, 0], walk[:, -1])


def test_probes_of_both_protocols(model):
    data = Pendulum("train", 140), Pendulum("validation", 70)
    metrics = probe_all(model, *data)
    equal(metrics["probe.d.speed.chance"], .5)
    close(metrics["probe.s_hat.colour.majority"], 1/7, eps=.01)
    equal(metrics, probe_all(model, *data))  # the same numbers every time
    assert "| speed |" in probe_table(metrics, data[0].static_factors)
    both = probe_protocols(model, *data, torch.arange(70), draws=2)
    names = [f"{p}.{k}_clips" for p in ("probe", "probe_paper") for k in ("train", "test")]
    equal([both[k] for k in names], [140, 70, 49, 21])
    close(both["probe.d.speed"], metrics["probe.d.speed"], eps=.1)  # another order of clips
