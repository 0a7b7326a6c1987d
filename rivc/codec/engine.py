"""The inner loops of the codec: compiled where numba works (``rivc[fast]``), elsewhere Python.

Both give the same bytes and the same frames.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from rivc.compiled import why_not
from rivc.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.codec.context import Frame, Model


class Engine(NamedTuple):
    """One way to run the loops.

    Attributes:
        encode: payload of a frame, given its model and the frame before.
        decode: frame of a payload, given the same; raises DecodeError.
        crc32c: checksum of bytes.
    """

    encode: Callable[[Model, Frame, Frame], bytes]
    decode: Callable[[Model, bytes, Frame], Frame]
    crc32c: Callable[[bytes], int]


@cache
def engine(compiled: bool | None = None) -> Engine:
    """Return the compiled loops, or the Python ones; by default, the compiled where numba works.

    Raises:
        MissingError: if compiled loops are asked for and numba does not work here.
    """
    problem = "" if compiled is False else why_not()
    if compiled and problem:
        raise MissingError(problem)
    if compiled is not False and not problem:
        from rivc.codec.loops import COMPILED

        return COMPILED
    from rivc.codec import rans
    from rivc.codec.crc import crc32c

    return Engine(rans.encode, rans.decode, crc32c)
