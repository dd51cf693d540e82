"Judges in a folder: loaded if they are the right ones, trained anew if they are others or damaged."
import json
from dataclasses import asdict
import pytest, torch
from fastcore.test import test_eq as eq, test_ne as ne
from conftest import ROOT, read_report
from vdsm.data.pendulum import Pendulum
from vdsm.data.registry import DATASETS, register
from vdsm.data.sequences import ArraySequences, DatasetInfo
from vdsm.evaluate import judge as module
from vdsm.evaluate.judge import (JudgeConfig, accuracies, answers, fit_judge, get_judge,
                                 judge_of, train_and_save, verdict)

SMALL = JudgeConfig(width=4, hidden=8, steps=4, batch=8)


@pytest.fixture
def get(tmp_path, capsys):
    "A judge of `tmp_path`, and what was printed."
    def made(**kwargs):
        capsys.readouterr()
        judge = get_judge("pendulum", folder=tmp_path, **dict(config=SMALL, n_clips=140) | kwargs)
        return judge, capsys.readouterr().out
    return made


def test_a_judge_is_trained_once(get, tmp_path):
    first, text = get()
    eq(text, "")
    file = tmp_path / "pendulum-train-0" / "weights.safetensors"
    made = file.stat().st_mtime_ns
    again, text = get()
    eq((text, file.stat().st_mtime_ns), ("", made))
    x = Pendulum("validation", 8).clips(slice(None))
    eq(first(x)["colour"], again(x)["colour"])
    eq(first.metadata, again.metadata)
    eq((first.metadata["held_out"], first.metadata["held_out_clips"]), ("validation", 140))
    assert "of the validation split" in verdict(first)
    # another table may judge clips of another split
    assert "accuracy" not in json.loads((file.parent / "config.json").read_text())
    ne(first(x)["colour"], get(seed=1)[0](x)["colour"])
    eq(sorted(p.name for p in tmp_path.iterdir()), ["pendulum-train-0", "pendulum-train-1"])


def test_another_judge_or_a_damaged_one_is_replaced(get, tmp_path):
    get()
    _, text = get(config=JudgeConfig(width=4, hidden=12, steps=4, batch=8))
    assert "another judge, of hidden 8 and not 12: training anew." in text
    _, text = get(n_clips=70)
    assert "clips 140 and not 70" in text and "hidden 12 and not 8" in text
    folder = tmp_path / "pendulum-train-0"
    (folder / "weights.safetensors").write_bytes(b"half")
    assert "cut short or damaged: training anew" in get(n_clips=70)[1]
    (folder / "config.json").unlink()
    assert "holds no judge that can be read" in get(n_clips=70)[1]


def test_a_judge_from_before_the_size_of_frames_was_recorded(get, tmp_path):
    get()
    file = tmp_path / "pendulum-train-0" / "config.json"
    about = json.loads(file.read_text())
    del about["train"]["size"]
    file.write_text(json.dumps(about))
    eq(get()[1], "")


SHIFT = dict(train=0, validation=1, test=2)


def shades(split):
    "Clips of three shades of grey, which have other names in each split."
    rng = torch.Generator().manual_seed(SHIFT[split])
    shade = torch.randint(3, (90,), generator=rng)
    noise = torch.rand(90, 2, 1, 64, 64, generator=rng)
    x = (0.2 + 0.3 * shade)[:, None, None, None, None] + 0.1 * noise
    named = (shade + SHIFT[split]) % 3
    return ArraySequences(x, dict(shade=named), dict(shade=("a", "b", "c")), split=split)


@pytest.fixture
def of_shades(tmp_path, monkeypatch):
    "A judge that has learned its training clips, and is measured on the test split."
    monkeypatch.setitem(DATASETS, "shades", None)
    register(DatasetInfo("shades", shades, "Shades"))
    config = JudgeConfig(width=4, hidden=8, steps=60, batch=16)
    return get_judge("shades", config=config, folder=tmp_path, split="test")


def test_a_judge_learns_training_clips_and_is_measured_on_the_others(of_shades):
    about, train = of_shades.metadata, shades("train")
    right = of_shades(train.clips(slice(None)))["shade"].argmax(-1) == train.factors["shade"]
    assert right.float().mean() > 0.9
    assert about["accuracy_in_training"]["shade"] > 0.9
    assert about["accuracy"]["shade"] < 0.1                 # the test split has other names
    assert about["ece"]["shade"] > 0.5                      # sure and wrong
    assert about["temperature"]["shade"] > 3                # validation says: be less sure


class Counts:
    "In the place of a judge: counts clips."
    classes = dict(number=1500)
    def __init__(self): self.seen = 0
    def __call__(self, clips):
        self.seen += len(clips)
        return dict(number=torch.zeros(len(clips), 1500))


def numbered():
    "1,500 clips of one pixel, each of a class of its own."
    number = torch.arange(1500)
    return ArraySequences(torch.zeros(1500, 1, 1, 1, 1), dict(number=number),
                          dict(number=tuple(map(str, number.tolist()))), split="train")


def test_a_judge_from_before_divisions_is_of_division_0():
    judge = Counts()
    judge.metadata = {}
    assert judge_of(numbered(), judge) is judge


def test_accuracy_is_that_of_1008_clips_and_in_training_of_256(tmp_path, monkeypatch):
    for measure in (answers, accuracies):
        judge = Counts()
        measure(judge, numbered())
        eq(judge.seen, 1008)
    of_seed_0 = torch.randperm(1500, generator=torch.Generator().manual_seed(0))
    eq(answers(Counts(), numbered())[1]["number"], of_seed_0[:1008])
    monkeypatch.setattr(module, "fit_judge", lambda *args: Counts())
    monkeypatch.setattr(module, "fingerprint", lambda data: {})
    monkeypatch.setattr(module, "save_checkpoint", lambda *args: None)
    eq(train_and_save(numbered(), "any", tmp_path, SMALL, 0).seen, 256)


def test_the_learning_rate_goes_through_its_whole_cycle(monkeypatch):
    made = []
    new = module.judge_optimizer
    monkeypatch.setattr(module, "judge_optimizer", lambda judge: made.append(new(judge)) or made[0])
    fit_judge(shades("train"), JudgeConfig(width=4, hidden=8, steps=10, batch=4))
    _, schedule = made[0]
    eq(schedule.last_epoch, 10)


def test_the_judge_of_the_committed_tables_is_todays():
    for name in ("table1", "table2", "table3", "swap_benchmark"):
        about = read_report(ROOT / "figures" / "evidence" / f"{name}_pendulum")["run"]["judge"]
        eq(about["model"], asdict(JudgeConfig()))
