"The explorer without a browser: what the kernel computes, and its error messages."
import asyncio, json, re, socket, time
import pytest, torch
from vdsm.data.pendulum import Pendulum
from vdsm.data.sequences import ArraySequences
from vdsm.model.vdsm import VDSM, VDSMConfig
from vdsm.view.explorer import Explorer


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explored")
    return Explorer("pendulum", Pendulum("validation", 140), folder=folder)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("pendulm",), "no checkpoint 'pendulm': .*are .*pendulum"),
        (("nowhere/at/all",), "no checkpoint 'nowhere/at/all'"),
        (("pendulum", "pendula"), "unknown data set 'pendula'; choose one of pendulum"),
        (
            ("pendulum", ArraySequences(torch.rand(4, 5, 3, 64, 64), name="mine")),
            "trained on pendulum and these are clips of mine; give Explorer",
        ),
        (
            (VDSM(VDSMConfig(channels=1)), Pendulum("validation", 14)),
            "takes frames of 1 channels and those of pendulum have 3; give",
        ),
        ((VDSM(),), "does not say what it was trained on; give its clips"),
    ],
)
def test_errors_are_sentences_in_the_widget(arguments, sentence, monkeypatch):
    def network(*_, **__):
        raise AssertionError("asked the network")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, network)
    (notice,) = Explorer(*arguments).children
    assert "alert" in notice.value and re.search(sentence, notice.value.replace("&#x27;", "'")), (
        notice.value
    )


@pytest.mark.parametrize("save, ending", [("save_png", "png"), ("save_gif", "gif")])
def test_a_view_is_saved_before_its_first_picture_is_shown(save, ending, tmp_path):
    "As in the cell of a notebook that opens the explorer: its pictures come after the cell."
    async def in_one_cell():
        explorer = Explorer("pendulum", Pendulum("validation", 28), n_clips=4, folder=tmp_path)
        assert explorer.films is None
        return getattr(explorer, save)(tmp_path / "view")
    file = tmp_path / f"view.{ending}"
    assert asyncio.run(in_one_cell()) == f"saved {file}" and file.stat().st_size > 1000


def same(a, b):
    "Whether two fields of a scene are equal."
    if isinstance(b, dict): return a.keys() == b.keys() and all(same(a[k], b[k]) for k in b)
    return torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_saved_codes_give_the_same_view(explorer):
    explorer.sliders["d"].values = [v + .4 for v in explorer.sliders["d"].values]
    explorer.sliders["z"].values, explorer.length.values, explorer.mix.expert, explorer.mix.pull = (
        [0.2] * 6,
        [30.0],
        2,
        0.3,
    )
    kept, films = explorer.scene(), [f.clone() for f in explorer.films[2:]]
    # a name cannot lead out of the folder
    explorer.file.value = "../../mine"
    explorer.try_to(explorer.save_codes)
    assert (explorer.folder / "mine.json").exists()
    explorer.identity.picked, explorer.action.picked = [3], [5]
    explorer.sample("identity"); explorer.sample("action")
    assert not torch.equal(explorer.films[2][:16], films[0][:16])
    explorer.try_to(explorer.load_codes)
    assert all(same(a, b) for a, b in zip(explorer.scene(), kept) if b is not None)
    assert all(torch.equal(a, b) for a, b in zip(explorer.films[2:], films))
    for name, text, sentence in (
        ("cut", "{", "holds no codes"),
        (
            "other",
            json.dumps(
                json.loads((explorer.folder / "mine.json").read_text()) | dict(dataset="sprites")
            ),
            "codes of sprites",
        ),
    ):
        (explorer.folder / f"{name}.json").write_text(text)
        explorer.file.value = name
        explorer.try_to(explorer.load_codes)
        assert "alert" in explorer.notice.value and sentence in explorer.notice.value
    explorer.identity.picked, explorer.action.picked = [0], [1]


def test_predictions_follow_the_clips(explorer):
    data, said = explorer.data, []
    for i in range(6):
        explorer.identity.picked, explorer.action.picked = [i], [(i + 3) % 6]
        who, what = explorer.clips[i], explorer.clips[(i + 3) % 6]
        said.append(
            [
                f"<b>{data.classes[f][data.factors[f][k]]}</b>" in explorer.reading.value
                for f, k in (("colour", who), ("speed", what))
            ]
        )
    colour, speed = map(sum, zip(*said))
    assert colour == 6 and speed >= 5, (explorer.reading.value, said)


def test_moving_sliders_creates_no_widgets(explorer):
    from ipywidgets.widgets.widget import _instances
    before, times = len(_instances), []
    for i in range(60):
        began = time.process_time()
        explorer.sliders["sdz"[i % 3]].values = [((i*7) % 11)/10]*6
        times.append(time.process_time() - began)
    print(f"\na move costs the kernel {1000*sorted(times)[30]:.0f} ms of one core in all")
    assert len(_instances) == before


def test_a_model_of_another_kind(tmp_path):
    "A model without experts and prior has three films; what it lacks is said in a sentence."
    from dataclasses import dataclass
    from vdsm.model.interface import Codes, VideoModel

    @dataclass(frozen=True)
    class MeanConfig: size: int = 64

    class MeanColour(VideoModel):
        config_class = MeanConfig
        def __init__(self, config=MeanConfig()):
            super().__init__(config)
            self.where = torch.nn.Parameter(torch.zeros(()))
        def encode(self, clips, sample=False):
            x = self.as_batch(clips)
            colour = x.amax((1, 3, 4))
            return Codes(dict(colour=colour), dict(grey=x.mean(2).flatten(2)))
        def decode(self, codes):
            grey = codes.grey.mean.unflatten(2, (64, 64))[:, :, None]
            return (3*grey*codes.colour.mean[:, None, :, None, None]).clamp(0, 1)

    explorer = Explorer(MeanColour(), Pendulum("validation", 28), folder=tmp_path)
    assert "wrong" not in explorer.notice._dom_classes, explorer.notice.value
    assert [len(f) for f in explorer.films] == [16] * 3 and set(explorer.sliders) == {
        "colour",
        "grey",
    }
    before = explorer.films[2].clone()
    explorer.sliders["colour"].values = [1.]*len(explorer.sliders["colour"].values)
    assert not torch.equal(explorer.films[2], before)
    explorer.sample("identity")
    assert "MeanColour has no prior" in explorer.notice.value
    for save in (explorer.save_gif, explorer.save_png, explorer.save_codes): explorer.try_to(save)
    explorer.try_to(explorer.load_codes)
    assert "loaded" in explorer.notice.value
    explorer.length.values, explorer.tabs.selected_index = [20.], 0
    assert len(explorer.films[2]) == 20 and explorer.matrix.made
