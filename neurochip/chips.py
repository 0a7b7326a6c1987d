"""The chips whose limits are known here, one row each.

Most of it the maker's public pages on both generations say; where they leave room, a row takes the
narrower reading. How much of a device is free, only its mapper knows.
"""

from __future__ import annotations

from typing import Final

from rivc.neurochip.limits import ChipLimits, LayerLimits
from rivc.quant.profile import PROFILES

_ANY_SIDE: Final = 1 << 24
_FROM_PICTURE: Final = ((4, 1536), (8, 1920))

_AKD1000: Final = ChipLimits(
    arithmetic=PROFILES["akida1"],
    counts=((1, 1), (3, 2), (15, 4)),
    vector_levels=15,
    vector_bits=4,
    image_channels=(1, 3),
    image_sides=((5, _ANY_SIDE), (5, 256)),
    image_spans_kernel=True,
    pool_alone=False,
    first_conv=LayerLimits(
        widths=tuple((w, a) for w in (2, 4, 8) for a in (1, 2, 4)),
        kernels=tuple((k, s) for k in (3, 5, 7) for s in (1, 2, 3)),
        padding=("same", "valid"),
        filters=((3, 1, 512), (5, 1, 192), (7, 1, 96), (3, 3, 192), (5, 3, 64), (7, 3, 32)),
        pools=((2, 2),),
        min_width=2,
        pooled_sum_bits=20,
        may_be_zero=False,
    ),
    conv=LayerLimits(
        widths=tuple((w, a) for w in (2, 4) for a in (1, 2, 4)),
        kernels=((1, 1), (3, 1), (3, 2), (5, 1), (7, 1)),
        padding=("same",),
        channels=(
            *((k, 2, 896) for k in (1, 3, 5)),
            *((k, 4, 448) for k in (1, 3, 5)),
            (7, 2, 448),
            (7, 4, 149),
        ),
        pools=((2, 2),),
        pool_at_end=False,
        sum_bits=20,
    ),
    dense=LayerLimits(
        widths=tuple((w, a) for w in (2, 4) for a in (1, 2, 4)), inputs=57334, sum_bits=20
    ),
    readout=LayerLimits(widths=((2, 0), (4, 0)), inputs=57334, sum_bits=20),
)

_AKIDA_V2: Final = ChipLimits(
    arithmetic=PROFILES["akida2"],
    counts=((15, 4), (127, 8)),
    counts_span_weights=True,
    vector_levels=127,
    image_channels=(1, 3),
    image_sides=((5, _ANY_SIDE), (5, 384)),
    pool_alone=False,
    first_conv=LayerLimits(
        widths=((8, 4), (8, 8), (4, 4), (4, 8)),
        kernels=tuple((k, s) for k in (3, 4, 5, 7) for s in range(1, min(k, 6) + 1)),
        padding=("same", "valid"),
        outputs=512,
        pools=((2, 2), (3, 2)),
        may_be_zero=False,
    ),
    conv=LayerLimits(
        widths=((8, 4), (8, 8), (4, 4), (4, 8)),
        kernels=((1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (7, 1)),
        padding=("same",),
        channels=((3, 8, 682), (5, 8, 204), (7, 8, 73), (3, 4, 1365), (5, 4, 512), (7, 4, 195)),
        pools=((2, 2),),
        pool_with_stride=False,
        pool_at_end=False,
        sum_bits=28,
    ),
    dense=LayerLimits(
        widths=((8, 8), (8, 4), (4, 4)), inputs=2048, picture_inputs=_FROM_PICTURE, sum_bits=28
    ),
    readout=LayerLimits(
        widths=((8, 0), (4, 0)), inputs=2048, picture_inputs=_FROM_PICTURE, sum_bits=28
    ),
)

CHIPS: Final = {"akd1000": _AKD1000, "v2": _AKIDA_V2}
