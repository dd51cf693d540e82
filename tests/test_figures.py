"The papermill notebooks, rerun in small; and the README's lines of Python."
import json, os, re, sys
from pathlib import Path
import papermill, pytest
from sync import ROOT

PICTURES = dict(
    pendulum=("reconstruction.png", "swap.png", "swap.gif", "action.png", "rollout.png", "rollout.gif", "samples.png"),
    sprites=("reconstruction.png", "swap.png", "swap.gif", "action.png", "rollout.png", "samples.png"),
    objectives=("rollouts.png",))
METRICS = dict(
    pendulum=("probe.s.colour", "probe.s.speed.chance", "probe.d_sample.colour.majority", "rollout.angle_error", "rollout.angle_error.still", "rollout.transition.visible"),
    sprites=("probe.s_hat.body", "probe.s_hat.body.chance", "probe.d_sample.action", "probe.d_sample.motion.majority", "probe_stage1.s_hat.action", "reconstruction.mse"),
    objectives=("objective.eq4.stage2_seconds", "objective.multistep.rollout.window.angle_error", "objective.pseudo.rollout.still.angle_error"))


@pytest.mark.parametrize("name", PICTURES)
def test_notebook_reruns(name, tmp_path):
    out = tmp_path / "figures"
    run = lambda: papermill.execute_notebook(ROOT / "nbs" / "figures" / f"{name}.ipynb", tmp_path / "executed.ipynb", cwd=ROOT, progress_bar=False,
                                             parameters=dict(preset="smoke", run_folder=str(tmp_path / "run"), out=str(out)))
    run()
    for picture in PICTURES[name]: assert (out / picture).stat().st_size > 1000, picture
    report = json.loads((out / "metrics.json").read_text())
    assert {"dataset", "preset", "seed", "split", "train_clips", "test_clips", "versions", "device", "train_seconds"} <= report["run"].keys()
    assert set(METRICS[name]) <= report["metrics"].keys()
    if name != "pendulum": return                           # once is enough where probing takes a minute
    trained = (tmp_path / "run" / "final" / "weights.safetensors").stat().st_mtime_ns
    run()                                                   # a finished run is loaded, and gives the same figures
    assert (tmp_path / "run" / "final" / "weights.safetensors").stat().st_mtime_ns == trained
    assert json.loads((out / "metrics.json").read_text()) == report


def test_an_unknown_preset_is_named(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="unknown preset 'fast' for pendulum; choose one of quick"):
        papermill.execute_notebook(ROOT / "nbs" / "figures" / "pendulum.ipynb", tmp_path / "executed.ipynb", cwd=ROOT, progress_bar=False,
                                   parameters=dict(preset="fast", run_folder=str(tmp_path / "run"), out=str(tmp_path)))
    assert not (tmp_path / "run").exists()


def test_the_readme_lines_run(tmp_path, monkeypatch):
    cells = json.loads((ROOT / "nbs" / "index.ipynb").read_text())["cells"]
    code = next("".join(c["source"]) for c in cells if c["cell_type"] == "code" and "swap(" in "".join(c["source"]))
    assert "quick" in code and "swap(" in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace("quick", "smoke"), {})
    assert any(tmp_path.rglob("*.gif"))
