"The figures of the paper, rerun in small; and what `make figures` does with many of them."
import json, os, shutil, subprocess, sys
from pathlib import Path
import nbformat, papermill, pytest
from sync import ROOT
from vdsm.training.runs import open_run

FILES = dict(                                               # notebook -> pictures it writes, and some of its metrics
    architecture=("architecture.svg generative.svg inference.svg", "architecture.parameters architecture.parameters.stage2"),
    action_transfer=("one_action.png many_actions.png many_actions.gif one_action_transition.png truth.png", "transfer.mse transfer.mse.transition transfer.mse.reconstruction transfer.mse.unchanged"),
    generation=("prior.png fitted.png both.gif", "generation.nearest_mse.real generation.nearest_mse.prior generation.nearest_mse.fitted"),
    frames_alone=("identity_pose.png action.png", "frames_alone.mse frames_alone.mse.whole_model"),
    forty_frames=("own.png other.png other.gif", "forty_frames.window.error_ahead forty_frames.transition.error_ahead forty_frames.still.error_ahead"),
    experts=("alone.png all.png sharper.png serves.png serves.svg", "experts.in_use experts.mse.blend experts.mse.heaviest"),
    traversals=("s.png d.png z.png d.gif change.png change.svg", "traversal.s.active traversal.d.largest traversal.z.largest"),
    embeddings=("tsne_1.png tsne_1.svg pca_1.png pca_1.svg", "embedding.s.neighbours.colour embedding.neighbours.speed.chance embedding.d.tsne_trustworthiness"),
    film=("film.gif strip.png", "film.pictures film.mse.first film.mse.last"))
MORE = dict(film=dict(share=1.), embeddings=dict(clips=60))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    open_run("pendulum", "smoke", 0, folder)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_figure_is_made(name, run_folder, tmp_path):
    where = {} if name == "architecture" else dict(run_folder=str(tmp_path / "own" if name == "film" else run_folder))
    done = papermill.execute_notebook(ROOT / "nbs" / "figures" / f"{name}.ipynb", tmp_path / "done.ipynb", cwd=ROOT, progress_bar=False,
                                      parameters=dict(dataset="pendulum", preset="smoke", out=str(tmp_path / "out")) | where | MORE.get(name, {}))
    pictures, metrics = (v.split() for v in FILES[name])
    for file in pictures: assert (tmp_path / "out" / file).stat().st_size > 1000, file
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["run"]["dataset"] == "pendulum" and "smoke" in report["run"]["preset"] and set(metrics) <= report["metrics"].keys()
    assert (tmp_path / "done.ipynb").stat().st_size < 1_500_000
    assert not [o for c in done.cells for o in c.get("outputs", []) if o.get("name") == "stderr" and "Warning" in o["text"]]


def test_a_film_needs_its_training(run_folder, tmp_path):
    open_run("pendulum", "smoke", 0, tmp_path)
    with pytest.raises(papermill.PapermillExecutionError, match="finished run without a film"):
        papermill.execute_notebook(ROOT / "nbs" / "figures" / "film.ipynb", tmp_path / "done.ipynb", cwd=ROOT, progress_bar=False,
                                   parameters=dict(preset="smoke", share=1., run_folder=str(tmp_path), out=str(tmp_path / "out")))


def notebook(file, *lines):
    parameters = nbformat.v4.new_code_cell("dataset = ''", metadata=dict(tags=["parameters"]))
    kernel = dict(kernelspec=dict(name="python3", display_name="python3", language="python"))
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell("\n".join(lines))], metadata=kernel), file)


@pytest.fixture
def project(tmp_path):
    "The Makefile over three small notebooks, of which one fails, and a finished run."
    for folder in (".venv", "nbs/figures", "vdsm", "data/runs/toy-quick-0/final"): (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("requirements.txt", "settings.ini", "setup.py", "vdsm/model.py", "data/runs/toy-quick-0/final/config.json", ".venv/ready"): (tmp_path / file).write_text("")
    notebook(tmp_path / "nbs/figures/first.ipynb", "print(dataset)")
    notebook(tmp_path / "nbs/figures/broken.ipynb", "raise ValueError('no such colour')")
    notebook(tmp_path / "nbs/figures/last.ipynb", "print(dataset)")
    def figures():
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | dict(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        done = subprocess.run(["make", "figures", "FIGURE_DATASETS=toy", "FIGURES_OF_ALL=first broken last", "JOBS=2"], cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()
    figures.at = tmp_path
    return figures


ALL = ["broken_toy", "first_toy", "last_toy"]
def made(lines): return sorted(line.split()[0].removeprefix("figures/") for line in lines if " is made, " in line)


def test_one_that_fails_stops_no_other_and_is_named(project):
    code, said = project()
    assert code and made(said) == ["first_toy", "last_toy"] and said[-1] == "not made: figures/broken_toy"
    assert [line for line in said if line.startswith("figures/broken_toy failed: ValueError: no such colour")]
    assert {"figures/first_toy is running", "figures/broken_toy is running"} <= set(said)
    assert "toy" in json.dumps(nbformat.read(project.at / "figures/first_toy/first.ipynb", 4))
    notebook(project.at / "nbs/figures/broken.ipynb", "print(dataset)")                     # repaired: only this one is left to do
    code, said = project()
    assert code == 0 and made(said) == ["broken_toy"]
    code, said = project()
    assert code == 0 and said == ["3 figures are made"]


def test_a_figure_is_made_again_when_what_it_is_made_from_changed(project):
    notebook(project.at / "nbs/figures/broken.ipynb", "print(dataset)")
    assert made(project()[1]) == ALL
    later = lambda file: os.utime(project.at / file, ns=((project.at / "figures/last_toy/done").stat().st_mtime_ns + 10**9,)*2)
    later("nbs/figures/first.ipynb")
    assert made(project()[1]) == ["first_toy"]
    (project.at / "vdsm/model.py").touch()                                                   # written again, the same
    assert project() == (0, ["3 figures are made"])
    (project.at / "vdsm/model.py").write_text("changed = True")
    assert made(project()[1]) == ALL
    later("data/runs/toy-quick-0/final/config.json")
    assert made(project()[1]) == ALL


def test_the_report_comes_last_and_over_what_there_is(project):
    notebook(project.at / "nbs/figures/first.ipynb", "open(f'figures/first_{dataset}/metrics.json', 'w').write('{}')")
    notebook(project.at / "nbs/figures/report.ipynb", "from pathlib import Path", "print(*sorted(Path('figures').glob('*/metrics.json')))")
    code, said = project()
    assert code and said[-1] == "not made: figures/broken_toy" and made(said) == ["first_toy", "last_toy", "report"] and said[-2].startswith("figures/report is made")
    assert "figures/first_toy/metrics.json" in json.dumps(nbformat.read(project.at / "figures/report/report.ipynb", 4))
    notebook(project.at / "nbs/figures/broken.ipynb", "open(f'figures/broken_{dataset}/metrics.json', 'w').write('{}')")
    assert made(project()[1]) == ["broken_toy", "report"]                                    # another figure to report on
    assert project() == (0, ["4 figures are made"])
