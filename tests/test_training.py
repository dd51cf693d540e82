"Runs that are killed, resumed, damaged or go wrong."
import json, os, shutil, signal, socket, subprocess, sys, threading
from dataclasses import dataclass, replace
from pathlib import Path
import pytest, torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from safetensors.torch import load_file
from torch import nn
from vdsm.data.pendulum import Pendulum
from vdsm.data.sequences import ArraySequences
from vdsm.lib.checkpoint import AFTER_STAGE_1, checkpoints, read_history
from vdsm.lib.method import Method, StageTrainer
from vdsm.lib.pretrained import load_checkpoint, read_config
from vdsm.model.interface import VideoModel
from vdsm.training.loop import RETRIES, Run, TwoStages, in_any, train, train_method
from vdsm.training.presets import TransitionStage, get_preset

SMOKE = get_preset("pendulum", "smoke")
TRAIN = """
import sys
from vdsm.data.pendulum import Pendulum
from vdsm.training.presets import TransitionStage, get_preset
from vdsm.lib.method import StageTrainer
from vdsm.training.loop import train
step = StageTrainer.__call__
def reported(self):
    print('step', self.number, self.run.step, flush=True)
    return step(self)
StageTrainer.__call__ = reported
train(Pendulum(n_clips=28), get_preset('pendulum', 'smoke'), sys.argv[1], log_every=1)
"""


@pytest.fixture(scope="module")
def data():
    "Pendula that are drawn once."
    data = Pendulum(n_clips=28)
    drawn = data.clips(range(len(data)))
    data.frames = lambda clips, times: drawn[clips, times]
    return data


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    "The folder of a finished run, which tests read and do not change."
    folder = tmp_path_factory.mktemp("finished")
    train(data, SMOKE, folder, log_every=1)
    return folder


@pytest.fixture
def run_folder(finished, tmp_path):
    "A copy of it, for one test to change."
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def weights(folder): return load_file(str(Path(folder) / "final" / "weights.safetensors"))


@pytest.mark.parametrize("killed_at", ["step 1 3", "step 1 5", "step 2 3", "step 2 5"])
def test_killed_and_resumed_is_the_same_run(tmp_path, data, finished, killed_at):
    child = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in child.stdout:
        if line.strip() == killed_at: child.send_signal(signal.SIGKILL); break
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "final").exists() and checkpoints(tmp_path / "killed")
    train(data, SMOKE, tmp_path / "killed", log_every=1)
    a, b = weights(finished), weights(tmp_path / "killed")
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    timeless = lambda run: [
        {k: v for k, v in r.items() if k != "seconds"} for r in read_history(run)
    ]
    assert timeless(finished) == timeless(tmp_path / "killed")


def test_seeds_differ_and_finished_runs_load(tmp_path, data):
    first = train(data, SMOKE, tmp_path / "a", seed=0)
    written = (tmp_path / "a" / "final" / "weights.safetensors").stat().st_mtime_ns
    again = train(data, SMOKE, tmp_path / "a", seed=0)
    other = train(data, SMOKE, tmp_path / "b", seed=1)
    assert (tmp_path / "a" / "final" / "weights.safetensors").stat().st_mtime_ns == written
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters()))
    assert any(not torch.equal(p, q) for p, q in zip(first.parameters(), other.parameters()))
    assert [p.name for p in checkpoints(tmp_path / "a")] == [AFTER_STAGE_1]


def test_stage_two_moves_only_what_it_trains(finished):
    config = json.loads((finished / "final" / "config.json").read_text())
    assert (config["stage"], config["step"]) == (2, SMOKE.stage2.steps)
    before = load_file(str(finished / AFTER_STAGE_1 / "weights.safetensors"))
    moved = {k for k, v in weights(finished).items() if not torch.equal(v, before[k])}
    guide = ("encoder", "decoder", "combiner", "static", "embed")
    trained = "model.transition", *(f"guide.{part}" for part in guide)
    assert all(k.startswith(trained) for k in moved)
    assert all(any(k.startswith(part) for k in moved) for part in trained)
    assert load_checkpoint(finished / "final").decoder.inverse_temperature.item() > 1


def test_a_third_stage(data, finished, run_folder, tmp_path, monkeypatch):
    """A finished run of two stages takes it, only the transition changes, and a run that fails in
    the middle of it goes on to the same weights."""
    three = TransitionStage(5, batch=3, clips=6, ahead=4, horizon=4)
    preset = replace(SMOKE, stage3=three, save_every=2)
    train(data, preset, run_folder, log_every=1)
    old, new = weights(finished), weights(run_folder)
    moved = {k for k in old if not torch.equal(old[k], new[k])}
    assert moved and all(k.startswith("model.transition.") for k in moved)
    assert [(r["stage"], r["step"]) for r in read_history(run_folder)][-5:] == [
        (3, i) for i in range(5)
    ]
    step = StageTrainer.__call__

    def fails(self):
        if (self.number, self.run.step) == (3, 3): raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(StageTrainer, "__call__", fails)
    with pytest.raises(KeyboardInterrupt): train(data, preset, tmp_path / "b", log_every=1)
    monkeypatch.undo()
    assert checkpoints(tmp_path / "b")[-1].name == "stage3-000002"
    train(data, preset, tmp_path / "b", log_every=1)
    resumed = weights(tmp_path / "b")
    assert all(torch.equal(new[k], resumed[k]) for k in new)
    other = replace(preset, stage3=replace(three, ahead=5))
    with pytest.raises(ValueError, match=r"differs in preset \(stage3\)"):
        train(data, other, run_folder)


def test_a_folder_of_another_run_is_refused(run_folder, data):
    with pytest.raises(ValueError, match="differs in seed"): train(data, SMOKE, run_folder, seed=1)
    with pytest.raises(ValueError, match=r"differs in preset \(stage1\)"):
        train(data, replace(SMOKE, stage1=replace(SMOKE.stage1, batch=3)), run_folder)
    assert weights(run_folder)


def test_a_run_older_than_an_option_is_taken_for_its_default(run_folder, data):
    file = run_folder / "final" / "config.json"
    config = json.loads(file.read_text())
    stage1, stage2 = (config["preset"][k] for k in ("stage1", "stage2"))
    del stage2["leave_one_out"], stage2["static_from_other_clip"], stage1["lr_factor"]["clip"]
    # says nothing in stage 1
    config["preset"]["stage1"]["unshared"] = True
    file.write_text(json.dumps(config))
    train(data, SMOKE, run_folder)
    with pytest.raises(ValueError, match=r"differs in preset \(stage2\)"):
        train(data, replace(SMOKE, stage2=replace(SMOKE.stage2, leave_one_out=True)), run_folder)


def test_another_stage_two_starts_from_the_same_stage_one(tmp_path, data, finished):
    longer = replace(SMOKE, stage2=replace(SMOKE.stage2, steps=8))
    train(data, longer, tmp_path / "b", after=finished, log_every=1)
    assert [(r["stage"], r["step"]) for r in read_history(tmp_path / "b")] == [
        (2, i) for i in range(8)
    ]
    a, b = weights(finished), weights(tmp_path / "b")
    same = lambda prefix: all(torch.equal(a[k], b[k]) for k in a if k.startswith(prefix))
    assert (
        same("frame_guide.encoder") and same("frame_model.decoder") and not same("model.transition")
    )
    begins = lambda run: load_file(str(run / AFTER_STAGE_1 / "weights.safetensors"))
    assert all(torch.equal(v, begins(tmp_path / "b")[k]) for k, v in begins(finished).items())
    # how d starts is the second stage's own
    shared = replace(
        SMOKE,
        stage2=replace(
            SMOKE.stage2, remove_shared_directions=not SMOKE.stage2.remove_shared_directions
        ),
    )
    train(data, shared, tmp_path / "e", after=finished)
    moved = {
        k for k, v in begins(finished).items() if not torch.equal(v, begins(tmp_path / "e")[k])
    }
    assert moved and all(k.startswith("guide.encoder.head.loc") for k in moved)
    with pytest.raises(FileNotFoundError, match="no checkpoint in"):
        train(data, SMOKE, tmp_path / "c", after=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"differs in preset \(stage1\)"):
        train(
            data,
            replace(SMOKE, stage1=replace(SMOKE.stage1, batch=3)),
            tmp_path / "d",
            after=finished,
        )


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
    shutil.rmtree(newest)
    train(data, SMOKE, tmp_path)
    assert (tmp_path / "final").exists()


def poisoned(monkeypatch, times, where="gradient"):
    "Make the gradient of step 3 of stage 1 NaN, or a value of its forward pass, so many times."
    step, left = StageTrainer.__call__, [times]
    def spoiled(self):
        if (self.number, self.run.step) != (1, 3) or not left[0]: return step(self)
        left[0] -= 1
        decoder = self.run.model.decoder
        if where == "gradient":
            hook = decoder.first.weight.register_hook(lambda g: g * float("nan"))
        else:
            hook = getattr(self.run.model, where).register_forward_hook(
                lambda module, given, out: out * float("nan")
            )
        try: return step(self)
        finally: hook.remove()
    monkeypatch.setattr(StageTrainer, "__call__", spoiled)


@pytest.mark.parametrize("where", ["gradient", "encoder", "decoder"])
def test_a_nan_step_is_not_applied_and_the_run_goes_on(where, tmp_path, data, monkeypatch, capsys):
    poisoned(monkeypatch, 1, where)
    model = train(data, SMOKE, tmp_path, log_every=1)
    said = capsys.readouterr().out
    assert (
        "step 3 of stage 1" in said
        and "not applied" in said
        and "stage1-000002" in said
        and "0.5 of the learning rate until the next checkpoint" in said
    )
    assert all(p.isfinite().all() for p in model.parameters())
    rates = {(r["stage"], r["step"]): r["lr"] for r in read_history(tmp_path)}
    planned = lambda step: SMOKE.stage1.lr * SMOKE.stage1.lr_factor(step / SMOKE.stage1.steps)
    # halved from checkpoint 2 to checkpoint 4 only
    assert [rates[1, i] / planned(i) for i in (0, 2, 3, 4, 5)] == pytest.approx([1, .5, .5, 1, 1])


def test_failures_far_apart_do_not_end_a_run(tmp_path, data, monkeypatch):
    step, spoiled = StageTrainer.__call__, {3, 5, 7, 9, 11}
    def sometimes(self):
        if self.number == 1 and self.run.step in spoiled: spoiled.remove(self.run.step); return None
        return step(self)
    monkeypatch.setattr(StageTrainer, "__call__", sometimes)
    train(data, replace(SMOKE, stage1=replace(SMOKE.stage1, steps=12)), tmp_path)
    assert not spoiled and 5 > RETRIES


def test_nan_for_ever_ends_in_a_sentence_and_loses_nothing(tmp_path, data, monkeypatch):
    poisoned(monkeypatch, 99)
    with pytest.raises(RuntimeError, match=f"not finite at step 3, for the {RETRIES + 1}th "
                                           f"time.*stage1-000002"): train(data, SMOKE, tmp_path)
    load_checkpoint(checkpoints(tmp_path)[-1])


def test_nan_in_the_data_is_named_before_training(tmp_path):
    data = ArraySequences(
        torch.rand(9, 16, 3, 64, 64), identity=torch.arange(9) % 3, name="clips of mine"
    )
    frames = data.frames
    data.frames = lambda c, t: frames(c, t).index_fill(0, torch.tensor([0]), float("nan"))
    with pytest.raises(ValueError, match="clips of mine: .* NaN"): train(data, SMOKE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_frame_size_other_than_64_is_named(tmp_path):
    small = ArraySequences(torch.rand(2, 16, 3, 48, 48))               # data sets may have any size
    with pytest.raises(ValueError, match="resize the frames to 64 by 64"):
        train(small, SMOKE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_channels_that_the_model_does_not_take_are_named(tmp_path):
    grey = ArraySequences(torch.rand(3, 16, 1, 64, 64), name="grey clips")
    with pytest.raises(ValueError, match="grey clips: frames have 1 channels and the model takes "
                                         "3; set channels=1"): train(grey, SMOKE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_device_without_an_operator_is_named_before_training(tmp_path, data, monkeypatch):
    def run_on(device):
        run = Run(TwoStages(SMOKE), data, tmp_path, Fabric(accelerator=device, devices=1))
        run.method.try_device(run)
        return run
    # all there: nothing is said, nothing changes
    before = {k: v.clone() for k, v in run_on("cpu").model.state_dict().items()}
    assert all(torch.equal(v, before[k]) for k, v in run_on("cpu").model.state_dict().items())
    def absent(*args, **kwargs): raise NotImplementedError("The operator 'aten::col2im' is not "
                                                           "currently implemented for the MPS "
                                                           "device.\nIf you want")
    said = "lacks something that training needs .*col2im.*accelerator='cpu'"
    needed = (nn.functional, "fold"), (nn.utils, "clip_grad_norm_"), (torch.linalg, "svd")
    for module, name in needed:
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match=said):
            patch.setattr(module, name, absent)
            run_on("cpu")
    assert not list(tmp_path.iterdir())


def test_sixteen_bits_train_with_a_scaled_loss(tmp_path, data, finished):
    half = lambda: Fabric(
        accelerator="cpu",
        devices=1,
        plugins=MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=32.0)),
    )
    model = train(data, SMOKE, tmp_path / "half", log_every=1, fabric=half())
    assert all(p.isfinite().all() for p in model.parameters())
    whole, halves = (
        {(r["stage"], r["step"]): r["grad_norm"] for r in read_history(run)}
        for run in (finished, tmp_path / "half")
    )
    known = [k for k, v in halves.items() if v is not None and k[0] == 1]
    # the norm is that of the gradient, not of the scaled one
    assert known and all(halves[k] == pytest.approx(whole[k], rel=.2) for k in known[:1])
    scale = read_config(tmp_path / "half" / "final")["scaler"]["scale"]
    # an overflow is no failure
    assert .25 <= scale <= 32 and read_config(tmp_path / "half" / "final")["retries"] == 0
    fabric = half()
    run = Run(TwoStages(SMOKE), data, tmp_path / "half", fabric)
    run.load(tmp_path / "half" / "final")
    # goes on with the same scale
    assert fabric.strategy.precision.scaler.get_scale() == scale


def test_an_overflow_skips_the_step_and_halves_the_scale(tmp_path, data, monkeypatch):
    step, seen = StageTrainer.__call__, []
    def huge(self):
        if (self.number, self.run.step) == (1, 3):
            self.scaler.load_state_dict(self.scaler.state_dict() | dict(scale=1e38))
            self.scaler.update(1e38)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        before, old = [p.clone() for p in parameters], self.scaler.get_scale()
        record = step(self)
        if (self.number, self.run.step) == (1, 3):
            same = all(torch.equal(p, q) for p, q in zip(before, parameters))
            seen.append((record["grad_norm"], same, self.scaler.get_scale() / old))
        return record
    monkeypatch.setattr(StageTrainer, "__call__", huge)
    train(
        data,
        SMOKE,
        tmp_path,
        fabric=Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu")),
    )
    assert seen == [(None, True, .5)]


PRESS = """
import sys, threading, _thread, signal
from vdsm.data.pendulum import Pendulum
from vdsm.training.presets import TransitionStage, get_preset
from vdsm.lib.method import StageTrainer
from vdsm.training.loop import train
step, before = StageTrainer.__call__, signal.getsignal(signal.SIGINT)
def pressed(self):
    if (self.number, self.run.step) == tuple(map(int, sys.argv[2:4])):
        for _ in range(int(sys.argv[4])): signal.raise_signal(signal.SIGINT)
    return step(self)
StageTrainer.__call__ = pressed
model = train(Pendulum(n_clips=28), get_preset('pendulum', 'smoke'), sys.argv[1], log_every=1)
print('usable', model.training, model.decoder.inverse_temperature.item() > 0,
      signal.getsignal(signal.SIGINT) is before)
"""


@pytest.mark.parametrize("stage, step", [(1, 3), (1, 5), (2, 2)])
def test_ctrl_c_saves_and_the_same_call_goes_on(stage, step, tmp_path, data, finished):
    press = lambda times: subprocess.run(
        [sys.executable, "-c", PRESS, str(tmp_path / "run"), str(stage), str(step), str(times)],
        capture_output=True,
        text=True,
    )
    done = press(1)
    assert done.returncode == 0, done.stderr
    # the step that is under way ends
    at = (stage, step + 1) if step < 5 else (2, 0)
    assert (
        f"stopped and saved at step {at[1]} of stage {at[0]}; the same call goes on from there"
        in done.stdout
        and "usable False True True" in done.stdout
    )
    assert not (tmp_path / "run" / "final").exists()
    train(data, SMOKE, tmp_path / "run", log_every=1)
    a, b = weights(finished), weights(tmp_path / "run")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_ctrl_c_twice_ends_at_once_and_loses_no_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PRESS, str(tmp_path), "1", "3", "2"], capture_output=True, text=True
    )
    assert done.returncode and "KeyboardInterrupt" in done.stderr
    assert [p.name for p in checkpoints(tmp_path)] == ["stage1-000000", "stage1-000002"]


def test_train_works_in_a_thread(tmp_path, data):
    done = []
    thread = threading.Thread(target=lambda: done.append(train(data, SMOKE, tmp_path)))
    thread.start(); thread.join()
    assert done and (tmp_path / "final").exists()


def test_a_finished_run_can_be_given_more_steps(run_folder, data, monkeypatch):
    before, longer = weights(run_folder), replace(SMOKE, stage2=replace(SMOKE.stage2, steps=9))
    poisoned_at = []
    step = StageTrainer.__call__

    # also where the last checkpoint is `final`
    def once(self):
        if self.run.step == 6 and not poisoned_at:
            poisoned_at.append(1)
            return None
        return step(self)

    monkeypatch.setattr(StageTrainer, "__call__", once)
    model = train(data, longer, run_folder, log_every=1)
    assert poisoned_at and [r["step"] for r in read_history(run_folder) if r["stage"] == 2] == list(
        range(9)
    )
    after, config = weights(run_folder), read_config(run_folder / "final")
    assert any(not torch.equal(before[k], after[k]) for k in after) and (
        config["step"],
        config["preset"]["stage2"]["steps"],
    ) == (9, 9)
    again = train(data, longer, run_folder)
    assert all(torch.equal(p, q) for p, q in zip(again.parameters(), model.parameters()))
    with pytest.raises(ValueError, match=r"differs in preset \(stage2\)"):
        train(data, SMOKE, run_folder)
    with pytest.raises(ValueError, match=r"differs in preset \(stage1\)"):
        train(data, replace(longer, stage1=replace(SMOKE.stage1, steps=9)), run_folder)


TWO = """
import os, sys, time, torch
from dataclasses import replace
from lightning_fabric import Fabric
from vdsm.data.pendulum import Pendulum
from vdsm.training.presets import TransitionStage, get_preset
from vdsm.lib import checkpoint, method
from vdsm.training.loop import train
listed, drawn = checkpoint.checkpoints, method.seed_step
if os.environ.get('RANK') == '1': # sees what the first process has written meanwhile
    checkpoint.checkpoints = lambda folder: (time.sleep(1), listed(folder))[1]
if sys.argv[2] == 'alike': # every process draws the same batch
    method.seed_step = lambda *key: drawn(*key[:4])
preset = get_preset('pendulum', 'smoke')
preset = replace(preset, stage1=replace(preset.stage1, decoded=3),
                 # all options; what trains changes within the stage
                 stage2=replace(preset.stage2, steps=8, pseudo_fraction=.4, horizon=3,
                                horizon_from=.2, context=5, decoded=3,
                                train_static_on_pixels=False, leave_one_out=True))
if len(sys.argv) > 3:
    step = method.StageTrainer.__call__
    def ending(self):
        if (self.number, self.run.step) == (2, 5): sys.exit('gone')
        return step(self)
    method.StageTrainer.__call__ = ending
fabric = Fabric(accelerator='cpu', devices=int(os.environ.get('WORLD_SIZE', 1)))
model = train(Pendulum(n_clips=28), preset, sys.argv[1], fabric=fabric)
weights = torch.cat([p.flatten() for p in model.parameters()])
print('weights', weights.double().norm().item(), flush=True)
"""


def launch(folder, processes, *arguments):
    (folder / "two.py").write_text(TWO)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(processes),
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(port),
    ]
    return subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else []), str(folder / "two.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | dict(GLOO_SOCKET_IFNAME="lo"),
    )


def test_two_processes_train_one_model_with_all_options(tmp_path):
    run = launch(tmp_path, 2, str(tmp_path / "run"), "apart")
    assert run.returncode == 0, run.stderr[-2000:]
    norms = [line.split()[1] for line in run.stdout.splitlines() if line.startswith("weights")]
    assert len(norms) == 2 and norms[0] == norms[1]
    assert read_config(tmp_path / "run" / "final")["processes"] == 2


def test_the_gradient_is_the_mean_over_processes(tmp_path):
    """Two processes that draw the same batch take the steps of one: `batch` is a process's,
    learning rate and steps stay."""
    for n in (1, 2):
        run = launch(tmp_path, n, str(tmp_path / str(n)), "alike")
        assert run.returncode == 0, run.stderr[-2000:]
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    for k in one: torch.testing.assert_close(two[k], one[k], rtol=1e-3, atol=1e-5)


def test_another_number_of_processes_is_refused_within_a_stage(tmp_path):
    assert "gone" in launch(tmp_path, 2, str(tmp_path / "run"), "apart", "ending").stderr
    said = launch(tmp_path, 1, str(tmp_path / "run"), "apart").stderr
    assert (
        "in the middle of a stage that 2 processes began, and there are 1 now" in said
        and "torchrun --nproc-per-node 2" in said
    )
    assert launch(tmp_path, 2, str(tmp_path / "run"), "apart").returncode == 0
    # a finished run loads anywhere
    assert launch(tmp_path, 1, str(tmp_path / "run"), "apart").returncode == 0


OLD_NAMES = dict(pseudo_fraction="pseudo", train_static_on_pixels="tune_s",
                 remove_shared_directions="unshared")


def as_before(folder):
    "Rewrite a checkpoint's configuration as versions with one record for both stages had it."
    file = folder / "config.json"
    config = json.loads(file.read_text())
    one, two = config["preset"]["stage1"], config["preset"]["stage2"]
    for now, before in OLD_NAMES.items(): two[before] = two.pop(now)
    config["preset"]["stage1"] = two | one | dict(frames=[1, one["frames"]])
    file.write_text(json.dumps(config))


@pytest.mark.parametrize("stopped_at", [(1, 3), (2, 3)])
def test_a_run_with_the_names_of_before_resumes(stopped_at, tmp_path, data, finished, monkeypatch):
    step = StageTrainer.__call__
    def ending(self):
        if (self.number, self.run.step) == stopped_at: raise KeyboardInterrupt
        return step(self)
    monkeypatch.setattr(StageTrainer, "__call__", ending)
    with pytest.raises(KeyboardInterrupt): train(data, SMOKE, tmp_path / "run")
    monkeypatch.undo()
    for folder in checkpoints(tmp_path / "run"): as_before(folder)
    train(data, SMOKE, tmp_path / "run")
    a, b = weights(finished), weights(tmp_path / "run")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_setting_with_a_name_of_before_still_counts(run_folder, data):
    as_before(run_folder / "final")
    train(data, SMOKE, run_folder)
    other = replace(SMOKE, stage2=replace(SMOKE.stage2, pseudo_fraction=0.2))
    with pytest.raises(ValueError, match=r"differs in preset \(stage2\)"):
        train(data, other, run_folder)


def test_frozen_layers_of_s_do_not_move(tmp_path, data, finished):
    frozen = replace(SMOKE.stage2, pseudo_fraction=0., train_static_on_pixels=False)
    model = train(data, replace(SMOKE, stage2=frozen), tmp_path / "b", after=finished)
    before = load_checkpoint(tmp_path / "b" / AFTER_STAGE_1).state_dict()
    moved = {k for k, p in model.state_dict().items() if not torch.equal(p, before[k])}
    assert "guide.combiner.f8.weight" in moved
    assert not any(k.startswith("guide.static") for k in moved)


def test_a_stage_may_begin_in_another_precision(tmp_path, data, finished, monkeypatch, capsys):
    "Weights and their updates stay in float32; within a stage the precision cannot change."
    ours = load_checkpoint(finished / "final").state_dict()
    half = replace(SMOKE, precision="bf16-mixed")
    model = train(data, half, tmp_path / "half", after=finished)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert read_config(tmp_path / "half" / "final")["precision"] == "bf16-mixed"
    theirs = model.state_dict()
    keys = [k for k in theirs if k.startswith(("guide.combiner", "model.transition"))]
    assert any(not torch.equal(theirs[k], ours[k]) for k in keys)
    assert all((theirs[k] - ours[k]).abs().max() < .05 for k in keys)
    with pytest.raises(ValueError, match="differs in precision"):
        train(data, SMOKE, tmp_path / "half")
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    capsys.readouterr()
    train(data, half, tmp_path / "half")
    assert not capsys.readouterr().out # a finished run takes no step
    train(data, half, tmp_path / "slow", after=finished)
    assert capsys.readouterr().out.startswith("bf16-mixed: this processor has no instructions")


@dataclass(frozen=True)
class ToyStage:
    steps: int = 9
    lr: float = .02


@dataclass(frozen=True)
class ToySizes:
    width: int = 3


@dataclass(frozen=True)
class ToyPreset:
    model: ToySizes = ToySizes()
    stage1: ToyStage = ToyStage()
    save_every: int = 2
    precision: str = "32-true"
    @property
    def stages(self): return (self.stage1,)


class ToyGAN(VideoModel):
    "A generator of three numbers, and a critic."
    config_class = ToySizes
    def __init__(self, config):
        super().__init__(config)
        self.generator, self.critic = nn.Linear(1, config.width), nn.Linear(config.width, 1)


class Objective(nn.Module):
    "What one of the two players minimises."
    def __init__(self, gan, player):
        super().__init__()
        self.gan, self.player = gan, player
    def forward(self, real, noise):
        fake, loss = self.gan.generator(noise), nn.functional.softplus
        if self.player == "generator": return loss(-self.gan.critic(fake)).mean()
        return (loss(-self.gan.critic(real)) + loss(self.gan.critic(fake.detach()))).mean()


class ToyTrainer(StageTrainer):
    "Two optimisers, one step of each."
    def __init__(self, run):
        super().__init__(run)
        self.players = {k: self.adam(getattr(run.model, k).parameters(), self.stage.lr)
                        for k in ("critic", "generator")}
    def step(self, u, rng):
        losses, lr = {}, self.set_rate(self.stage.lr*(1 - u))
        for player, optimizer in self.players.items():
            loss = self.loss(player, lambda: Objective(self.run.model, player))
            real, noise = 3 + torch.randn(8, 3, generator=rng), torch.randn(8, 1, generator=rng)
            done = self.update(loss(real, noise), loss, optimizer, 50.)
            if done is None: return None
            losses[player] = done["loss"]
        return losses | dict(lr=lr)


class ToyMethod(Method):
    def new_model(self): return ToyGAN(self.preset.model)
    def trainer(self, run): return ToyTrainer(run)


def test_another_method_with_two_optimisers_is_saved_and_resumed(tmp_path, data, monkeypatch):
    method = ToyMethod(ToyPreset())
    straight = train_method(method, data, tmp_path / "straight", log_every=1)
    assert {p.name for p in (tmp_path / "straight" / "final").iterdir()} == {
        "config.json", "weights.safetensors", "optimizer.safetensors", "optimizer2.safetensors"}
    assert [r["step"] for r in read_history(tmp_path / "straight")] == list(range(9))
    step, failed = ToyTrainer.step, []
    def ending(self, u, rng):
        if self.run.step == 5: raise KeyboardInterrupt
        return step(self, u, rng)
    monkeypatch.setattr(ToyTrainer, "step", ending)
    with pytest.raises(KeyboardInterrupt): train_method(method, data, tmp_path / "run", log_every=1)
    monkeypatch.undo()
    again = train_method(method, data, tmp_path / "run", log_every=1)
    assert all(torch.equal(p, q) for p, q in zip(straight.parameters(), again.parameters()))
    def failing(self, u, rng): # goes back once, at half of the learning rate
        if self.run.step == 5 and not failed: return failed.append(1)
        return step(self, u, rng)
    monkeypatch.setattr(ToyTrainer, "step", failing)
    train_method(method, data, tmp_path / "back", log_every=1)
    rates = [
        a["lr"] / b["lr"]
        for a, b in zip(*(read_history(tmp_path / k) for k in ("back", "straight")))
    ]
    assert rates == pytest.approx([1, 1, 1, 1, .5, .5, 1, 1, 1])
    with pytest.raises(ValueError, match=r"differs in preset \(model\)"):
        train_method(ToyMethod(ToyPreset(model=ToySizes(4))), data, tmp_path / "run")


def test_each_stage_ends_with_a_diagnosis(tmp_path, data, capsys):
    train(data, SMOKE, tmp_path / "a")
    said = [s for s in capsys.readouterr().out.splitlines() if s.startswith("after stage")]
    assert [s.partition(":")[0] for s in said] == ["after stage 1", "after stage 2"]
    assert ", d " not in said[0] and " nats a clip (" in said[1] and said[1].endswith("16 clips")
    empty = replace(SMOKE, stage2=replace(SMOKE.stage2, steps=1))
    train(data, empty, tmp_path / "b", after=tmp_path / "a")
    said = capsys.readouterr().out
    assert "after stage 1" not in said and "% of the motion is reproduced: clips stand" in said


@dataclass
class Fabrics:
    "Two processes, of which the other one says yes or no."
    other: bool
    device = torch.device("cpu")
    world_size = 2
    def all_reduce(self, here, reduce_op): return here + self.other


@pytest.mark.parametrize("here, other", [(False, False), (False, True), (True, False)])
def test_a_run_stops_if_any_process_is_asked_to(here, other):
    assert in_any(Fabrics(other), here) == (here or other)
