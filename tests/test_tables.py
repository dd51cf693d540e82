"The tables, in small: papermill notebooks on a smoke run, and judges that are kept."
import json, signal, subprocess, sys, time
import papermill, pytest, torch
from sync import ROOT
from vdsm.data.pendulum import Pendulum
from vdsm.evaluate.judge import JudgeConfig, get_judge

METRICS = dict(
    table1=("consistency.reconstruction.colour", "consistency.rollout.mean", "probe.s_hat.colour", "probe_mlp.d_sample.speed", "probe.d.colour.majority",
            "probe_paper.d.speed.chance", "probe_paper_mlp.s_hat_sample.colour", "probe_paper.test_clips", "judge.speed"),
    table2=("consistency.reconstruction.mean", "sample.prior.speed.h_y", "sample.aggregate.colour.h_y_x", "sample.prior.mean.h_y_ceiling", "sample.real.mean.h_y"),
    extrapolation=("rollout.window.angle_error", "rollout.lstm.visible_far", "rollout.transition.angle_error_far", "rollout.still.angle_error", "rollout.hanging.angle_error_far"),
    swap_benchmark=("swap.action.prior.accuracy", "swap.action.donor.is", "swap.content.prior.h_y_x", "swap.content.donor.same.colour", "swap.content.lstm.score", "swap.real.is"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "An empty folder in which the notebooks of this file run; run and judge are made by the first."
    return tmp_path_factory.mktemp("tables")


JUDGED = ("table1", "table2", "swap_benchmark")


def run(name, place, seeds, **parameters):
    papermill.execute_notebook(ROOT / "nbs" / "8_figures" / f"{name}.ipynb", place / "executed.ipynb", cwd=place, progress_bar=False,
                               parameters=dict(dataset="pendulum", preset="smoke", seeds=seeds, n_clips=60) | (dict(judge_steps=20) if name in JUDGED else {}) | parameters)
    return json.loads((place / "figures" / f"{name}_pendulum" / "metrics.json").read_text())


@pytest.mark.parametrize("name", METRICS)
def test_table_reruns(name, place):
    report = run(name, place, "0,1")
    of, about = report["metrics"], report["run"]
    for measure in METRICS[name]:
        if measure.startswith("judge."): assert 0 <= of[measure] <= 1
        else: assert of[measure] == pytest.approx((of[f"{measure}.seed0"] + of[f"{measure}.seed1"]) / 2) and of[f"{measure}.std"] >= 0
    assert {"dataset", "preset", "seeds", "n_clips", "split", "versions", "device", "measure_seconds"} <= about.keys() and about["seeds"] == [0, 1]
    assert about["held_out"] == "test" and about["split"] == "train/test" and about["held_out_clips"] == 700
    table = (place / "figures" / f"{name}_pendulum" / "table.md").read_text()
    assert "seed 0, 1" in table and "±" in table and "60 " in table and "nan" not in table
    said = "".join("".join(o.get("text", "")) for c in json.loads((place / "executed.ipynb").read_text())["cells"] for o in c.get("outputs", []))
    if name in JUDGED: assert about["judge"]["held_out"] == "test" and "right on 1,008 clips of the test split" in said and "unfit for" in said       # twenty steps make no judge, and that is said


def test_a_table_while_settings_are_chosen_is_of_validation(place):
    about = run("swap_benchmark", place, "0", split="validation")["run"]
    assert about["held_out"] == about["judge"]["held_out"] == "validation"
    assert "60 clips of the validation split" in (place / "figures" / "swap_benchmark_pendulum" / "table.md").read_text()


def test_a_pendulum_that_goes_on_is_beside_two_that_do_not_move(place):
    of = run("extrapolation", place, "0")["metrics"]
    swings = Pendulum("test", 700)
    angle = swings.angle(*torch.broadcast_tensors(torch.arange(60)[:, None], torch.arange(100)))
    assert of["rollout.hanging.angle_error"] == pytest.approx(angle[:, 16:40].abs().mean().item())
    assert of["rollout.still.angle_error_far"] == pytest.approx((angle[:, 40:] - angle[:, 15:16]).abs().mean().item())
    with pytest.raises(papermill.PapermillExecutionError, match="only of the pendulum"): run("extrapolation", place, "0", dataset="sprites")


def test_a_table_is_the_same_every_time_and_for_one_seed(place):
    one, again = (run("swap_benchmark", place, "0") for _ in range(2))
    assert one["metrics"] == again["metrics"] and not any(k.endswith(".std") for k in one["metrics"])
    assert one["metrics"]["swap.action.donor.is"] == one["metrics"]["swap.action.donor.is.seed0"]


def test_what_cannot_be_measured_is_said_before_a_judge_learns(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="commas between them"): run("table1", tmp_path, "0;1")
    assert not (tmp_path / "data").exists()


def test_a_killed_judge_leaves_nothing_behind(tmp_path):
    code = ("from pathlib import Path; from vdsm.evaluate.judge import JudgeConfig, get_judge\n"
            f"print(get_judge('pendulum', config=JudgeConfig(width=4, hidden=8, steps=STEPS, batch=8), folder=Path({str(tmp_path)!r}), n_clips=140).metadata['accuracy'])")
    going = subprocess.Popen([sys.executable, "-c", code.replace("STEPS", "100000")], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    seen = ""
    while "judge of pendulum" not in seen: seen += going.stderr.read(1)             # it is learning
    time.sleep(1)
    going.send_signal(signal.SIGKILL); going.wait(); going.stderr.close()
    assert not any(tmp_path.iterdir())
    said = [subprocess.run([sys.executable, "-c", code.replace("STEPS", "10")], cwd=ROOT, check=True, capture_output=True, text=True) for _ in range(2)]
    assert said[0].stdout == said[1].stdout and "judge of pendulum" in said[0].stderr and "judge of pendulum" not in said[1].stderr
    assert [p.name for p in tmp_path.iterdir()] == ["pendulum-train-0"]


def test_a_judge_of_another_architecture_is_replaced(tmp_path, capsys):
    make = lambda hidden: get_judge("pendulum", config=JudgeConfig(width=4, hidden=hidden, steps=2, batch=4), folder=tmp_path, n_clips=70)
    make(8)
    assert make(12).metadata["model"]["hidden"] == 12
    assert "holds another judge, of hidden 8 and not 12: training anew." in capsys.readouterr().out
    assert json.loads((tmp_path / "pendulum-train-0" / "config.json").read_text())["model"]["hidden"] == 12
    assert make(12).metadata["accuracy"].keys() == {"colour", "speed"} and capsys.readouterr().out == ""
