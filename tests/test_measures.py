"""Table 3, disentanglement and swap error, comparison of runs: papermill notebooks on the shipped
pendulum, whose figures have to come out again, with few clips."""
import json
import papermill
import pytest
import torch
from conftest import check_pictures, far_from_kept, printed, read_report, run_figure, shipped_runs

METRICS = dict(
    table3="""frechet.judge.reconstruction frechet.judge.generation.low
        frechet.judge.training.high frechet.judge.clips frechet.judge.dimensions
        kid.judge.reconstruction kid.judge.generation.high frechet.judge.copy
        frechet.judge.fitted.low frechet.judge.blank""",
    disentanglement="""dci.disentanglement dci.completeness dci.informativeness.speed mig sap
        code.in_s.colour pixels.mse pixels.psnr pixels.ssim.mean_image
        swap_error.mae swap_error.ssim swap_error.mae.blank swap_error.ssim.moves
        swap_error.mae.who swap_error.mae.reconstruction swap_error.ssim.gain
        swap_error.mae.low swap_error.ssim.gain.high""")
KEPT = dict(  # what 80 clips to train on and 40 to measure on are enough for
    table3="",
    disentanglement="""dci.informativeness.colour code.in_s.colour code.in_s.speed
        pixels.mae pixels.mse pixels.psnr pixels.ssim pixels.mae.mean_image pixels.mse.mean_image
        pixels.psnr.mean_image pixels.ssim.mean_image swap_error.mae swap_error.ssim
        swap_error.mae.blank swap_error.ssim.blank swap_error.mae.mean_image
        swap_error.ssim.mean_image swap_error.mae.moves swap_error.ssim.moves swap_error.mae.who
        swap_error.ssim.who swap_error.mae.reconstruction swap_error.ssim.reconstruction
        swap_error.mae.gain swap_error.ssim.gain""")
RECORD = {"dataset", "preset", "seeds", "n_clips", "split", "versions", "device", "measure_seconds"}
PICTURES = dict(table3=("clips.png",), disentanglement=("swaps.png", "importances.png"))
SMALL = dict(table3=dict(judge_steps=10))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder in which the notebooks of this file run, with runs."
    folder = tmp_path_factory.mktemp("measures")
    shipped_runs(folder, 0, 1)
    return folder


def execute(name, place, **parameters):
    return printed(run_figure(name, place / f"{name}.ipynb", place, **parameters))


@pytest.mark.parametrize("name", METRICS)
def test_measures_rerun(name, place):
    out = place / "figures" / f"{name}_pendulum"
    def run(seeds):
        said = execute(name, place, dataset="pendulum", preset="quick", seeds=seeds, n_clips=40,
                       **SMALL.get(name, {}))
        return said, read_report(out)
    (_, one), (said, two) = run("0"), run("0,1")
    assert RECORD <= two["run"].keys() and two["run"]["n_clips"] == 40
    one, of = one["metrics"], two["metrics"]
    assert not far_from_kept(of, KEPT[name].split())
    for k in METRICS[name].split():
        seeds = of[f"{k}.seed0"], of[f"{k}.seed1"]
        assert seeds[0] == one[k], f"{k} is not the same every time"
        assert of[k] == pytest.approx(sum(seeds) / 2) and f"{k}.std" not in one
    check_pictures(out, PICTURES[name])
    table = (out / "table.md").read_text()
    assert "±" in table and "nan" not in table
    assert all(line in said for line in table.splitlines())
    if name == "table3":
        assert "40 real clips" in table and "features of the judge" in table
        assert "singular" in table and "published" not in table and "floor" not in table
        assert of["frechet.judge.copy"] < 1e-6 < of["frechet.judge.copy.high"]


def write_report(folder, value, **run):
    "A `metrics.json` of one metric."
    folder.mkdir(parents=True)
    report = dict(run=run, metrics={"consistency.mean": value})
    (folder / "metrics.json").write_text(json.dumps(report))


def test_runs_side_by_side(place):
    given, shown = place / "runs side by side", place / "figures"
    run = dict(dataset="pendulum", preset="smoke", split="train/test", train_clips=2000,
               test_clips=700, frames=16, n_clips=40)
    for i, value in enumerate((.25, .75)):
        write_report(given / f"more{i}", value, **run, seed=7 + i)
    write_report(given / "other", 1., **run | dict(dataset="sprites", seed=0))
    (given / "odd").mkdir(parents=True)
    (given / "odd" / "metrics.json").write_text('{"run": {"dataset"')
    said = execute("report", place, pattern=str(given / "*" / "metrics.json"))
    text = (shown / "report" / "report.md").read_text()
    assert "| consistency.mean | 0.5 ± 0.3536 (2) |" in text and text.count("## ") == 2
    assert "| consistency.mean | 1 (1) |" in text.split("## ")[2]
    assert "left out: " in said and "odd/metrics.json cannot be read or is cut short" in said
    row = "pendulum,train/test,2000,700,40,16,smoke,consistency.mean,0.5,0.35355"
    assert row in (shown / "report" / "report.csv").read_text()
    unreadable = "odd/metrics.json cannot be read"
    with pytest.raises(papermill.PapermillExecutionError, match=unreadable):
        execute("report", place, pattern=str(given / "odd" / "metrics.json"))


@pytest.mark.parametrize("wrong, said", [
    ("absent", "no file .*weights.pth; wanted is resnext-101-kinetics.pth"),
    ("text", "no weights file of PyTorch"),
    ("other", "is of another network: conv1.weight and 521 more missing; head.weight not part")])
def test_a_wrong_weights_file_is_named_before_the_work(wrong, said, tmp_path):
    file = tmp_path / "weights.pth"
    if wrong == "text": file.write_text("<html>quota exceeded</html>")
    if wrong == "other": torch.save(dict(state_dict={"module.head.weight": torch.ones(3)}), file)
    with pytest.raises(papermill.PapermillExecutionError, match=said):
        execute("table3", tmp_path, dataset="pendulum", preset="smoke", resnext=str(file))
    assert not (tmp_path / "data").exists()                 # nothing was trained
