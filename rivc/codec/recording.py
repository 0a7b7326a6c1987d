"""Recorded frames of one layer, in a file: what codecs are fitted to and measured on."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.codec.descriptor import MAX_BITS
from rivc.errors import DamagedFileError, MissingError, RivcError
from rivc.snn_convert.storage import MAX_BYTES, UNREADABLE, reason, write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Recording:
    """Consecutive frames.

    Attributes:
        codes: uint8, [T, C, H, W].
        starts: frames that begin an episode and have none before, bool, [T].
        bit_width: of a symbol.
    """

    codes: NDArray[np.uint8]
    starts: NDArray[np.bool_]
    bit_width: int

    def previous(self, i: int) -> NDArray[np.uint8] | None:
        """The frame before frame `i`, None if an episode begins there."""
        return None if i == 0 or self.starts[i] else self.codes[i - 1]

    def save(self, path: str | Path) -> None:
        """Write codes, starts and bit width to one compressed ``.npz`` file."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, codes=self.codes, starts=self.starts, bit_width=np.uint8(self.bit_width)
        )
        write_atomically(path, buffer.getvalue())

    @staticmethod
    def load(path: str | Path, bit_width: int | None = None) -> Recording:
        """Read an ``.npz`` with `codes`, or an ``.npy`` of them.

        Args:
            path: the file; `starts` and `bit_width` may be missing in it.
            bit_width: of a symbol; default: the file's, or the smallest that holds the codes.

        Raises:
            MissingError: if there is no such file.
            DamagedFileError: if it holds no codes, or is too large.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"no file at {path}")
        try:
            return _recording(_read(path), bit_width)
        except RivcError as error:
            raise DamagedFileError(f"{path} holds no codes: {reason(error)}") from error
        except UNREADABLE as error:
            what = f"{type(error).__name__}: {reason(error)}"
            raise DamagedFileError(f"{path} holds no codes: {what}") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    sizes = [path.stat().st_size]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            sizes = [info.file_size for info in archive.infolist()]
    if sum(sizes) > MAX_BYTES:
        raise DamagedFileError(f"it has more than {MAX_BYTES} bytes")
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {"codes": loaded}
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _recording(arrays: dict[str, NDArray[Any]], bit_width: int | None) -> Recording:
    codes = arrays["codes"]
    if codes.dtype != np.uint8 or codes.ndim != 4 or not codes.size:
        raise DamagedFileError(f"codes are uint8 [T, C, H, W], not {codes.dtype} {codes.shape}")
    starts = arrays.get("starts", np.zeros(len(codes), np.bool_))
    if starts.dtype != np.bool_ or starts.shape != codes.shape[:1]:
        raise DamagedFileError(f"starts are bool [{len(codes)}], not {starts.dtype} {starts.shape}")
    width = bit_width or int(arrays.get("bit_width", max(1, int(codes.max()).bit_length())))
    if not 1 <= width <= MAX_BITS:
        raise DamagedFileError(f"symbols of {width} bits, where 1..{MAX_BITS} are possible")
    if codes.max() >> width:
        raise DamagedFileError(f"a symbol of {codes.max()} does not fit {width} bits")
    return Recording(codes, starts, width)
