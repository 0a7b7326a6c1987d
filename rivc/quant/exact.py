r"""Which float type carries a layer's integers without ever rounding them.

The learner moves integers in floating-point tensors, because that is what fast kernels take. Every
partial sum is exact, in any order, as long as it stays below the significand; so the result depends
neither on the batch size nor on the kernel. The type is chosen when the network is built, from the
worst case that the clamps allow, so that no update can break it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from rivc.errors import QuantError

CarrierName = Literal["float32", "float64"]
SIGNIFICAND: Final[dict[CarrierName, int]] = {"float32": 24, "float64": 53}


@dataclass(frozen=True, slots=True)
class Carrier:
    """The float types of a layer and the clamps that keep them exact.

    Attributes:
        sum_dtype: carries inputs, weights and weighted sums, "float32" or "float64".
        dtype: carries membrane, threshold and bias.
        threshold_max: upper clamp on the integer threshold.
        bias_max: clamp on the magnitude of the integer bias.
    """

    sum_dtype: CarrierName
    dtype: CarrierName
    threshold_max: int
    bias_max: int


def choose_carrier(
    *,
    drive: int,
    levels: int,
    frac_bits: int,
    threshold_max: int,
    bias_max: int,
    threshold_min: int = 2,
) -> Carrier:
    r"""Choose the narrowest float type that is exact whatever the weights become.

    .. math:: 2 (2^F D + |B| + th) + 1 < 2^{p}, \quad (L + 1) th < 2^{p - 1}

    with D the largest possible drive and p the bits of the significand. A threshold above the
    largest membrane would only silence the neuron, so it is clamped there.

    Args:
        drive: largest possible ``sum_i |w_i| x_i`` of one neuron, in integer steps.
        levels: L, the largest count the layer emits; 0 for a readout, which has no threshold.
        frac_bits: F, fraction bits of the membrane; 0 for a readout.
        threshold_max: the profile's clamp on thresholds.
        bias_max: the profile's clamp on biases.
        threshold_min: the smallest threshold of the profile.

    Returns:
        Type and clamps.

    Raises:
        QuantError: if not even float64 is wide enough.

    Example:
        >>> choose_carrier(drive=7 * 15 * 256, levels=15, frac_bits=4,
        ...                threshold_max=2**31 - 1, bias_max=2**31 - 1).dtype
        'float32'
    """
    membrane = drive << frac_bits
    bias = min(bias_max, max(membrane, 1))
    for dtype, bits in SIGNIFICAND.items():
        division_bound = ((1 << (bits - 1)) - 1) // (levels + 1)
        threshold = max(threshold_min, min(threshold_max, membrane, division_bound))
        is_divided = levels == 0 or threshold <= division_bound
        if is_divided and 2 * (membrane + bias + threshold) + 1 < 1 << bits:
            return Carrier(_narrowest(drive), dtype, threshold, bias)
    msg = (
        f"a membrane of up to {membrane} is not exact even in float64; "
        "use fewer inputs, narrower weights or a profile with fewer fraction bits"
    )
    raise QuantError(msg)


def _narrowest(value: int) -> CarrierName:
    """The narrowest type that holds every integer up to `value`."""
    return "float32" if value < 1 << SIGNIFICAND["float32"] else "float64"
