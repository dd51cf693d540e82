"""Run a notebook of nbs/8_figures over several seeds with papermill, and put the runs side by side:

    python examples/over_seeds.py pendulum --seeds 0,1,2
    python examples/over_seeds.py sprites --seeds 0,1 --preset bf16 --out figures/sprites_over_seeds
    python examples/over_seeds.py pendulum -p probe_clips 500

Each seed is trained and measured in <out>/<seed>/, which keeps the executed notebook. A finished
seed is not run again. <out>/report.md and report.csv have mean, standard deviation and count."""
import argparse
from pathlib import Path
import papermill
from vdsm.data.sequences import project_root
from vdsm.lib.report import side_by_side, write_report

ROOT = project_root()


def over_seeds(
    notebook: str,  # of nbs/8_figures, one that trains a run of one seed
    seeds: list[int],
    preset: str = "quick",
    out: Path | None = None,  # default: figures/<notebook>_over_seeds
    **parameters,  # of the notebook
) -> tuple[Path, Path]:  # report.md, report.csv
    "Execute the notebook once per seed and summarise what was measured."
    out = (out or ROOT / "figures" / f"{notebook}_over_seeds").absolute()
    for seed in seeds:
        folder = out / str(seed)
        if (folder / "metrics.json").exists(): continue
        folder.mkdir(parents=True, exist_ok=True)
        given = dict(seed=seed, preset=preset, out=str(folder), run_folder=str(folder / "run"))
        given |= parameters
        source = ROOT / "nbs" / "8_figures" / f"{notebook}.ipynb"
        papermill.execute_notebook(source, folder / source.name, given, cwd=ROOT)
    return write_report(side_by_side([out / str(seed) / "metrics.json" for seed in seeds]), out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("notebook")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--out", type=Path)
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="a parameter of the notebook, as of papermill")
    words = vars(parser.parse_args())
    words |= {k: int(v) if v.isdigit() else v for k, v in words.pop("p")}
    words["seeds"] = [int(seed) for seed in words["seeds"].split(",")]
    print(*over_seeds(**words), sep="\n")
