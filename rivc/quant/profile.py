"""Arithmetic profiles: what a target's integer arithmetic can hold, as data.

Training under a profile means that the trained integers are the chip's integers. `weight_bits` and
`activation_bits` of a network mean its hidden layers; the profile decides the widths at both ends,
the fraction bits, and the lattice on which biases live. Third parties register theirs under the
entry point group `rivc.profiles`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from rivc.errors import ConfigError, MissingError, in_one_line, nearest
from rivc.quant.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

INT32_MAX: Final = 2**31 - 1
MAX_BITS: Final = 8
MAX_FRAC_BITS: Final = 16
ENTRY_POINTS: Final = "rivc.profiles"

ThresholdGrid = Literal["any", "power_of_two"]
BiasOrigin = Literal["below_half", "zero"]


@dataclass(frozen=True, slots=True)
class ArithmeticProfile:
    r"""What a target can hold.

    A bias lies on a lattice, and its place there is a mantissa of few bits that is shifted left:

    .. math:: B = origin + step \cdot (m \ll s), \quad |m| < 2^{mantissa - 1}

    Attributes:
        name: recorded in every program that was trained under the profile.
        weight_bits: widths that hidden weights may have.
        activation_bits: widths that spike counts may have.
        levels: (width, L) of the widths whose largest count L is not 2^width - 1.
        first_conv_bits: weight width of a first convolution; None: as the hidden layers.
        first_dense_bits: weight width of a first dense layer; None: as the hidden layers.
        readout_bits: weight width of the readout; None: as the hidden layers.
        vector_bits: width of an encoded vector observation; images always have 8.
        frac_bits: F, fraction bits of membrane, threshold and bias.
        threshold_grid: "any" integer, or a "power_of_two", for a chip that shifts right; the step
            of a channel's weights then follows its threshold.
        bias_lattice: step of the lattice that holds the bias.
        bias_origin: a point of the lattice. "below_half" is ``ceil(th / 2) - 1``: a chip that
            computes ``ceil((z - t) / (th / step))`` with an integer t then rounds as the staircase
            does. "zero" is 0: a chip that adds an integer to z.
        bias_mantissa_bits: width of m, sign included; None: as many as it takes.
        threshold_min: lower clamp on thresholds, a power of two.
        threshold_max: upper clamp on thresholds.
        bias_max: clamp on the magnitude of biases.

    Raises:
        ConfigError: if no program could hold the arithmetic; names the field.
    """

    name: str
    weight_bits: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    activation_bits: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    first_conv_bits: int | None = 8
    first_dense_bits: int | None = 8
    readout_bits: int | None = 8
    vector_bits: int = 8
    levels: tuple[tuple[int, int], ...] = ()
    frac_bits: int = 4
    threshold_grid: ThresholdGrid = "any"
    bias_lattice: int = 1
    bias_origin: BiasOrigin = "zero"
    bias_mantissa_bits: int | None = None
    threshold_min: int = 2
    threshold_max: int = INT32_MAX
    bias_max: int = INT32_MAX

    def __post_init__(self) -> None:
        lattice_max = 1 << max(0, self.frac_bits)  # the bias of the smallest layer has this room
        holds = {
            "weight_bits": _are_widths(self.weight_bits),
            "activation_bits": _are_widths(self.activation_bits),
            "first_conv_bits": _is_width_or_none(self.first_conv_bits),
            "first_dense_bits": _is_width_or_none(self.first_dense_bits),
            "readout_bits": _is_width_or_none(self.readout_bits),
            "vector_bits": _is_width(self.vector_bits),
            "levels": all(_is_width(bits) and 1 <= top < 1 << bits for bits, top in self.levels),
            "frac_bits": 0 <= self.frac_bits <= MAX_FRAC_BITS,
            "threshold_grid": self.threshold_grid in get_args(ThresholdGrid),
            "bias_lattice": 1 <= self.bias_lattice <= lattice_max,
            "bias_origin": self.bias_origin in get_args(BiasOrigin),
            "bias_mantissa_bits": self._holds_mantissa(),
            "threshold_min": self._holds_smallest(),
            "threshold_max": self.threshold_min <= self.threshold_max <= INT32_MAX,
            "bias_max": self.bias_lattice <= self.bias_max <= INT32_MAX,
        }
        for name, held in holds.items():
            if not held:
                value = getattr(self, name)
                raise ConfigError(f"profile {self.name!r}: {name} = {value} is out of range")

    def _holds_smallest(self) -> bool:
        smallest = self.threshold_min  # the smallest layer's membrane has 2^F steps
        is_power = smallest > 1 and smallest & (smallest - 1) == 0
        return is_power and smallest <= max(2, 1 << max(0, self.frac_bits))

    def _holds_mantissa(self) -> bool:
        bits = self.bias_mantissa_bits
        return bits is None or (2 <= bits <= 32 and self.bias_origin == "zero")

    def check_widths(self, weight_bits: int, activation_bits: int) -> None:
        """Raise ConfigError unless the profile holds both widths."""
        asked = (("weight_bits", weight_bits), ("activation_bits", activation_bits))
        for what, bits in asked:
            held: tuple[int, ...] = getattr(self, what)
            if bits not in held:
                widths = ", ".join(map(str, held))
                raise ConfigError(f"profile {self.name!r} holds {what} {widths}, not {bits}")

    def holds(self, threshold: NDArray[Any], bias: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell for each channel whether the target can hold its threshold and its bias.

        Args:
            threshold: integers, [C].
            bias: integers, [C].

        Example:
            >>> load_profile("akida2").holds(np.array([32, 33]), np.array([160, 160])).tolist()
            [True, False]
        """
        th, bias = threshold.astype(np.int64), bias.astype(np.int64)
        held = (
            (th >= self.threshold_min)
            & (th <= self.threshold_max)
            & (np.abs(bias) <= self.bias_max)
        )
        if self.threshold_grid == "power_of_two":
            held &= th & (th - 1) == 0
        origin = (th + 1) // 2 - 1 if self.bias_origin == "below_half" else 0
        place, off = np.divmod(bias - origin, self.bias_lattice)
        held &= off == 0
        if self.bias_mantissa_bits is not None:
            shift = np.maximum(place & -place, 1)  # the lowest bit that is set
            held &= np.abs(place) // shift < 1 << (self.bias_mantissa_bits - 1)
        return np.asarray(held)

    def bias_room(self, largest: int) -> int:
        """Return the magnitude up to which biases snap without leaving +-largest.

        Example:
            >>> load_profile("akida2").bias_room(2**12 + 5 * 16)
            4160
        """
        if self.bias_origin == "below_half":
            return largest - self.bias_lattice + 1
        steps = largest // self.bias_lattice
        bits = self.bias_mantissa_bits or steps.bit_length() + 1
        shift = max(0, steps.bit_length() - (bits - 1))
        return (steps >> shift << shift) * self.bias_lattice

    def levels_of(self, activation_bits: int) -> int:
        """Return L, the largest count of a width.

        Example:
            >>> load_profile("ideal").levels_of(8), load_profile("akida2").levels_of(8)
            (255, 127)
        """
        return dict(self.levels).get(activation_bits, Grid(activation_bits, signed=False).q_max)


def _is_width(bits: int) -> bool:
    return 1 <= bits <= MAX_BITS


def _are_widths(widths: tuple[int, ...]) -> bool:
    return bool(widths) and all(map(_is_width, widths))


def _is_width_or_none(bits: int | None) -> bool:
    return bits is None or _is_width(bits)


PROFILES: Final[dict[str, ArithmeticProfile]] = {
    "ideal": ArithmeticProfile("ideal"),
    "akida1": ArithmeticProfile(
        "akida1",
        weight_bits=(2, 4),
        activation_bits=(1, 2, 4),
        first_dense_bits=4,
        readout_bits=4,
        vector_bits=4,
        bias_lattice=16,
        bias_origin="below_half",
        threshold_min=4,  # the step of a 2-bit count is a quarter of its threshold
        threshold_max=2**20 - 1,
        bias_max=2**23 - 2**19,  # with half of any threshold, 16 times a 20-bit integer
    ),
    "akida2": ArithmeticProfile(
        "akida2",
        weight_bits=(4, 8),
        activation_bits=(4, 8),
        levels=((8, 127),),
        readout_bits=None,
        vector_bits=7,
        threshold_grid="power_of_two",
        bias_lattice=16,
        bias_mantissa_bits=8,
        threshold_max=2**28,
    ),
}
ALIASES: Final[dict[str, str]] = {"c99": "ideal"}


def profile_names() -> list[str]:
    """Return the names of all profiles: built in, aliases, and registered by other packages."""
    return sorted({*PROFILES, *ALIASES, *entry_points(group=ENTRY_POINTS).names})


def load_profile(name: str) -> ArithmeticProfile:
    """Return a profile by name; an alias gives the very profile it stands for.

    Raises:
        ConfigError: if no profile has this name.
        MissingError: if another package registered it and cannot be loaded.

    Example:
        >>> load_profile("c99") is load_profile("ideal")
        True
    """
    name = ALIASES.get(name, name)
    if name in PROFILES:
        return PROFILES[name]
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            loaded = entry.load()
        except Exception as error:  # somebody else's code
            what = f"profile {name!r} ({entry.value}) cannot be loaded: {in_one_line(error)}"
            raise MissingError(what) from error
        if isinstance(loaded, ArithmeticProfile):
            return loaded
        raise ConfigError(f"profile {name!r} of {entry.value} is not an ArithmeticProfile")
    known = profile_names()
    raise ConfigError(f"unknown profile {name!r}; known: {', '.join(known)}{nearest(name, known)}")
