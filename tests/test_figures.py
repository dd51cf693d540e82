"The papermill notebooks, rerun in small; and the README's lines of Python."
import json
import imageio.v3 as iio, papermill, pytest
from sync import ROOT
from vdsm.data.pendulum import Pendulum

PICTURES = dict(
    pendulum=("reconstruction.png", "swap.png", "swap.gif", "action.png", "rollout.png", "rollout.gif", "samples.png"),
    sprites=("reconstruction.png", "swap.png", "swap.gif", "action.png", "rollout.png", "samples.png"),
    moving_mnist=("reconstruction.png", "swap.png", "swap.gif", "action.png", "rollout.png", "samples.png"),
    objectives=("rollouts.png",))
METRICS = dict(
    pendulum=("probe.s.colour", "probe.s.speed.chance", "probe.d_sample.colour.majority", "rollout.angle_error", "rollout.angle_error.still", "rollout.transition.visible"),
    sprites=("probe.s_hat.body", "probe.s_hat.body.chance", "probe.d_sample.action", "probe.d_sample.motion.majority", "probe_stage1.s_hat.action", "reconstruction.mse"),
    moving_mnist=("probe.s_hat.digit", "probe.d_sample.motion.chance", "path.swap.error", "path.still.error", "digit.reconstruction", "digit.chance"),
    objectives=("objective.eq4.stage2_seconds", "objective.multistep.rollout.window.angle_error", "objective.pseudo.rollout.still.angle_error.seed1", "objective.eq4_clips.stage2_clips",
                "objective.unshared.rollout.lstm.angle_error.std", "objective.other.stage2_steps", "objective.context.rollout.clips", "objective.eq4_bf16.stage2_seconds"))
MORE = dict(moving_mnist=dict(n_images=750), objectives=dict(seeds="0,1", equal_time_steps=3, n_clips=14))


@pytest.mark.parametrize("name", PICTURES)
def test_notebook_reruns(name, tmp_path):
    out = tmp_path / "figures"
    run = lambda: papermill.execute_notebook(ROOT / "nbs" / "8_figures" / f"{name}.ipynb", tmp_path / "executed.ipynb", cwd=ROOT, progress_bar=False,
                                             parameters=dict(preset="smoke", run_folder=str(tmp_path / "run"), out=str(out)) | MORE.get(name, {}))
    run()
    for picture in PICTURES[name]: assert (out / picture).stat().st_size > 1000, picture
    report = json.loads((out / "metrics.json").read_text())
    assert {"dataset", "preset", "seeds" if name == "objectives" else "seed", "split", "held_out", "train_clips", "held_out_clips", "versions", "device", "train_seconds"} <= report["run"].keys()
    assert set(METRICS[name]) <= report["metrics"].keys()
    if name == "moving_mnist": assert "MNIST's train file of " in report["run"]["source"] and "MNIST's train file of " in (tmp_path / "executed.ipynb").read_text()
    if name != "pendulum": return                           # once is enough where probing takes a minute
    trained = (tmp_path / "run" / "final" / "weights.safetensors").stat().st_mtime_ns
    run()                                                   # a finished run is loaded, and gives the same figures
    assert (tmp_path / "run" / "final" / "weights.safetensors").stat().st_mtime_ns == trained
    assert json.loads((out / "metrics.json").read_text()) == report


def test_the_benchmark_reruns(tmp_path):
    papermill.execute_notebook(ROOT / "nbs" / "8_figures" / "step_timing.ipynb", tmp_path / "executed.ipynb", cwd=ROOT, progress_bar=False,
                               parameters=dict(preset="smoke", steps=1, out=str(tmp_path)))
    measured = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    for ratio, plain, ours in (("stage1.ratio_first", "stage1.first", "stage1.vdsm"), ("stage2_bf16.ratio_bf16", "stage2.plain_bf16", "stage2_bf16.vdsm"), ("stage2_half.ratio", "stage2.plain", "stage2_half.vdsm")):
        for k in ("seconds", "peak_mb"): assert measured[f"benchmark.{ratio}.{k}"] == pytest.approx(measured[f"benchmark.{plain}.{k}"] / measured[f"benchmark.{ours}.{k}"])


def test_an_unknown_preset_is_named(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="unknown preset 'fast' for pendulum; choose one of quick"):
        papermill.execute_notebook(ROOT / "nbs" / "8_figures" / "pendulum.ipynb", tmp_path / "executed.ipynb", cwd=ROOT, progress_bar=False,
                                   parameters=dict(preset="fast", run_folder=str(tmp_path / "run"), out=str(tmp_path)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("labelled", [True, False])
def test_your_videos_needs_no_line_of_code(labelled, tmp_path):
    clips, data = tmp_path / "my clips", Pendulum("validation", 28)
    for i in range(len(data)):
        colour, speed = (data.classes[k][v[i]] for k, v in data.factors.items())
        file = clips / (f"{colour}/{speed}/{i}.mp4" if labelled else f"clip {i}.mp4")
        file.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(file, (data[i] * 255).byte().permute(0, 2, 3, 1).numpy(), fps=8)
    (clips / "broken.mp4").write_bytes(b"not a video")
    papermill.execute_notebook(ROOT / "nbs" / "8_figures" / "your_videos.ipynb", tmp_path / "executed.ipynb", cwd=ROOT, progress_bar=False,
                               parameters=dict(folder=str(clips), preset="smoke", run_folder=str(tmp_path / "run"), out=str(tmp_path / "out")))
    for picture in ("clips.png", "reconstruction.png", "swap.png", "swap.gif", "extrapolate.png", "extrapolate.gif"): assert (tmp_path / "out" / picture).stat().st_size > 1000, picture
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [report["run"][k] for k in ("train_clips", "held_out_clips", "held_out")] == [20, 4, "validation"]         # and 4 for test
    assert ("probe.s_hat.identity.chance" in report["metrics"]) == labelled and "reconstruction.mse.mean_image" in report["metrics"]
    said = "".join("".join(o.get("text", "")) for c in json.loads((tmp_path / "executed.ipynb").read_text())["cells"] for o in c.get("outputs", []))
    assert "broken.mp4" in said


def test_a_folder_must_be_named(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="which folder"):
        papermill.execute_notebook(ROOT / "nbs" / "8_figures" / "your_videos.ipynb", tmp_path / "executed.ipynb", cwd=ROOT, progress_bar=False)


def test_the_readme_lines_run(tmp_path, monkeypatch):
    cells = json.loads((ROOT / "nbs" / "index.ipynb").read_text())["cells"]
    code = next("".join(c["source"]) for c in cells if c["cell_type"] == "code" and "swap(" in "".join(c["source"]))
    assert "quick" in code and "swap(" in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace("quick", "smoke"), {})
    assert any(tmp_path.rglob("*.gif"))
