"""What the notebooks of the model need not show: starts from few or equal rows, and on devices
that lack operators."""
import pytest
import torch
from torch import Tensor
from vdsm import VDSM, VDSMConfig
from vdsm.model.encoder import GaussianHead


def rows(n=500): torch.manual_seed(0); return 5 + .01*torch.randn(n, 10)


def test_whitening_gives_each_code_one_unit():
    head, h = GaussianHead(10, 4, unit=0.1), rows()
    uneven = h * torch.logspace(0, -2, 10)
    head.init_whitened(uneven)
    torch.testing.assert_close(
        torch.cov(head(uneven)[0].T) * 499 / 500, 0.01 * torch.eye(4), atol=1e-4, rtol=0
    )


STARTS = [lambda head, h: head.init_from_data(h), lambda head, h: head.init_whitened(h),
          lambda head, h: head.init_whitened(h, h.clone())]


@pytest.mark.parametrize("start", STARTS)
def test_rows_that_are_nearly_alike_leave_nothing_to_scale_by(start):
    h = rows()
    nearly = h[:1] + 1e-6*torch.randn(30, 10)
    for few in (h[:1], h[:1].repeat(7, 1), h[:2], nearly):
        head = GaussianHead(10, 4)
        start(head, few)
        assert all(p.isfinite().all() for p in head.parameters())
        assert head.loc.weight.abs().max() < 1000


class OnApple(Tensor):
    """A tensor that is on a GPU without an eigendecomposition and 64-bit floats, until `cpu()` is
    called."""
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", str(function))
        if name in ("linalg_svd", "linalg_eigh", "double"):
            raise NotImplementedError(f"{name} is missing")
        out = super().__torch_function__(function, types, args, kwargs or {})
        if isinstance(out, Tensor): assert out.dtype != torch.float64, name
        return out.as_subclass(Tensor) if name == "cpu" else out


def test_starts_need_no_operator_that_apple_gpus_lack():
    h = rows()
    with pytest.raises(NotImplementedError): torch.linalg.eigh(h.T.cov().as_subclass(OnApple))
    head, x = GaussianHead(10, 4), h.as_subclass(OnApple)
    head.init_from_data(x)
    head.init_whitened(x, x + .1)


def test_each_pose_of_a_sample_is_drawn():
    torch.manual_seed(0)
    model = VDSM(VDSMConfig(encoder=(4,)*5, decoder=(8, 4, 4, 4), embedding=8, hidden=8)).eval()
    codes = model.sample_dynamic(3, 8)
    z, d = codes.z.mean, codes.d.mean
    means = model.rollout_prior(z[:, 0], d, 7, include_start=True)
    assert torch.equal(z[:, 0], means[:, 0])
    assert (z[:, 1] - means[:, 1]).abs().min() > 1e-6
