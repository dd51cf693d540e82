"""`python -m vdsm`, and `make` in front of it: what a person sees in a terminal and in a log,
what Ctrl-C leaves behind, which figures are made again."""
import io, json, os, re, select, shutil, subprocess, sys, time
import nbformat, pytest
from conftest import Missing
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sync import ROOT
from vdsm.commands.figures import figures, plan

POSIX = os.name == "posix"
if POSIX: import fcntl, pty, termios


def environment(**more):
    "As in a person's shell: without what `make test` and pytest set."
    strange = ("MAKE", "MFLAGS", "PYTEST")
    env = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
    return env | dict(PATH=f"{os.path.dirname(sys.executable)}{os.pathsep}{env['PATH']}") | more


class Terminal:
    "A command in a terminal of its own."
    def __init__(self, *words, cwd, **more):
        if not POSIX: pytest.skip("pseudo-terminals are POSIX's")
        master, slave = pty.openpty()
        more = environment(**more) | dict(PYTHONPATH=str(ROOT))
        own = lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)    # so that keys reach what runs in it
        self.process = subprocess.Popen(words, cwd=cwd, env=more, stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True, preexec_fn=own)
        os.close(slave)
        self.master, self.text = master, ""
    def read(self, seconds=.1):
        "What it has written by now; False at its end."
        if not select.select([self.master], [], [], seconds)[0]: return True
        try: part = os.read(self.master, 65536)
        except OSError: return False
        self.text += part.decode()
        return bool(part)
    def wait_for(self, text, seconds=120):
        end = time.time() + seconds
        while not re.search(text, self.text):
            assert self.read() and time.time() < end, self.text
    def finish(self, seconds=300):
        end = time.time() + seconds
        while self.read(): assert time.time() < end, self.text
        os.close(self.master)
        return self.process.wait(10)
    @property
    def shown(self):
        "Every state of each line."
        return [s.strip() for s in re.split("[\r\n]+", self.text) if s.strip()]


def run(*words, cwd, **more):
    "Exit code and lines of a command whose output goes to a log."
    env = environment(**more) | dict(PYTHONPATH=str(ROOT))
    done = subprocess.run(words, cwd=cwd, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout.splitlines()


def native(path): return path.replace("/", os.sep)


NOT_MADE = "not made: figures/broken_toy"
REPRODUCE = sys.executable, "-m", "vdsm", "reproduce"
WARNING = re.compile("warn|TCP|frozen|Executing notebook", re.I)


# ---------------------------------------------------------------- the main command

@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    "`python -m vdsm reproduce pendulum --preset smoke` in a terminal, in a clone of this folder."
    clone = tmp_path_factory.mktemp("clone")
    def git(*words, cwd=clone):
        words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True).stdout
    for file in git("ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines():
        if not (ROOT / file).is_file(): continue
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, clone / file)
    git("init"); git("add", "-A"); git("commit", "-m", "as it is")
    going = Terminal(*REPRODUCE, "pendulum", "--preset", "smoke", cwd=clone)
    assert going.finish() == 0, going.text
    return clone, going, git("status", "--porcelain")


def test_a_terminal_shows_how_far_it_is_and_what_came_out(reproduced):
    clone, going, _ = reproduced
    shown, text = going.shown, going.text
    assert max(map(len, (s for s in shown if ", stage " in s)), default=0) < 80
    sections = [re.fullmatch(r"\d\d:\d\d pendulum: (.+)", s) for s in shown]
    assert {"getting ready", "Train", "Probe"} <= {s[1] for s in sections if s}
    out = clone / "figures" / "pendulum_smoke"
    measured = json.loads((out / "metrics.json").read_text())["metrics"]
    colour = f"{measured['probe.s_hat.colour']:.1%}"
    assert re.search(rf"colour from s +{colour} +\(chance 14.3%\)", text)
    hanging = f"{measured['rollout.angle_error.hanging']:.3f}"
    assert re.search(rf"error of the angle, .* rad +\(hanging straight down {hanging} rad\)", text)
    assert "figures/pendulum_smoke/pendulum.ipynb" in text and "swap.gif" in text
    for hint in ("explore.ipynb", "vdsm reproduce sprites", "vdsm figures"): assert hint in text
    assert not WARNING.search(text), text
    assert all(s.startswith("pendulum, stage") for s in (out / "log.txt").read_text().splitlines())


def test_the_notebook_keeps_the_last_state_only(reproduced):
    executed = nbformat.read(reproduced[0] / "figures" / "pendulum_smoke" / "pendulum.ipynb", 4)
    outputs = [o for c in executed.cells for o in c.get("outputs", [])]
    texts = [o.get("data", {}).get("text/plain", "") for o in outputs]
    last = [s for s in texts if "step " in s]
    for stage, line in zip((1, 2), last, strict=True):
        form = rf"pendulum, stage {stage}: step 6 of 6, \S+ left, x [\d.]+, s [\d.]+"
        assert re.match(form, line), line


def test_the_tree_is_clean_afterwards(reproduced):
    assert reproduced[2] == ""


# ---------------------------------------------------------------- small notebooks in its place

KERNEL = dict(kernelspec=dict(name="python3", display_name="python3", language="python"))
LOOP = """import time
from pathlib import Path
from vdsm.lib.progress import Progress
file = Path('state'); state = int(file.read_text()) if file.exists() else 0
progress = Progress(STEPS, state, 'toy, stage 1')
try:
    while state < STEPS: time.sleep(.1); state += 1; progress(f'x {state}.0')
except KeyboardInterrupt: file.write_text(str(state)); raise
progress.close()
print('trained', STEPS)"""


def notebook(file, *lines, head=""):
    "A notebook with a parameter and a cell."
    parameters = new_code_cell("dataset = ''", metadata=dict(tags=["parameters"]))
    cells = [parameters, new_markdown_cell(head), new_code_cell("\n".join(lines))]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), file)


@pytest.fixture
def toy(tmp_path):
    "A clone whose only data set takes a moment."
    (tmp_path / "nbs" / "8_figures").mkdir(parents=True)
    (tmp_path / "settings.ini").write_text("")
    file = tmp_path / "nbs" / "8_figures" / "toy.ipynb"
    write = lambda steps: notebook(file, LOOP.replace("STEPS", str(steps)), head="## Train")
    return tmp_path, write


def test_a_log_gets_a_line_now_and_then(toy):
    place, write = toy
    write(20)
    code, said = run(*REPRODUCE, "toy", cwd=place)
    assert code == 0 and said[:2] == ["00:00 toy: getting ready", "trained 20"]
    assert said[2].startswith("toy is done in 00:")
    assert said[4] == native("notebook  figures/toy/toy.ipynb")
    assert not [s for s in said if WARNING.search(s) or "\r" in s]


def test_ctrl_c_ends_in_a_sentence_and_the_same_command_goes_on(toy):
    place, write = toy
    write(1); assert run(*REPRODUCE, "toy", cwd=place)[0] == 0
    finished = (place / "figures" / "toy" / "toy.ipynb").read_text()
    write(600)
    going = Terminal(*REPRODUCE, "toy", cwd=place)
    going.wait_for("step 1?[3-9] of 600")
    os.write(going.master, b"\x03")                          # what the key sends
    assert going.finish(30) == 130
    assert going.shown[-1] == "Stopped; `python -m vdsm reproduce toy` goes on from what is saved."
    assert "Traceback" not in going.text
    # the key's echo stands behind the line that was shown last
    form = r"\d\d:\d\d toy, stage 1: step \d+ of 600, \S+ left, x [\d.]+(\^C.*)?"
    assert any(re.fullmatch(form, s) for s in going.shown), going.text
    saved = int((place / "state").read_text())
    assert saved > 2 and (place / "figures" / "toy" / "toy.ipynb").read_text() == finished
    write(saved + 15)
    going = Terminal(*REPRODUCE, "toy", cwd=place)
    assert going.finish() == 0
    steps = [int(found[1]) for s in going.shown if (found := re.search(r"step (\d+) of", s))]
    assert min(steps) > saved and f"trained {saved + 15}" in going.text


@pytest.mark.parametrize("where", ["terminal", "log"])
def test_papermill_by_hand_shows_the_line_too(toy, where):
    place, write = toy
    write(20)
    words = sys.executable, "-m", "papermill", "nbs/8_figures/toy.ipynb", "out.ipynb"
    if where == "terminal":
        going = Terminal(*words, cwd=place)
        assert going.finish() == 0
        form = r"toy, stage 1: step \d+ of 20, .*, x \d"
        assert len({s for s in going.shown if re.match(form, s)}) > 3, going.text
    else:
        said = [s for s in run(*words, cwd=place)[1] if "toy, stage 1" in s]
        assert [re.search(r"step (\d+) of 20", s)[1] for s in said] == ["1", "20"]
        code, said = run(*words, cwd=place, JPY_SESSION_NAME="in JupyterLab")   # whose log it is
        assert code == 0 and not [s for s in said if "toy, stage 1" in s]


def test_what_goes_wrong_is_a_sentence(toy):
    place, write = toy
    write(3)
    notebook(
        place / "nbs/8_figures/bad.ipynb", "raise ValueError('no such colour')", head="## Swap"
    )
    code, said = run(*REPRODUCE, "bad", cwd=place)
    where = native("The notebook stopped in 'Swap': figures/bad/bad.unfinished.ipynb")
    assert code == 1 and said[-2:] == ["ValueError: no such colour", where]
    code, said = run(*REPRODUCE, "cats", cwd=place)
    assert code == 1 and said == ["unknown data set 'cats'; choose one of bad, toy."]
    assert run(*REPRODUCE, "toy", "--preset", "bf16", cwd=place) == (1, ["toy takes no preset."])
    code, said = run(*REPRODUCE, cwd=ROOT.anchor)
    assert code == 1 and len(said) == 1 and "start the command in a clone of the" in said[0]


def test_make_hands_on_what_was_said():
    if not shutil.which("make"): raise Missing("no make: it is only a short form, as you like")
    def said(*words):
        return " ".join(run("make", "-n", "-o", ".venv/ready", *words, cwd=ROOT)[1][-1].split())
    assert said("reproduce") == "python -m vdsm reproduce pendulum --seed 0"
    own = said("reproduce", "DATASET=your_videos", "FOLDER=my clips/2026", "PRESET=bf16")
    assert own.endswith('reproduce your_videos --preset bf16 --seed 0 --folder "my clips/2026"')
    some = said("figures", "FIGURES=film table1", "FIGURE_DATASETS=pendulum sprites", "JOBS=3",
                "SEEDS=0,1")
    words = 'film table1 --datasets "pendulum sprites" --jobs 3 --seeds 0,1'
    assert some == f"python -m vdsm figures {words}"
    several = said("compare", "DATASET=sprites", "SEEDS=0,1", "METHODS=VDSM, DSVAE")
    words = 'sprites --methods "VDSM, DSVAE" --seeds 0,1 --jobs 1'
    assert several == f"python -m vdsm compare {words}"


# ---------------------------------------------------------------- all figures

@pytest.fixture
def project(tmp_path, monkeypatch):
    "Three small notebooks, of which one fails, and a finished run."
    run = "data/runs/toy-quick-0/final"
    for folder in ("nbs/8_figures", "vdsm", run): (tmp_path / folder).mkdir(parents=True)
    for file in ("settings.ini", "vdsm/model.py"): (tmp_path / file).write_text("")
    (tmp_path / run / "config.json").write_text("{}")
    notebook(tmp_path / "nbs/8_figures/first.ipynb", "print(dataset)")
    notebook(tmp_path / "nbs/8_figures/broken.ipynb", "raise ValueError('no such colour')")
    notebook(tmp_path / "nbs/8_figures/last.ipynb", "print(dataset)")
    monkeypatch.chdir(tmp_path)
    # the package, not the folder of its name here
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    def make():
        log = io.StringIO()
        code = figures(["first", "broken", "last"], ["toy"], jobs=2, file=log)
        return code, log.getvalue().splitlines()
    make.at = tmp_path
    return make


ALL = ["broken_toy", "first_toy", "last_toy"]


def made(lines):
    names = [line.split()[0] for line in lines if " is made, " in line]
    return sorted(name.removeprefix("figures/") for name in names)


def test_one_that_fails_stops_no_other_and_is_named(project):
    code, said = project()
    assert code and made(said) == ["first_toy", "last_toy"] and said[-1] == NOT_MADE
    why = "figures/broken_toy failed: ValueError: no such colour, see figures"
    assert [line for line in said if line.startswith(why)]
    assert "no such colour" in (project.at / "figures/broken_toy/log.txt").read_text()
    assert {"figures/first_toy is running", "figures/broken_toy is running"} <= set(said)
    assert said[2].startswith("0 of 3 done, 1 left; ")
    assert "toy" in json.dumps(nbformat.read(project.at / "figures/first_toy/first.ipynb", 4))
    notebook(project.at / "nbs/8_figures/broken.ipynb", "print(dataset)")     # repaired
    code, said = project()
    assert code == 0 and made(said) == ["broken_toy"]
    code, said = project()
    assert code == 0 and said[-1] == "3 figures are made" and made(said) == []


def test_a_figure_is_made_again_when_what_it_is_made_from_changed(project):
    notebook(project.at / "nbs/8_figures/broken.ipynb", "print(dataset)")
    assert made(project()[1]) == ALL
    notebook(project.at / "nbs/8_figures/first.ipynb", "print(dataset, 1)")
    assert made(project()[1]) == ["first_toy"]
    (project.at / "vdsm/model.py").touch()   # written again, the same
    notebook(project.at / "nbs/8_figures/first.ipynb", "print(dataset, 1)", head="other words")
    assert project()[0] == 0 and made(project()[1]) == []
    (project.at / "vdsm/model.py").write_text("changed = True")
    assert made(project()[1]) == ALL
    run = project.at / "data/runs/toy-quick-0/final/config.json"
    run.write_text('{"seconds": 1}')                                        # trained anew
    assert made(project()[1]) == ALL


def test_a_missing_run_is_trained_first_and_if_it_fails_so_do_its_figures(project):
    shutil.rmtree(project.at / "data")
    code, said = project()
    assert code and made(said) == []
    assert said[-1] == "not made: figures/first_toy figures/broken_toy figures/last_toy"
    assert [line for line in said if re.match("the run of toy, seed 0 failed: .*'toy'", line)], said


def test_several_seeds_need_a_run_each(project):
    code = "dataset = ''\nseed = 0\nseeds = '0'"
    parameters = new_code_cell(code, metadata=dict(tags=["parameters"]))
    file = project.at / "nbs/8_figures/first.ipynb"
    nbformat.write(new_notebook(cells=[parameters], metadata=KERNEL), file)
    runs, (job,) = plan([("first", "toy")], seeds="2,5")
    assert [r.name for r in runs] == [f"the run of toy, seed {seed}" for seed in (2, 5)]
    assert job.needs == runs and job.parameters == dict(dataset="toy", seed=2, seeds="2,5")
    with pytest.raises(ValueError, match="give whole numbers with commas"):
        plan([("first", "toy")], seeds="2;5")


def test_the_report_comes_last_and_over_what_there_is(project):
    write = "open(f'figures/{}_{{dataset}}/metrics.json', 'w').write('{{}}')"
    notebook(project.at / "nbs/8_figures/first.ipynb", write.format("first"))
    notebook(project.at / "nbs/8_figures/report.ipynb", "from pathlib import Path",
             "print(*(p.parent.name for p in sorted(Path('figures').glob('*/metrics.json'))))")
    code, said = project()
    assert code and said[-1] == NOT_MADE and said[-2].startswith("figures/report is made")
    assert made(said) == ["first_toy", "last_toy", "report"]
    report = nbformat.read(project.at / "figures/report/report.ipynb", 4)
    assert report.cells[-1].outputs[0].text == "first_toy\n"
    notebook(project.at / "nbs/8_figures/broken.ipynb", write.format("broken"))
    assert made(project()[1]) == ["broken_toy", "report"]   # one more to report on
    code, said = project()
    assert code == 0 and said[-1] == "4 figures are made"


def test_figures_in_a_terminal_are_one_line_and_stop_when_told(project):
    loop = LOOP.replace("STEPS", "600").replace("file.write_text", "print")
    notebook(project.at / "nbs/8_figures/broken.ipynb", loop, head="## Train")
    words = "-m vdsm figures first broken last --datasets toy --jobs 2".split()
    going = Terminal(sys.executable, *words, cwd=project.at)
    going.wait_for(r"2 of 3 done, 0 left; broken_toy 00:\d\d toy, stage 1: step \d+ of 600")
    os.write(going.master, b"\x03")
    assert going.finish(30) == 130 and "Traceback" not in going.text and "failed" not in going.text
    assert going.shown[-1] == "Stopped; the same command goes on with what is left."
