"""Arithmetic profiles: what a target's integer arithmetic can hold, as data.

Training under a profile means that the trained integers are the chip's integers. `weight_bits` and
`activation_bits` of a network mean its hidden layers; the profile decides the widths at both ends,
the fraction bits, and the lattice on which biases live. Third parties register theirs under the
entry point group `rivc.profiles`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final

from rivc.errors import ConfigError, nearest

INT32_MAX: Final = 2**31 - 1
MAX_BITS: Final = 8
MAX_FRAC_BITS: Final = 16
ENTRY_POINTS: Final = "rivc.profiles"


@dataclass(frozen=True, slots=True)
class ArithmeticProfile:
    """What a target can hold.

    Attributes:
        name: recorded in every program that was trained under the profile.
        weight_bits: widths that hidden weights may have.
        activation_bits: widths that spike counts may have.
        first_conv_bits: weight width of a first convolution; None: as the hidden layers.
        first_dense_bits: weight width of a first dense layer; None: as the hidden layers.
        readout_bits: weight width of the readout; None: as the hidden layers.
        vector_bits: width of an encoded vector observation; images always have 8.
        frac_bits: F, fraction bits of membrane, threshold and bias.
        bias_lattice: step of the lattice that holds the bias. Above 1, the bias is congruent to
            ``ceil(th / 2) - 1`` modulo the step: a chip that computes
            ``ceil((z - t) / (th / step))`` with an integer t then rounds as the staircase does.
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
    frac_bits: int = 4
    bias_lattice: int = 1
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
            "vector_bits": _are_widths((self.vector_bits,)),
            "frac_bits": 0 <= self.frac_bits <= MAX_FRAC_BITS,
            "bias_lattice": 1 <= self.bias_lattice <= lattice_max,
            "threshold_max": 2 <= self.threshold_max <= INT32_MAX,
            "bias_max": self.bias_lattice <= self.bias_max <= INT32_MAX,
        }
        for name, held in holds.items():
            if not held:
                value = getattr(self, name)
                raise ConfigError(f"profile {self.name!r}: {name} = {value} is out of range")

    def check_widths(self, weight_bits: int, activation_bits: int) -> None:
        """Raise ConfigError unless the profile holds both widths."""
        asked = (("weight_bits", weight_bits), ("activation_bits", activation_bits))
        for what, bits in asked:
            held: tuple[int, ...] = getattr(self, what)
            if bits not in held:
                widths = ", ".join(map(str, held))
                raise ConfigError(f"profile {self.name!r} holds {what} {widths}, not {bits}")


def _are_widths(widths: tuple[int, ...]) -> bool:
    return bool(widths) and all(1 <= bits <= MAX_BITS for bits in widths)


def _is_width_or_none(bits: int | None) -> bool:
    return bits is None or _are_widths((bits,))


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
        threshold_max=2**20 - 1,
        bias_max=2**24,
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

    Example:
        >>> load_profile("c99") is load_profile("ideal")
        True
    """
    name = ALIASES.get(name, name)
    if name in PROFILES:
        return PROFILES[name]
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        loaded = entry.load()
        if isinstance(loaded, ArithmeticProfile):
            return loaded
        raise ConfigError(f"profile {name!r} of {entry.value} is not an ArithmeticProfile")
    known = profile_names()
    raise ConfigError(f"unknown profile {name!r}; known: {', '.join(known)}{nearest(name, known)}")
