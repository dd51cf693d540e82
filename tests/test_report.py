"Files of metrics that are old, cut short, damaged or edited by hand."
import pytest
from vdsm.lib.report import read_metrics, side_by_side, write_metrics


def put(folder, name, metrics, **run):
    about = dict(
        dataset="pendulum",
        preset="quick",
        split="train/validation",
        held_out_clips=9,
        parameters=7,
        train_seconds=10.0,
    )
    return write_metrics(folder / name / "metrics.json", about | run, metrics)


def test_a_file_from_before_there_was_a_validation_split(tmp_path):
    old = dict(dataset="pendulum", preset="quick", seed=0, test_clips=9)
    run = read_metrics(write_metrics(tmp_path / "old.json", old, {}))["run"]
    assert (run["held_out"], run["held_out_clips"]) == ("test", 9)


@pytest.mark.parametrize("said, broken", {
    "cannot be read or is cut short": lambda text: text[:99],
    "no objects `run` and `metrics`": lambda text: "[1, 2]",
    "is damaged: no seed": lambda text: '{"run": {"dataset": "a", "preset": "b"}, "metrics": {}}',
    "mig is no finite number": lambda text: text.replace("0.5", "NaN")}.items())
def test_a_damaged_file_is_named(said, broken, tmp_path):
    good = put(tmp_path, "good", {"mig": .5}, seed=7)
    odd = tmp_path / "odd" / "metrics.json"
    odd.parent.mkdir()
    odd.write_text(broken(good.read_text()))
    with pytest.raises(ValueError, match=f"odd/metrics.json .*{said}"): side_by_side([good, odd])
