"The figures of the paper, rerun in small."
import json
import papermill, pytest
from conftest import CHROMIUM, NO_CHROMIUM, Missing
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
PLOTTED = "experts", "traversals", "embeddings"             # write plots as files, which takes Chromium
MORE = dict(film=dict(share=1.), embeddings=dict(clips=60))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    open_run("pendulum", "smoke", 0, folder)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_figure_is_made(name, run_folder, tmp_path):
    if CHROMIUM is None and name in PLOTTED: raise Missing(NO_CHROMIUM)
    where = {} if name == "architecture" else dict(run_folder=str(tmp_path / "own" if name == "film" else run_folder))
    done = papermill.execute_notebook(ROOT / "nbs" / "8_figures" / f"{name}.ipynb", tmp_path / "done.ipynb", cwd=ROOT, progress_bar=False,
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
        papermill.execute_notebook(ROOT / "nbs" / "8_figures" / "film.ipynb", tmp_path / "done.ipynb", cwd=ROOT, progress_bar=False,
                                   parameters=dict(preset="smoke", share=1., run_folder=str(tmp_path), out=str(tmp_path / "out")))
