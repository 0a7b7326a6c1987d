"""Pictures: what a camera policy can send instead of features, the bar that these must clear."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.errors import DecodeError, MissingError, UsageError, in_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_picture(picture: NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    """Return a picture as a file.

    Args:
        picture: uint8, [H, W] or [H, W, 3].
        kind: "webp" or "jpeg".
        options: of Pillow, such as ``quality=50`` or ``lossless=True``.

    Raises:
        UsageError: if the picture is too large for the format.
        MissingError: if Pillow is not installed.
    """
    buffer = io.BytesIO()
    try:
        _pillow().fromarray(picture).save(buffer, kind, **options)
    except (OSError, ValueError) as error:
        raise UsageError(f"no {kind} picture of {picture.shape}: {in_one_line(error)}") from error
    return buffer.getvalue()


def through_picture(
    picture: NDArray[np.uint8], kind: str, **options: Any
) -> tuple[NDArray[np.uint8], int]:
    """Return what is left of a picture on the other side of a file, and the bytes of the file.

    For measuring; arguments and errors as for `write_picture`.
    """
    data = write_picture(picture, kind, **options)
    with _pillow().open(io.BytesIO(data)) as file:
        return np.asarray(file.convert("RGB" if picture.ndim == 3 else "L")), len(data)


def read_lossless(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a lossless WebP picture, [H, W, 3].

    Args:
        data: the file.
        size: width and height that it must have; Pillow, which would take the memory for any
            other one as it opens a file, does not get to see it.

    Raises:
        DecodeError: if it is no such picture.
        MissingError: if Pillow is not installed.
    """
    if _lossless_size(data) != size:
        raise DecodeError("checksum", f"no lossless WebP picture of {size[0]} x {size[1]}")
    try:
        with _pillow().open(io.BytesIO(data), formats=["WEBP"]) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise DecodeError("checksum", in_one_line(error)) from error


def _lossless_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a file of the simple lossless form, 14 bits each, less one."""
    if len(data) < 25 or (data[:4], data[8:16], data[20]) != (b"RIFF", b"WEBPVP8L", 0x2F):
        return None
    bits = int.from_bytes(data[21:25], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingError("pictures need Pillow; pip install 'rivc[codec]'") from error
    return Image
