"Fréchet distances where covariances are singular, and where an interval has to keep its promise."
import numpy as np, pytest, torch
from vdsm.evaluate.frechet import (
    clip_features,
    compare_features,
    cubic_kernel,
    frechet_distance,
    frechet_metrics,
    frechet_table,
    kid,
    weighted_kid,
)

rng = torch.Generator().manual_seed(0)


def rand(*shape): return torch.randn(*shape, generator=rng, dtype=torch.float64)


def test_sets_in_a_plane_are_as_far_apart_as_without_the_other_dimensions():
    # 30 orthonormal rows
    plane = torch.linalg.qr(rand(2048, 30)).Q.T
    x, y = rand(100, 30), 2 * rand(80, 30) + 1
    assert frechet_distance(x @ plane, y @ plane) / frechet_distance(x, y) == pytest.approx(
        1, abs=1e-9
    )


def test_fewer_clips_than_dimensions():
    few, more = rand(50, 400), rand(60, 400)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    turn = torch.linalg.qr(rand(400, 400)).Q
    assert frechet_distance(few @ turn, more @ turn) / frechet_distance(few, more) == pytest.approx(
        1, abs=1e-9
    )
    point = few.var(0).sum().item() + few.mean(0).square().sum().item()
    assert frechet_distance(few, few[:2] * 0) == pytest.approx(point, abs=1e-8)
    # by the eigenvalues of the symmetric form
    half = (few - few.mean(0)) / 7, (more - more.mean(0)) / 59**.5
    e, v = np.linalg.eigh((half[0].T @ half[0]).numpy())
    root = v * np.sqrt(e.clip(0)) @ v.T
    product = np.linalg.eigvalsh(root @ (half[1].T @ half[1]).numpy() @ root)
    by_eigh = (
        (few.mean(0) - more.mean(0)).square().sum().item()
        + sum(h.square().sum().item() for h in half)
        - 2 * np.sqrt(product.clip(0)).sum()
    )
    assert frechet_distance(few, more) / by_eigh == pytest.approx(1, abs=1e-6)
    assert compare_features(few, more, 5) == compare_features(few, more, 5)
    for bad, word in (
        (few[:, :9], "same F"),
        (few[:1], "two clips"),
        (few * torch.nan, "50 clips"),
    ):
        with pytest.raises(ValueError, match=word): frechet_distance(more, bad)


def test_kid_by_its_definition():
    x, y = rand(7, 5), rand(9, 5)
    counts = [torch.tensor([2., 0, 1, 1, 3, 0, 1]).double(), torch.ones(9).double()]

    def mean(a, b, v, w):   # of the kernel, without pairs of a clip with itself
        pairs = [(v[i] * w[j], (a[i] @ b[j] / 5 + 1) ** 3)
                 for i in range(len(a)) for j in range(len(b)) if a is not b or i != j]
        return sum(n * k for n, k in pairs) / sum(n for n, _ in pairs)

    def by_hand(v, w): return mean(x, x, v, v) + mean(y, y, w, w) - 2 * mean(x, y, v, w)
    assert kid(x, y) == pytest.approx(
        by_hand(torch.ones(7), torch.ones(9)).item(), rel=1e-9)
    kernels = cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y)
    weighted = weighted_kid(*kernels, *counts).item()
    assert weighted == pytest.approx(by_hand(*counts).item(), rel=1e-9)


def test_the_clusters_of_each_set_are_its_own():
    real, made = rand(50, 4), rand(60, 4)
    one, many = torch.zeros(50).long(), torch.zeros(60).long()
    m = compare_features(real, made, 5, clusters=(one, many))   # always all clips: no spread
    assert m["kid.low"] == pytest.approx(m["kid"]) == pytest.approx(m["kid.high"])
    assert m["frechet"] == pytest.approx(frechet_distance(real, made), rel=1e-9)
    assert m["frechet.high"] == pytest.approx(m["frechet"])
    single = rand(50, 4).float()
    assert frechet_distance(single, single + 1e3) == pytest.approx(
        (single.double().mean(0) - (single + 1e3).double().mean(0)).square().sum().item(), rel=1e-9)


def test_intervals_cover():
    found = [
        compare_features(rand(150, 6), 1.3 * rand(150, 6) + 0.2, 40, seed) for seed in range(100)
    ]
    # equal sets
    near = [compare_features(rand(80, 6), rand(80, 6), 40, seed) for seed in range(40)]
    share = lambda some, k: np.mean(
        [f[f"{k}.low"] <= np.mean([g[k] for g in some]) <= f[f"{k}.high"] for f in some]
    )
    for k in ("frechet", "kid"):
        assert .87 <= share(found, k) <= 1
        assert share(near, k) > .9


class Mean:
    "A network of three features."
    features = staticmethod(lambda clips: clips.mean((1, 3, 4)))


def test_tables_say_network_and_counts_and_publish_only_what_is_of_the_same_kind():
    torch.manual_seed(0)
    x = torch.rand(40, 2, 3, 64, 64) * torch.rand(40, 1, 3, 1, 1)
    clips = dict(real=x, reconstruction=x * .98, generation=x * .5)
    seen = {
        what: clip_features(dict(judge=Mean), c.split(15))["judge"] for what, c in clips.items()
    }
    assert torch.equal(seen["real"], x.mean((1, 3, 4)).double())
    m = frechet_metrics("judge", seen.pop("real"), seen, 20)
    assert [m["frechet.judge.clips"], m["frechet.judge.dimensions"]] == [40, 3]
    assert (
        m["frechet.judge.reconstruction"] < m["frechet.judge.generation.low"]
        and m["kid.judge.generation.low"] > 0
    )
    assert m["frechet.judge.generation"] == pytest.approx(
        frechet_distance(x.mean((1, 3, 4)), 0.5 * x.mean((1, 3, 4))), abs=1e-6
    )
    other = {k.replace("judge", "resnext"): v for k, v in m.items()} | {
        "frechet.resnext.dimensions": 2048
    }
    said = [
        ("published" in t, "singular" in t)
        for t in (
            frechet_table(m, "judge", "mug"),
            frechet_table(other, "resnext", "sprites"),
            frechet_table(other, "resnext", "mug"),
        )
    ]
    assert said == [(False, False), (False, True), (True, True)]
    assert "44.12" in frechet_table(other, "resnext", "mug")
    assert "± 0.50" in frechet_table(m | {"frechet.judge.generation.std": .5}, "judge", "mug")
