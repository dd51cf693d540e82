"The figures of the paper, at the smallest setting."
import papermill
import pytest
from conftest import CHROMIUM, NO_CHROMIUM, Missing, check_pictures, read_report, run_figure
from vdsm.training.runs import open_run

PICTURES = dict(
    architecture="architecture.svg generative.svg inference.svg",
    action_transfer="""one_action.png many_actions.png many_actions.gif
        one_action_transition.png truth.png""",
    generation="prior.png fitted.png both.gif",
    frames_alone="identity_pose.png action.png",
    forty_frames="own.png other.png other.gif",
    experts="alone.png all.png sharper.png serves.png serves.svg",
    traversals="s.png d.png z.png d.gif change.png change.svg",
    embeddings="tsne_1.png tsne_1.svg pca_1.png pca_1.svg",
    film="film.gif strip.png")
METRICS = dict(                                             # some of those that it writes
    architecture="architecture.parameters architecture.parameters.stage2",
    action_transfer="""transfer.mse transfer.mse.transition transfer.mse.reconstruction
        transfer.mse.unchanged""",
    generation="""generation.nearest_mse.real generation.nearest_mse.prior
        generation.nearest_mse.fitted""",
    frames_alone="frames_alone.mse frames_alone.mse.whole_model",
    forty_frames="""forty_frames.window.error_ahead forty_frames.transition.error_ahead
        forty_frames.still.error_ahead""",
    experts="experts.in_use experts.mse.blend experts.mse.heaviest",
    traversals="traversal.s.active traversal.d.largest traversal.z.largest",
    embeddings="""embedding.s.neighbours.colour embedding.neighbours.speed.chance
        embedding.d.tsne_trustworthiness""",
    film="film.pictures film.mse.first film.mse.last")
PLOTTED = "experts", "traversals", "embeddings"             # plots as files take Chromium
MORE = dict(film=dict(share=1.), embeddings=dict(clips=60))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    open_run("pendulum", "smoke", 0, folder)
    return folder


def warnings(cells):
    "Lines of warnings in the outputs."
    outputs = [o for cell in cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    return [o["text"] for o in outputs if "Warning" in o["text"]]


@pytest.mark.parametrize("name", PICTURES)
def test_figure_is_made(name, run_folder, tmp_path):
    if CHROMIUM is None and name in PLOTTED: raise Missing(NO_CHROMIUM)
    out, executed = tmp_path / "out", tmp_path / "done.ipynb"
    parameters = dict(dataset="pendulum", preset="smoke", out=str(out)) | MORE.get(name, {})
    if name != "architecture":
        parameters["run_folder"] = str(tmp_path / "own" if name == "film" else run_folder)
    cells = run_figure(name, executed, **parameters)
    check_pictures(out, PICTURES[name].split())
    report = read_report(out)
    assert report["run"]["dataset"] == "pendulum" and "smoke" in report["run"]["preset"]
    assert set(METRICS[name].split()) <= report["metrics"].keys()
    assert executed.stat().st_size < 1_500_000
    assert not warnings(cells)


def test_a_film_needs_its_training(tmp_path):
    open_run("pendulum", "smoke", 0, tmp_path)
    with pytest.raises(papermill.PapermillExecutionError, match="finished run without a film"):
        run_figure("film", tmp_path / "done.ipynb", preset="smoke", share=1.,
                   run_folder=str(tmp_path), out=str(tmp_path / "out"))
