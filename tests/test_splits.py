"Who may open the test split; and that no two splits of a data set share what they are held out by."
import ast, json, re
import numpy as np, papermill, pytest, torch
from conftest import printed, read_report, run_figure
from sync import ROOT
from vdsm.data.moving_mnist import MovingMNIST
from vdsm.data.mug import EXPRESSIONS, MUG
from vdsm.data.pendulum import Pendulum
from vdsm.data.sequences import SPLITS
from vdsm.data.sprites import Sprites
from vdsm.data.video_folder import VideoFolder
from vdsm.lib.video_labels import deal_out
from vdsm.data.registry import DATASETS, open_for_run
from vdsm.evaluate.judge import JudgeConfig, get_judge, judge_of
from vdsm.lib.tables import measure_runs
from vdsm.training.runs import open_run, run_clips

EVERY_CELL = None
MAY_OPEN_TEST = {  # notebook -> ids of the cells that may
    **{
        f"1_data/{name}": EVERY_CELL
        for name in (  # define the splits
            "00_sequences",
            "01_pendulum",
            "02_sprites",
            "03_moving_mnist",
            "04_your_videos",
            "05_mug",
        )
    },
    "lib/19_video_labels": EVERY_CELL,
    **{
        f"8_figures/{name}": EVERY_CELL
        for name in (  # the final tables
            "table1",
            "table2",
            "table3",
            "swap_benchmark",
            "disentanglement",
            "extrapolation",
            "trajectory",
            "compare",
        )
    },
    # names the split of older files, opens nothing
    "lib/03_report": {"read"},
    "lib/06_release": {"half-test"},  # the released pendulum is shown
    # final figures of the released models
    "lib/24_release_metrics": {"measure", "kept"},
    "5_evaluate/01_judge": {"get-test", "record-test"},  # that a judge is measured on it
    "5_evaluate/00_probes": {"protocols-test"},  # a key of the probes, opens nothing
}
TESTS = {
    "test_splits.py": "this",
    "test_latents.py": "a key of the probes",
    "test_report.py": "of an older file",
    "test_tables.py": "of the tables",
    "test_compare.py": "of the comparison, which is a table",
    "test_videos.py": "of films",
    "test_judge.py": "that a judge is measured on it",
}


def opens_test(code):
    "Whether Python code has the word test as a value: a split, a default, a part of a dictionary."
    code = "\n".join(re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in code.splitlines())
    return any(
        isinstance(node, ast.Constant) and node.value == "test"
        for node in ast.walk(ast.parse(code))
    )


def cells(notebook):
    return [
        (c["id"], "".join(c["source"]))
        for c in json.loads(notebook.read_text())["cells"]
        if c["cell_type"] == "code"
    ]


def who_opens():
    "Notebook -> ids of the cells that open the test split."
    found = {}
    for file in sorted((ROOT / "nbs").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in file.parts: continue
        ids = {i for i, code in cells(file) if opens_test(code)}
        if ids: found[file.relative_to(ROOT / "nbs").with_suffix("").as_posix()] = ids
    return found


def test_what_opens_the_test_split_is_found():
    for code in (
        "Pendulum('test', 7)",
        "data = open_dataset(name,\n  split='test')",
        "def run(split: str='test'): pass",
        "split = 'test'",
        "%matplotlib inline\n[f(s) for s in ('train', 'test')]",
    ):
        assert opens_test(code), code
    for code in (
        "from fastcore.test import test_eq",
        "test_eq(1, 1)",
        "x = Pendulum('validation')  # not 'test'",
        "m['probe.test_clips']",
    ):
        assert not opens_test(code), code


def test_only_tables_and_what_defines_splits_open_the_test_split():
    found = who_opens()
    allowed = lambda name, ids: (
        name in MAY_OPEN_TEST and (MAY_OPEN_TEST[name] is EVERY_CELL or ids == MAY_OPEN_TEST[name])
    )
    assert not {name: ids for name, ids in found.items() if not allowed(name, ids)}, (
        "use 'validation', or name the notebook in MAY_OPEN_TEST and say why"
    )
    assert found.keys() == MAY_OPEN_TEST.keys(), "allowed to open the test split, and does not"


def test_nothing_else_opens_the_test_split():
    assert {
        f.name for f in (ROOT / "tests").glob("*.py") if opens_test(f.read_text())
    } == TESTS.keys()
    readme = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert readme and not any(map(opens_test, readme))
    commands = (ROOT / "Makefile").read_text() + "".join(
        re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    )
    assert not re.search(r"\bsplit[ =:]+[\"']?test|[\"']test[\"']", commands)


def test_tables_open_test_and_runs_validation_unless_they_are_asked():
    for file in sorted((ROOT / "nbs" / "8_figures").glob("*.ipynb")):
        wanted = (
            "test"
            if MAY_OPEN_TEST.get(f"8_figures/{file.stem}", ()) is EVERY_CELL
            else "validation"
        )
        chosen = [
            p["default"]
            for name, p in papermill.inspect_notebook(str(file)).items()
            if name == "split"
        ]
        opens = any(
            re.search(
                r"\b(open_run|open_figure|SeedRuns|run_clips|measure_runs|VideoFolder)\(", code
            )
            for _, code in cells(file)
        )
        if file.stem != "objectives" and (opens or chosen):
            assert chosen == [repr(wanted)], file.name


def test_a_run_is_looked_at_on_validation(tmp_path):
    assert [d.split for d in open_run("pendulum", "smoke", 0, tmp_path)[1:3]] == [
        "train",
        "validation",
    ]
    assert open_run("pendulum", "smoke", 0, tmp_path, split="test").held_out.split == "test"


def video_folder(tmp_path, **options):
    "Forty short films of ten people who do four things, of noise, every one another."
    films, rng = tmp_path / "films", np.random.default_rng(0)
    for i in range(40):
        (films / f"person {i % 10}" / f"does {i // 10}").mkdir(parents=True)
        np.save(
            films / f"person {i % 10}" / f"does {i // 10}" / "film.npy",
            rng.integers(0, 256, (20, 64, 64, 1), np.uint8),
        )
    return lambda split: VideoFolder(films, split, cache=tmp_path / "cache", **options)


def mug(tmp_path, **options):
    "The layout of MUG, of noise: ten people, six expressions."
    tree, rng = tmp_path / "mug", np.random.default_rng(0)
    for who in range(10):
        for mood in EXPRESSIONS:
            (tree / f"{who:03}" / mood).mkdir(parents=True)
            np.save(
                tree / f"{who:03}" / mood / "take000.npy",
                rng.integers(0, 256, (40, 64, 64, 1), np.uint8),
            )
    return lambda split: MUG(split, tree, cache=tmp_path / "cache", **options)


# name -> data set of a split, what is held out by, what tells an identity
DATA = dict(
    pendulum=(lambda _: Pendulum, "clip", None),
    sprites=(lambda _: Sprites, "identity", lambda d: d.look.T.tolist()),
    moving_mnist=(
        lambda _: MovingMNIST,
        "identity",
        lambda d: [bytes(d.images[i].numpy()) for i in d.identity],
    ),
    mug=(mug, "clip", None),
    mug_people=(
        lambda p: mug(p, split_by="identity"),
        "identity",
        lambda d: [d.classes["identity"][i] for i in d.factors["identity"]],
    ),
    video_folder=(video_folder, "clip", None),
    video_folder_people=(
        lambda p: video_folder(p, split_by="identity"),
        "identity",
        lambda d: [d.classes["identity"][i] for i in d.factors["identity"]],
    ),
    video_folder_combinations=(
        lambda p: video_folder(p, split_by="combination"),
        "combination",
        lambda d: list(zip(*(v.tolist() for v in d.factors.values()))),
    ),
    video_folder_groups=(
        lambda p: video_folder(p, groups="does ."),
        "clip",
        lambda d: [d.classes["action"][i] for i in d.factors["action"]],
    ),
)


@pytest.mark.parametrize("name", DATA)
def test_splits_are_disjoint(name, tmp_path):
    make, held_out_by, identity = DATA[name]
    of = make(tmp_path)
    splits = {split: of(split) for split in SPLITS}
    first = {
        split: {
            bytes((255 * x).round().byte().numpy())
            for i in torch.arange(len(d)).split(500)
            for x in d.clips(i, 2)
        }
        for split, d in splits.items()
    }
    who = {split: {str(k) for k in identity(d)} for split, d in splits.items()} if identity else {}
    for split, data in splits.items():
        assert (
            data.split == split
            and len(data)
            and data.held_out_by == held_out_by
            and f"; held out by {held_out_by}" in repr(data)
        )
        for other in set(SPLITS) - {split}:
            assert not first[split] & first[other] and not (who and who[split] & who[other]), (
                split,
                other,
            )


def test_every_data_set_of_a_run_is_tried(): assert DATASETS.keys() <= DATA.keys()


def test_test_clips_are_those_of_older_figures():
    assert Pendulum("test", 3).amplitude.tolist() == pytest.approx(
        [1.0228171538946942, 0.7899966351443585, 0.9606356608243806]
    )
    assert Pendulum("train", 3).phase.tolist() == pytest.approx(
        [0.016527635528529094, 0.8132702392002724, 0.9127555772777217]
    )
    assert Sprites("test").identity[::90].tolist() == [
        0,
        110,
        176,
        285,
        380,
        476,
        586,
        655,
        818,
        882,
        1003,
        1096,
    ]
    test = MovingMNIST("test")
    assert (len(test), test.which[:4, 0].tolist()) == (
        5500,
        [5845, 4470, 9002, 5321],
    ) and test.start[0, 0].tolist() == pytest.approx([24.540681838989258, 28.572933197021484])
    assert (deal_out(np.arange(20)) == "test").nonzero()[0].tolist() == [4, 5, 13]


IDENTITIES = dict(  # what tells clips, or the identities that they show, apart
    pendulum=lambda d: set(d.amplitude.tolist()),
    sprites=lambda d: set(d.identity.tolist()),
    moving_mnist=lambda d: {bytes(d.images[i].numpy()) for i in d.identity.unique()})


def of_seed(name, seed, **options):
    "Split -> what its clips show, for the run of a seed."
    return {split: IDENTITIES[name](open_for_run(name, split, seed, **options)) for split in SPLITS}


@pytest.mark.parametrize("name", IDENTITIES)
def test_every_seed_holds_out_other_identities(name):
    seeds = {seed: of_seed(name, seed) for seed in range(3)}
    for splits in seeds.values():
        assert sum(map(len, splits.values())) == len(set.union(*splits.values()))  # disjoint
    for split in SPLITS[1:]:
        sets = [splits[split] for splits in seeds.values()]
        for i, one in enumerate(sets):
            for other in sets[:i]: assert len(one & other) < .7 * len(one), split


def test_seed_0_holds_out_what_it_always_did():
    sprites, digits = run_clips("sprites")[1], run_clips("moving_mnist")
    assert sprites.identity[::180].tolist() == [8, 168, 353, 546, 716, 918]
    first = [d.which[:4, 0].tolist() for d in digits]
    assert first == [[7453, 541, 6630, 6453], [8291, 684, 1670, 6609]]
    assert Sprites("test").identity.tolist() == run_clips("sprites", 0, "test")[1].identity.tolist()
    for name in IDENTITIES: assert {d.split_seed for d in run_clips(name)} == {0}


def test_a_division_can_be_asked_for():
    assert of_seed("sprites", 2, split_seed=0) == of_seed("sprites", 0)
    assert of_seed("sprites", 0, split_seed=2) == of_seed("sprites", 2)


def test_a_run_does_not_meet_clips_of_another_division(tmp_path):
    open_run("sprites", "smoke", 1, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "final" / "config.json").read_text())
    assert config["split_seed"] == 1
    open_run("sprites", "smoke", 1, tmp_path / "run", split="test")
    with pytest.raises(ValueError, match="with split_seed=1, and these have split_seed=0"):
        open_run("sprites", "smoke", 1, tmp_path / "run", split_seed=0)


def test_a_run_from_before_divisions_is_of_division_0(tmp_path):
    open_run("sprites", "smoke", 1, tmp_path / "run", split_seed=0)
    file = tmp_path / "run" / "final" / "config.json"
    config = json.loads(file.read_text())
    del config["split_seed"]
    file.write_text(json.dumps(config))
    open_run("sprites", "smoke", 1, tmp_path / "run", split_seed=0)
    with pytest.raises(ValueError, match="split_seed=0, and these have split_seed=1"):
        open_run("sprites", "smoke", 1, tmp_path / "run")


def test_a_judge_knows_no_identity_that_its_clips_hold_out(tmp_path):
    how = dict(config=JudgeConfig(width=4, hidden=8, steps=2, batch=4), folder=tmp_path)
    judge = get_judge("sprites", **how)
    assert judge_of(Sprites("validation"), judge, **how) is judge
    other = judge_of(Sprites("validation", split_seed=1), judge, **how)
    assert other is not judge and other.metadata["split_seed"] == 1
    assert other.metadata["train"] != judge.metadata["train"]
    assert {p.name for p in tmp_path.iterdir()} == {"sprites-train-0", "sprites-train-0-split1"}


def test_a_table_over_seeds_says_which_divisions_it_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr("vdsm.training.runs.project_root", lambda: tmp_path)
    found = {}
    def measure(model, training, held_out, seed):
        found[seed] = set(held_out.identity.tolist())
        assert not found[seed] & set(training.identity.tolist())
        return dict(a=1.)
    about, _ = measure_runs("sprites", "smoke", "0,1", measure, 1000)
    assert found[0] != found[1] and about["split_seeds"] == [0, 1]


@pytest.mark.parametrize("films", [1, 2])
def test_a_folder_too_small_to_hold_out_trains_on_all_of_it_and_says_so(films, tmp_path):
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    for i, clip in enumerate(Pendulum("validation", films, 40).clips(slice(None))):
        np.save(folder / f"film {i}.npy", clip.permute(0, 2, 3, 1).numpy())
    cells = run_figure(
        "your_videos",
        tmp_path / "executed.ipynb",
        folder=str(folder),
        preset="smoke",
        run_folder=str(tmp_path / "run"),
        out=str(out),
    )
    run, said = read_report(out)["run"], printed(cells)
    assert (
        run["split"] == "train/train" and run["train_clips"] == run["held_out_clips"] == 3 * films
    )
    assert "for validation; add clips" in said
    assert (
        "Until then all clips are used for training, and the results below are on training clips."
        in said
    )
