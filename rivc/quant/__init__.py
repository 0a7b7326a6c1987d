"""The one k-bit core: grids, affine quantizers, packing, arithmetic profiles.

This face is the numpy half, all that a robot needs; the torch half, for training, is
`rivc.quant.qat`.
"""

from rivc.quant.affine import Affine, dequantize, quantize
from rivc.quant.calibrate import fit_affine
from rivc.quant.exact import Carrier, choose_carrier
from rivc.quant.grid import Grid
from rivc.quant.pack import pack, unpack
from rivc.quant.profile import ArithmeticProfile, load_profile, profile_names

__all__ = [
    "Affine",
    "ArithmeticProfile",
    "Carrier",
    "Grid",
    "choose_carrier",
    "dequantize",
    "fit_affine",
    "load_profile",
    "pack",
    "profile_names",
    "quantize",
    "unpack",
]
