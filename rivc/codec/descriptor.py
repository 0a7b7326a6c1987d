"""What both ends share: shape, layout and models, frozen, hashed, in one file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec.layout import Layout
from rivc.errors import DamagedFileError, UsageError
from rivc.quant import Grid
from rivc.snn_convert.storage import (
    read_arrays,
    read_hashed,
    save_headed,
    sha256_of,
    take_header,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT_VERSION: Final = 1
HEADER: Final = "codec.json"
MAX_SYMBOLS: Final = 1 << 20  # of a frame
MAX_BITS: Final = 8
_LAYOUT: Final = ("order", "reference", "row")


@dataclass(frozen=True, eq=False)
class Descriptor:
    """Everything that decides what a packet means.

    Attributes:
        shape: of a frame, (C, H, W).
        bit_width: of a symbol, 1..8.
        layout: of the channels.
        models: integer arrays by name, for each profile that has a model.

    Raises:
        UsageError: if shape or bit width is out of range.
        DamagedFileError: if the layout is none of so many channels.
    """

    shape: tuple[int, int, int]
    bit_width: int
    layout: Layout
    models: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_bits(self.bit_width)
        if len(self.shape) != 3 or min(self.shape) < 1 or self.symbols > MAX_SYMBOLS:
            raise UsageError(
                f"frames are [C, H, W] of at most {MAX_SYMBOLS} symbols, not {list(self.shape)}"
            )
        if not self.layout.is_valid(self.shape[0]):
            raise DamagedFileError(f"the layout is none of {self.shape[0]} channels")

    @property
    def symbols(self) -> int:
        """Symbols of a frame, C * H * W."""
        return math.prod(map(int, self.shape))

    @property
    def grid(self) -> Grid:
        """The values of a symbol."""
        return Grid(self.bit_width, signed=False)

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by name, in canonical order and little-endian."""
        named: dict[str, NDArray[Any]] = {name: getattr(self.layout, name) for name in _LAYOUT}
        for profile, model in sorted(self.models.items()):
            named |= {f"{profile}.{name}": array for name, array in sorted(model.items())}
        return {
            name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in named.items()
        }

    @cached_property
    def header(self) -> bytes:
        """Everything but the content of the arrays, as canonical JSON."""
        fields = {
            "format_version": FORMAT_VERSION,
            "shape": list(self.shape),
            "bit_width": self.bit_width,
            "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in self.arrays.items()],
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over header and arrays, in hexadecimal."""
        return sha256_of(self.header, self.arrays)

    def save(self, path: str | Path) -> None:
        """Write the descriptor to one ``.npz`` file, whole or not at all."""
        save_headed(self, HEADER, path)

    @staticmethod
    def load(path: str | Path) -> Descriptor:
        """Read a descriptor and check its hash.

        Raises:
            MissingError: if there is no such file.
            DamagedFileError: if it is not a whole, unaltered descriptor.
        """
        return read_hashed(path, "codec", lambda whole: _parse(read_arrays(whole)))


def check_bits(bit_width: int) -> None:
    """Raise UsageError unless a symbol may have so many bits."""
    if not 1 <= bit_width <= MAX_BITS:
        raise UsageError(f"symbols of {bit_width} bits; the codec takes 1..{MAX_BITS}")


def _parse(members: dict[str, NDArray[Any]]) -> tuple[Descriptor, str]:
    header = take_header(members, HEADER, FORMAT_VERSION)
    layout = Layout(*(members.pop(name).astype(np.int32, casting="equiv") for name in _LAYOUT))
    models: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in members.items():
        profile, _, part = name.partition(".")
        models.setdefault(profile, {})[part] = array.astype(array.dtype.newbyteorder("="))
    shape = tuple(int(n) for n in header["shape"])
    return Descriptor(shape, int(header["bit_width"]), layout, models), str(header["sha256"])  # type: ignore[arg-type]
