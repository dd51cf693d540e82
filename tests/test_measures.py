"Table 3, disentanglement and swap error, runs side by side: papermill notebooks on a smoke run."
import json
import papermill, pytest, torch
from sync import ROOT

METRICS = dict(
    table3=("frechet.judge.reconstruction", "frechet.judge.generation.low", "frechet.judge.training.high", "frechet.judge.clips", "frechet.judge.dimensions", "kid.judge.reconstruction", "kid.judge.generation.high"),
    disentanglement=("dci.disentanglement", "dci.completeness", "dci.informativeness.speed", "mig", "sap", "code.in_s.colour", "pixels.mse", "pixels.psnr", "pixels.ssim.mean_image",
                     "swap_error.mae", "swap_error.ssim", "swap_error.mae.blank", "swap_error.ssim.moves", "swap_error.mae.who", "swap_error.mae.reconstruction"))
PICTURES = dict(table3=("clips.png",), disentanglement=("swaps.png", "importances.png"))
SMALL = dict(table3=dict(judge_steps=10))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "An empty folder in which the notebooks of this file run; the runs are made by the first."
    return tmp_path_factory.mktemp("measures")


def execute(name, place, **parameters):
    papermill.execute_notebook(ROOT / "nbs" / "8_figures" / f"{name}.ipynb", place / f"{name}.ipynb", cwd=place, progress_bar=False, parameters=parameters)
    cells = json.loads((place / f"{name}.ipynb").read_text())["cells"]
    return "".join("".join(o.get("text", "")) + "".join(o.get("data", {}).get("text/markdown", "")) for c in cells for o in c.get("outputs", []))


@pytest.mark.parametrize("name", METRICS)
def test_measures_rerun(name, place):
    out = place / "figures" / f"{name}_pendulum"
    def run(seeds):
        said = execute(name, place, dataset="pendulum", preset="smoke", seeds=seeds, n_clips=40, **SMALL.get(name, {}))
        return said, json.loads((out / "metrics.json").read_text())
    (_, one), (said, two) = run("0"), run("0,1")
    assert {"dataset", "preset", "seeds", "n_clips", "split", "versions", "device", "measure_seconds"} <= two["run"].keys() and two["run"]["n_clips"] == 40
    for k in METRICS[name]:
        assert two["metrics"][f"{k}.seed0"] == one["metrics"][k], f"{k} is not the same every time"
        assert two["metrics"][k] == pytest.approx((two["metrics"][f"{k}.seed0"] + two["metrics"][f"{k}.seed1"]) / 2) and f"{k}.std" not in one["metrics"]
    for picture in PICTURES[name]: assert (out / picture).stat().st_size > 1000, picture
    table = (out / "table.md").read_text()
    assert "±" in table and "nan" not in table and all(line in said for line in table.splitlines())
    if name == "table3": assert "40 real clips" in table and "features of the judge" in table and "singular" in table and "published" not in table


def test_runs_side_by_side(place):
    shown = place / "figures"
    (shown / "odd").mkdir(parents=True)
    (shown / "odd" / "metrics.json").write_text('{"run": {"dataset"')
    run = dict(dataset="pendulum", preset="smoke", split="train/test", train_clips=2000, test_clips=700, frames=16, n_clips=40)
    for i, value in enumerate((.25, .75)):
        (shown / f"more{i}").mkdir()
        (shown / f"more{i}" / "metrics.json").write_text(json.dumps(dict(run=run | dict(seed=7 + i), metrics={"consistency.mean": value})))
    (shown / "other").mkdir()
    (shown / "other" / "metrics.json").write_text(json.dumps(dict(run=run | dict(dataset="sprites", seed=0), metrics={"consistency.mean": 1.})))
    said = execute("report", place, pattern=str(shown / "*" / "metrics.json"))
    text = (shown / "report" / "report.md").read_text()
    assert "| consistency.mean | 0.5 ± 0.3536 (2) |" in text and text.count("## ") == 2 and "| consistency.mean | 1 (1) |" in text.split("## ")[2]
    assert "left out: " in said and "odd/metrics.json cannot be read or is cut short" in said
    assert "pendulum,train/test,2000,700,40,16,smoke,consistency.mean,0.5,0.35355" in (shown / "report" / "report.csv").read_text()
    with pytest.raises(papermill.PapermillExecutionError, match="odd/metrics.json cannot be read"): execute("report", place, pattern=str(shown / "odd" / "metrics.json"))


@pytest.mark.parametrize("wrong, said", [("absent", "no file .*weights.pth; wanted is resnext-101-kinetics.pth"), ("text", "no weights file of PyTorch"), ("other", "is of another network: conv1.weight and 521 more missing; head.weight not part")])
def test_a_wrong_weights_file_is_named_before_the_work(wrong, said, tmp_path):
    file = tmp_path / "weights.pth"
    if wrong == "text": file.write_text("<html>quota exceeded</html>")
    if wrong == "other": torch.save(dict(state_dict={"module.head.weight": torch.ones(3)}), file)
    with pytest.raises(papermill.PapermillExecutionError, match=said): execute("table3", tmp_path, dataset="pendulum", preset="smoke", resnext=str(file))
    assert not (tmp_path / "data").exists()                                              # nothing was trained
