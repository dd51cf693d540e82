"The 3D ResNeXt-101 beside what is known of its public weights file, and files that are not it."
import pytest, torch
import torch.nn.functional as F
from vdsm.lib.resnext import ResNeXt101, load_resnext

SHAPES = {
    "conv1.weight": (64, 3, 7, 7, 7),
    "bn1.running_var": (64,),
    "layer1.0.conv1.weight": (128, 64, 1, 1, 1),
    "layer1.0.conv2.weight": (128, 4, 3, 3, 3),
    "layer1.0.downsample.0.weight": (256, 64, 1, 1, 1),
    "layer1.2.conv3.weight": (256, 128, 1, 1, 1),
    "layer2.0.downsample.1.running_mean": (512,),
    "layer2.3.bn2.bias": (256,),
    "layer3.22.conv1.weight": (512, 1024, 1, 1, 1),
    "layer3.22.conv2.weight": (512, 16, 3, 3, 3),
    "layer4.2.conv3.weight": (2048, 1024, 1, 1, 1),
    "layer4.0.downsample.0.weight": (2048, 1024, 1, 1, 1),
    "fc.weight": (400, 2048),
    "fc.bias": (400,),
}


@pytest.fixture(scope="module")
def network():
    "Random weights, and statistics that are not 0 and 1."
    torch.manual_seed(0)
    network = ResNeXt101().eval()
    for name, v in network.state_dict().items():
        if "running" in name or "bn" in name: v.copy_(torch.rand(v.shape) + .5)
    return network


@pytest.fixture(scope="module")
def state(network):
    "Tensors with the names of the public file, which does not count batches."
    return {
        f"module.{k}": v
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }


def test_names_and_shapes_are_those_of_the_public_file(network, state):
    shapes = {k.removeprefix("module."): tuple(v.shape) for k, v in state.items()}
    assert len(shapes) == 104 * 5 + 2
    for name, shape in SHAPES.items():
        assert shapes[name] == shape
    assert (
        not {
            "layer1.1.downsample.0.weight",
            "layer1.3.conv1.weight",
            "layer3.23.conv1.weight",
            "conv1.bias",
        }
        & shapes.keys()
    )


def test_the_forward_pass_against_a_form_that_reads_only_names(network):
    w = dict(network.state_dict())
    normal = lambda x, at: (
        (x - at("running_mean")) / (at("running_var") + 1e-5).sqrt() * at("weight") + at("bias")
    )
    norm = lambda x, name: normal(x, lambda k: w[f"{name}.{k}"][:, None, None, None])
    grouped = lambda x, name, stride: torch.cat(
        [F.conv3d(a, b, None, stride, 1) for a, b in zip(x.chunk(32, 1), w[name].chunk(32))], 1
    )
    torch.manual_seed(0)
    x = torch.randn(1, 3, 5, 40, 40)
    y = F.max_pool3d(
        norm(F.conv3d(x, w["conv1.weight"], None, (1, 2, 2), 3), "bn1").clamp(min=0), 3, 2, 1
    )
    for layer, blocks in enumerate((3, 4, 23, 3), 1):
        for b in range(blocks):
            at, stride = f"layer{layer}.{b}.", 2 if layer > 1 and b == 0 else 1
            side = (
                norm(F.conv3d(y, w[at + "downsample.0.weight"], None, stride), at + "downsample.1")
                if b == 0
                else y
            )
            z = norm(F.conv3d(y, w[at + "conv1.weight"]), at + "bn1").clamp(min=0)
            z = norm(grouped(z, at + "conv2.weight", stride), at + "bn2").clamp(min=0)
            y = (side + norm(F.conv3d(z, w[at + "conv3.weight"]), at + "bn3")).clamp(min=0)
    with torch.no_grad(): got = network(x)
    assert got.shape == (1, 2048) and got.std() > .1
    assert torch.allclose(got / got.norm(), y.mean((2, 3, 4)) / y.mean((2, 3, 4)).norm(), atol=1e-5)


def write(state, file, **more):
    "The old format, as PyTorch wrote it at the time."
    torch.save(
        dict(epoch=170, arch="resnext-101", state_dict=state, **more),
        file,
        _use_new_zipfile_serialization=False,
    )
    return file


def test_a_file_of_the_form_of_the_public_one_is_loaded(network, state, tmp_path):
    file = write(
        state,
        tmp_path / "resnext-101-kinetics.pth",
        optimizer=dict(state={}, param_groups=[dict(lr=0.1, params=[0])]),
    )
    raw = file.read_bytes()
    # as an old torch wrote them on a card
    assert raw.count(b"ctorch\nFloatStorage") == 1 and raw.count(b"cpu") == 1
    file.write_bytes(
        raw.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage").replace(
            b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
        )
    )
    again = load_resnext(file)
    assert torch.equal(
        again.state_dict()["layer3.22.conv2.weight"], network.state_dict()["layer3.22.conv2.weight"]
    )
    clips = torch.rand(1, 8, 3, 64, 64)
    f = again.features(clips)
    assert f.shape == (1, 2048) and not again.training and torch.equal(again.features(clips), f)
    (tmp_path / "cut.pth").write_bytes(file.read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match="cut short"): load_resnext(tmp_path / "cut.pth")


class Code:
    def __reduce__(self): return exec, ("raise SystemExit",)


def test_what_is_wrong_with_a_file_is_said(state, tmp_path):
    # the right names, small files
    few = {k: v[:0] if v.dim() else v for k, v in state.items()}
    file = lambda name: tmp_path / f"{name}.pth"
    files = {
        "no file .*nowhere": file("nowhere"),
        "more than tensors": file("code"),
        "no weights file": file("text"),
        "no named tensors": file("list"),
        "bn1.weight and 520 more missing": write(
            {"module.conv1.weight": state["module.conv1.weight"]}, file("few")
        ),
        "head.weight not part": write(few | {"module.head.weight": torch.ones(1)}, file("more")),
        "conv1.weight and 521 more of the wrong size .0 x 3 x 7 x 7 x 7, not 64 x 3": write(
            few, file("small")
        ),
        "layer2.0.downsample.0.weight and 14 more missing": write(
            {k: v for k, v in few.items() if "downsample" not in k or "layer1" in k}, file("a")
        ),
        "fc.weight and 1 more of the wrong size .101": write(
            state | {"module.fc.weight": torch.ones(101, 2048), "module.fc.bias": torch.ones(101)},
            file("ucf"),
        ),
        "bn1.weight not finite": write(
            state | {"module.bn1.weight": torch.full((64,), torch.nan)}, file("nan")
        ),
    }
    file("text").write_text("<html>quota exceeded</html>")
    torch.save([torch.ones(3)], file("list"))
    torch.save(dict(state_dict=Code()), file("code"))
    for words, bad in files.items():
        with pytest.raises(Exception, match=words): load_resnext(bad)
