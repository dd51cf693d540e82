"""The moving picture at the top of README: `python tests/swap_gif.py` (or `make gif`) writes
figures/evidence/sprites/swap.gif from the pretrained Sprites model, on characters of the validation
split, which it has not seen."""
import sys
from pathlib import Path
from sync import ROOT
from vdsm import VDSM, Sprites, clip_gif
from vdsm.latents import swap_matrix
from vdsm.view.grids import with_sources

GIF = ROOT / "figures" / "evidence" / "sprites" / "swap.gif"
CHARACTERS, MOTIONS = (2, 29, 51), (6, 1, 5, 2, 7)    # which of the split; one motion a column


def write(path: Path = GIF) -> Path:
    "Each character on the left with each motion at the top, at twice the size."
    data = Sprites("validation")
    identities = data.clips([9*i + 7 for i in CHARACTERS])
    actions = data.clips([9*(5 + 11*k) + motion for k, motion in enumerate(MOTIONS)])
    made = swap_matrix(VDSM.from_pretrained("sprites"), identities, actions)
    square = with_sources(identities, actions, made).flatten(0, 1)
    return clip_gif(square, path, across=1 + len(MOTIONS), scale=2, caption=data.attribution)


if __name__ == "__main__": print(write(*map(Path, sys.argv[1:])))
