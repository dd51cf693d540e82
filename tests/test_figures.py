"Notebooks of 8_figures that train a run, at the smallest setting; the README's lines of Python."
import json
import imageio.v3 as iio
import papermill
import pytest
from conftest import ROOT, check_pictures, printed, read_report, run_figure
from vdsm.data.pendulum import Pendulum
from vdsm.lib.step_timing import PHASES, WAYS

PICTURES = dict(
    pendulum="""reconstruction.png swap.png swap.gif action.png rollout.png rollout.gif
        samples.png""",
    sprites="reconstruction.png swap.png swap.gif action.png rollout.png samples.png",
    moving_mnist="reconstruction.png swap.png swap.gif action.png rollout.png samples.png",
    objectives="rollouts.png")
METRICS = dict(
    pendulum="""probe.s.colour probe.s.speed.chance probe.d_sample.colour.majority
        rollout.angle_error rollout.angle_error.still rollout.transition.visible""",
    sprites="""probe.s_hat.body probe.s_hat.body.chance probe.d_sample.action
        probe.d_sample.motion.majority probe_stage1.s_hat.action reconstruction.mse""",
    moving_mnist="""probe.s_hat.digit probe.d_sample.motion.chance path.swap.error
        path.still.error digit.reconstruction digit.chance""",
    objectives="""objective.eq4.stage2_seconds
        objective.multistep.rollout.window.angle_error
        objective.pseudo.rollout.still.angle_error.seed1
        objective.eq4_clips.stage2_clips
        objective.unshared.rollout.lstm.angle_error.std
        objective.other.stage2_steps objective.context.rollout.clips
        objective.eq4_bf16.stage2_seconds""")
RECORD = set("""dataset preset split held_out train_clips held_out_clips versions device
    train_seconds""".split())
MORE = dict(
    pendulum=dict(probe_clips=280, rolled_clips=14, draws=1),
    sprites=dict(probe_clips=567, draws=1),
    moving_mnist=dict(n_images=750, draws=1),
    objectives=dict(seeds="0,1", equal_time_steps=3, n_clips=14, train_clips=210))


@pytest.mark.parametrize("name", PICTURES)
def test_notebook_reruns(name, tmp_path):
    out, executed = tmp_path / "figures", tmp_path / "executed.ipynb"
    smallest = dict(preset="smoke", run_folder=str(tmp_path / "run"), out=str(out))
    run = lambda: run_figure(name, executed, **smallest | MORE.get(name, {}))
    run()
    check_pictures(out, PICTURES[name].split())
    report = read_report(out)
    assert RECORD | {"seeds" if name == "objectives" else "seed"} <= report["run"].keys()
    assert set(METRICS[name].split()) <= report["metrics"].keys()
    if name == "moving_mnist":
        assert "MNIST's train file of " in report["run"]["source"]
        assert "MNIST's train file of " in executed.read_text()
    if name != "pendulum": return                           # probing takes a minute elsewhere
    weights = tmp_path / "run" / "final" / "weights.safetensors"
    trained = weights.stat().st_mtime_ns
    run()                                                   # a finished run is loaded
    assert weights.stat().st_mtime_ns == trained
    assert read_report(out) == report


def test_the_benchmark_reruns(tmp_path):
    run_figure("step_timing", tmp_path / "executed.ipynb", preset="smoke", steps=1,
               only="stage2_bf16 stage2_half", out=str(tmp_path))
    measured = read_report(tmp_path)["metrics"]
    ratios = [("stage1.ratio_first", "stage1.first", "stage1.vdsm"),
              ("stage2_bf16.ratio_bf16", "stage2.plain_bf16", "stage2_bf16.vdsm"),
              ("stage2_half.ratio", "stage2.plain", "stage2_half.vdsm")]
    for ratio, plain, ours in ratios:
        for k in ("seconds", "peak_mb"):
            of_plain, of_ours = (measured[f"benchmark.{form}.{k}"] for form in (plain, ours))
            assert measured[f"benchmark.{ratio}.{k}"] == pytest.approx(of_plain / of_ours)


def test_training_beside_another_process_reruns(tmp_path):
    run_figure("busy_core", tmp_path / "executed.ipynb", preset="smoke", steps=1, out=str(tmp_path))
    measured = read_report(tmp_path)["metrics"]
    assert set(measured) == {f"busy.{phase}.{way}.{how}" for phase in PHASES for way in WAYS
                             for how in ("quiet", "busy")}
    assert min(measured.values()) > 0


def test_an_unknown_preset_is_named(tmp_path):
    wanted = "unknown preset 'fast' for pendulum; choose one of quick"
    with pytest.raises(papermill.PapermillExecutionError, match=wanted):
        run_figure("pendulum", tmp_path / "executed.ipynb", preset="fast",
                   run_folder=str(tmp_path / "run"), out=str(tmp_path))
    assert not (tmp_path / "run").exists()


def write_films(folder, labelled):
    "28 pendula as films, in folders named after their classes or all in one; and a broken file."
    data = Pendulum("validation", 28)
    for i in range(len(data)):
        colour, speed = (data.classes[k][v[i]] for k, v in data.factors.items())
        file = folder / (f"{colour}/{speed}/{i}.mp4" if labelled else f"clip {i}.mp4")
        file.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(file, (data[i] * 255).byte().permute(0, 2, 3, 1).numpy(), fps=8)
    (folder / "broken.mp4").write_bytes(b"not a video")


@pytest.mark.parametrize("labelled", [True, False])
def test_your_videos_needs_no_line_of_code(labelled, tmp_path):
    films, out, copies = tmp_path / "my clips", tmp_path / "out", 3 if labelled else 1
    write_films(films, labelled)
    cells = run_figure("your_videos", tmp_path / "executed.ipynb", folder=str(films), copies=copies,
                       preset="smoke", run_folder=str(tmp_path / "run"), out=str(out))
    check_pictures(out, ("clips.png", "reconstruction.png", "swap.png", "swap.gif",
                         "extrapolate.png", "extrapolate.gif"))
    report = read_report(out)
    held_out = [report["run"][k] for k in ("train_clips", "held_out_clips", "held_out")]
    assert held_out == [20 * copies, 4, "validation"]                # and 4 for the final figures
    assert ("probe.s_hat.identity.chance" in report["metrics"]) == labelled
    assert "reconstruction.mse.mean_image" in report["metrics"]
    assert "broken.mp4" in printed(cells)


def test_a_folder_must_be_named(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="which folder"):
        run_figure("your_videos", tmp_path / "executed.ipynb")


def test_the_readme_lines_run(tmp_path, monkeypatch):
    cells = json.loads((ROOT / "nbs" / "index.ipynb").read_text())["cells"]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    code = next(s for s in sources if "swap(" in s)
    assert "quick" in code and "swap(" in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace("quick", "smoke"), {})
    assert any(tmp_path.rglob("*.gif"))
