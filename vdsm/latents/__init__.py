"""Any `VideoModel` at work: `from vdsm.latents import encode, reconstruct, swap, extrapolate, sample_prior, traverse, ...`."""
from .codes import decoder_forms, embed, encode, encode_data, reconstruct
from .swaps import swap, swap_matrix
from .extrapolation import EXTRAPOLATION_KEYS, extrapolate
from .sampling import AggregatePrior, fit_prior, sample_prior
from .traversal import Directions, change_between_ends, code_directions, decode_changed, traverse
