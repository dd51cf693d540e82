"Runs that are killed, resumed, damaged or go wrong."
import json, os, signal, socket, subprocess, sys, time
from dataclasses import replace
from pathlib import Path
import pytest, torch
from safetensors.torch import load_file
from vdsm.data.pendulum import Pendulum
from vdsm.data.sequences import ArraySequences
from vdsm.training.checkpoint import AFTER_STAGE_1, checkpoints, load_checkpoint
from vdsm.training.presets import get_preset
from vdsm.training.two_stage import RETRIES, Run, StageTrainer, read_history, train

SMOKE = get_preset("pendulum", "smoke")
TRAIN = """
import sys
from vdsm.data.pendulum import Pendulum
from vdsm.training.presets import get_preset
from vdsm.training.two_stage import StageTrainer, train
step = StageTrainer.__call__
def reported(self):
    print('step', self.number, self.run.step, flush=True)
    return step(self)
StageTrainer.__call__ = reported
train(Pendulum(n_clips=28), get_preset('pendulum', 'smoke'), sys.argv[1], log_every=1)
"""


@pytest.fixture
def data(): return Pendulum(n_clips=28)


def weights(folder): return load_file(str(Path(folder) / "final" / "weights.safetensors"))


@pytest.mark.parametrize("killed_at", ["step 1 3", "step 1 5", "step 2 3", "step 2 5"])
def test_killed_and_resumed_is_the_same_run(tmp_path, data, killed_at):
    train(data, SMOKE, tmp_path / "straight", log_every=1)
    child = subprocess.Popen([sys.executable, "-c", TRAIN, str(tmp_path / "killed")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in child.stdout:
        if line.strip() == killed_at: child.send_signal(signal.SIGKILL); break
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "final").exists() and checkpoints(tmp_path / "killed")
    train(data, SMOKE, tmp_path / "killed", log_every=1)
    a, b = weights(tmp_path / "straight"), weights(tmp_path / "killed")
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    timeless = lambda run: [{k: v for k, v in r.items() if k != "seconds"} for r in read_history(tmp_path / run)]
    assert timeless("straight") == timeless("killed")


def test_seeds_differ_and_finished_runs_load(tmp_path, data):
    first = train(data, SMOKE, tmp_path / "a", seed=0)
    written = (tmp_path / "a" / "final" / "weights.safetensors").stat().st_mtime_ns
    again = train(data, SMOKE, tmp_path / "a", seed=0)
    other = train(data, SMOKE, tmp_path / "b", seed=1)
    assert (tmp_path / "a" / "final" / "weights.safetensors").stat().st_mtime_ns == written
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters()))
    assert any(not torch.equal(p, q) for p, q in zip(first.parameters(), other.parameters()))
    assert [p.name for p in checkpoints(tmp_path / "a")] == [AFTER_STAGE_1]


def test_stage_two_moves_only_what_it_trains(tmp_path, data):
    train(data, SMOKE, tmp_path)
    run_config = json.loads((tmp_path / "final" / "config.json").read_text())
    assert (run_config["stage"], run_config["step"]) == (2, SMOKE.stage2.steps)
    assert load_checkpoint(tmp_path / "final").decoder.inverse_temperature.item() > 1


def test_a_folder_of_another_run_is_refused(tmp_path, data):
    train(data, SMOKE, tmp_path)
    with pytest.raises(ValueError, match="differs in seed"): train(data, SMOKE, tmp_path, seed=1)
    with pytest.raises(ValueError, match=r"differs in preset \(stage1\)"): train(data, replace(SMOKE, stage1=replace(SMOKE.stage1, batch=3)), tmp_path)
    assert weights(tmp_path)


def test_a_run_older_than_an_option_is_taken_for_its_default(tmp_path, data):
    train(data, SMOKE, tmp_path)
    file = tmp_path / "final" / "config.json"
    config = json.loads(file.read_text())
    del config["preset"]["stage2"]["leave_one_out"]
    file.write_text(json.dumps(config))
    train(data, SMOKE, tmp_path)
    with pytest.raises(ValueError, match=r"differs in preset \(stage2\)"):
        train(data, replace(SMOKE, stage2=replace(SMOKE.stage2, leave_one_out=True)), tmp_path)


def test_another_stage_two_starts_from_the_same_stage_one(tmp_path, data):
    train(data, SMOKE, tmp_path / "a")
    longer = replace(SMOKE, stage2=replace(SMOKE.stage2, steps=8))
    train(data, longer, tmp_path / "b", after=tmp_path / "a", log_every=1)
    assert [(r["stage"], r["step"]) for r in read_history(tmp_path / "b")] == [(2, i) for i in range(8)]
    a, b = (load_file(str(tmp_path / run / "final" / "weights.safetensors")) for run in "ab")
    same = lambda prefix: all(torch.equal(a[k], b[k]) for k in a if k.startswith(prefix))
    assert same("frame_guide.encoder") and same("frame_model.decoder") and not same("model.transition")
    with pytest.raises(FileNotFoundError, match="no checkpoint in"): train(data, SMOKE, tmp_path / "c", after=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"differs in preset \(stage1\)"):
        train(data, replace(SMOKE, stage1=replace(SMOKE.stage1, batch=3)), tmp_path / "d", after=tmp_path / "a")


def test_damaged_checkpoint_is_named_and_the_one_before_serves(tmp_path, data, monkeypatch):
    step = StageTrainer.__call__
    def interrupted(self):
        if (self.number, self.run.step) == (1, 5): raise KeyboardInterrupt
        return step(self)
    monkeypatch.setattr(StageTrainer, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt): train(data, SMOKE, tmp_path)
    monkeypatch.undo()
    newest = checkpoints(tmp_path)[-1]
    file = newest / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="cut short"): train(data, SMOKE, tmp_path)
    import shutil
    shutil.rmtree(newest)
    train(data, SMOKE, tmp_path)
    assert (tmp_path / "final").exists()


def poisoned(monkeypatch, times):
    "Make the gradient of step 3 of stage 1 NaN, so many times."
    step, left = StageTrainer.__call__, [times]
    def spoiled(self):
        if (self.number, self.run.step) != (1, 3) or not left[0]: return step(self)
        left[0] -= 1
        hook = self.run.vdsm.decoder.first.weight.register_hook(lambda g: g * float("nan"))
        try: return step(self)
        finally: hook.remove()
    monkeypatch.setattr(StageTrainer, "__call__", spoiled)


def test_a_nan_step_is_not_applied_and_the_run_goes_on(tmp_path, data, monkeypatch, capsys):
    poisoned(monkeypatch, 1)
    vdsm = train(data, SMOKE, tmp_path, log_every=1)
    said = capsys.readouterr().out
    assert "step 3 of stage 1" in said and "not applied" in said and "stage1-000002" in said and "0.5 of the learning rate" in said
    assert all(p.isfinite().all() for p in vdsm.parameters())
    rates = {(r["stage"], r["step"]): r["lr"] for r in read_history(tmp_path)}
    planned = lambda step: SMOKE.stage1.lr * SMOKE.stage1.lr_factor(step / SMOKE.stage1.steps)
    assert rates[1, 3] == pytest.approx(.5 * planned(3)) and rates[1, 0] == pytest.approx(planned(0))


def test_nan_for_ever_ends_in_a_sentence_and_loses_nothing(tmp_path, data, monkeypatch):
    poisoned(monkeypatch, 99)
    with pytest.raises(RuntimeError, match=f"not finite at step 3, for the {RETRIES + 1}th time.*stage1-000002"): train(data, SMOKE, tmp_path)
    load_checkpoint(checkpoints(tmp_path)[-1])


def test_nan_in_the_data_is_named_before_training(tmp_path):
    data = ArraySequences(torch.rand(9, 16, 3, 64, 64), individual=torch.arange(9) % 3, name="clips of mine")
    frames = data.frames
    data.frames = lambda c, t: frames(c, t).index_fill(0, torch.tensor([0]), float("nan"))
    with pytest.raises(ValueError, match="clips of mine: .* NaN"): train(data, SMOKE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_frame_size_other_than_64_is_named(tmp_path):
    with pytest.raises(ValueError, match="resize the frames to 64 by 64"): ArraySequences(torch.rand(2, 16, 3, 48, 48))


TWO = """
import os, sys, time, torch
from dataclasses import replace
from lightning_fabric import Fabric
from vdsm.data.pendulum import Pendulum
from vdsm.training.presets import get_preset
from vdsm.training import two_stage
from vdsm.training.two_stage import train
listed = two_stage.checkpoints
if os.environ['RANK'] == '1': two_stage.checkpoints = lambda folder: (time.sleep(1), listed(folder))[1]   # sees what the first process has written meanwhile
preset = get_preset('pendulum', 'smoke')
preset = replace(preset, stage2=replace(preset.stage2, steps=8, pseudo=.4, horizon=1, tune_s=False))   # what trains changes within the stage
vdsm = train(Pendulum(n_clips=28), preset, sys.argv[1], fabric=Fabric(accelerator='cpu', devices=2))
print('weights', torch.cat([p.flatten() for p in vdsm.parameters()]).double().norm().item(), flush=True)
"""


def test_two_processes_train_one_model(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    with socket.socket() as free: free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
    run = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port), str(tmp_path / "two.py"), str(tmp_path / "run")],
                         capture_output=True, text=True, timeout=300, env=os.environ | dict(GLOO_SOCKET_IFNAME="lo"))
    assert run.returncode == 0, run.stderr[-2000:]
    norms = [line.split()[1] for line in run.stdout.splitlines() if line.startswith("weights")]
    assert len(norms) == 2 and norms[0] == norms[1]
    assert (tmp_path / "run" / "final" / "weights.safetensors").exists()
