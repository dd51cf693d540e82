"Swaps and their scores: several attributes, what is drawn, and what the table's notes say."
import inspect
from functools import partial
import pytest, torch
from torch.nn.functional import one_hot
from vdsm import VDSM
from vdsm.data.pendulum import Pendulum
from vdsm.data.registry import attributes
from vdsm.data.sequences import ArraySequences
from vdsm.evaluate.consistency import consistency_metrics
from vdsm.evaluate.entropy import sample_metrics
from vdsm.evaluate.generated_clips import generate, judge_model, judge_predictions
from vdsm.evaluate.judge import JudgeConfig
from vdsm.evaluate.swap_benchmark import protocol_notes, swap_metrics, swap_scores
from vdsm.lib.release_metrics import PendulumReader


def test_kept_and_replaced_attributes_count_alike():
    hat, coat, act = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]), torch.arange(4) % 2
    y = dict(hat=hat, coat=coat, act=act)
    said = dict(hat=hat, coat=1 - coat, act=torch.zeros(4).long())  # the hat is kept, nothing else
    p = {k: one_hot(v, 2).double() for k, v in said.items()}
    kept = swap_scores(p, y, "content", ("hat", "coat"), "act")
    assert [kept[k] for k in ("on", "off", "score")] == [.5, 0, .75]
    replaced = swap_scores(p, y, "action", ("hat", "coat"), "act")
    assert [replaced[k] for k in ("on", "off", "score")] == [.5, .5, .5]


def test_an_attribute_has_two_classes_or_more():
    factors = dict(hat=torch.arange(4) % 2, skin=torch.zeros(4).long(), act=torch.arange(4) // 2)
    classes = dict(hat=("a", "b"), skin=("c",), act=("d", "e"))
    data = ArraySequences(torch.zeros(4, 1, 1, 1, 1), factors, classes)
    data.static_factors = "hat", "skin"
    assert attributes(data) == ("hat",)


def test_samples_of_the_aggregate_posterior_draw_s_and_d(monkeypatch):
    model, x = VDSM.from_pretrained("pendulum"), Pendulum("validation", 14).clips([0, 9])
    seen = []
    monkeypatch.setattr(model, "decode", lambda codes: seen.append(codes) or x)
    torch.manual_seed(0)
    for way in ("sample.aggregate", "action.donor"): generate(model, x, x.flip(0), (way,))
    sampled, means = seen
    for k, posterior in dict(s=model.encode(x.flip(0)).s, d=model.encode(x).d).items():
        assert torch.equal(means[k].mean, posterior.mean)
        off = (sampled[k].mean - posterior.mean) / posterior.scale
        assert .3 < off.square().mean().sqrt() < 2, k


def of_pendulum(held_out_by="clip"):
    "Swaps and consistency of the shipped pendulum, by a reader that needs no training."
    model, judge = VDSM.from_pretrained("pendulum"), PendulumReader()
    data = Pendulum("validation", 28)
    data.held_out_by = held_out_by
    m = consistency_metrics(model, judge, data, 14)
    return m | swap_metrics(model, judge, data, 14, draws=2)


def test_the_pendulum_takes_from_the_donor_what_it_should():
    m = of_pendulum()
    for k in ("colour", "speed"): assert m[f"consistency.reconstruction.{k}"] == 1
    assert m["consistency.other.colour"] == 0
    action, content = "swap.action.donor.", "swap.content.donor."
    for k in ("as_donor.colour", "same.speed"): assert m[action + k] > .9, k
    for k in ("as_donor.speed", "same.colour"): assert m[content + k] > .9, k
    assert m[action + "same.colour"] == 0 and m["swap.action.copy.all_correct"] == 0
    # as if colours were held out, of which there are seven
    clusters = of_pendulum("identity")
    key = "swap.action.prior.same.speed"
    assert clusters[key] == m[key]
    assert clusters[f"{key}.low"] != m[f"{key}.low"] or clusters[f"{key}.high"] != m[f"{key}.high"]


def test_each_draw_has_a_seed_of_its_own():
    model, judge = VDSM.from_pretrained("pendulum"), PendulumReader()
    data = Pendulum("validation", 14)
    found = judge_model(model, judge, data, ("content.prior",), 4, seed=5, draws=2)
    make = partial(generate, model, ways=("content.prior",))
    for draw in (0, 1):
        one = judge_predictions(make, judge, data, found.idx, found.others, 5 + draw)
        for k, p in one["content.prior"].items():
            assert torch.equal(found.p["content.prior"][k][4*draw:4*draw + 4], p)


@pytest.mark.parametrize("measure", [
    judge_model, consistency_metrics, sample_metrics, swap_metrics])
def test_as_many_clips_as_the_published_tables(measure):
    assert inspect.signature(measure).parameters["n_clips"].default == 1000


@pytest.mark.parametrize("older", [False, True])
def test_the_notes_say_whether_logits_have_a_scale(older):
    size = dict(hidden=128, steps=500) | ({} if older else dict(head_gain=JudgeConfig().head_gain))
    judge = dict(dataset="pendulum", model=size, accuracy=dict(speed=.99),
                 train=dict(clips=700, classes=dict(speed=2)))
    notes = protocol_notes({"swap.action.prior.same.speed": .9}, judge)
    assert ("*Logit scale*: none." in notes) != older
    assert "700 real training clips" in notes and "right on 99.00 %" in notes
