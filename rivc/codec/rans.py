r"""Interleaved range asymmetric numeral systems, in plain Python: the definition of a payload.

Two states of 32 bits take turns: symbol i belongs to state i mod 2. A symbol that begins at c and
has frequency f of 4096 turns the state s into

.. math:: 4096 \lfloor s / f \rfloor + (s \bmod f) + c

after its lower 16 bits were put out, if it was :math:`2^{20} f` or more. Encoding runs backwards
from states of :math:`2^{16}`, so that decoding runs forwards and must come back to them: both
states, and then every word. See J. Duda, arXiv:1311.2540.

`rivc.codec.loops` does the same, compiled.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.codec.context import contexts, places
from rivc.codec.layout import NONE
from rivc.codec.tables import PRECISION, TOTAL
from rivc.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.codec.context import Frame, Model
    from rivc.errors import DecodeErrorKind

LOW: Final = 1 << 16
WORD: Final = np.dtype("<u2")
FLUSH: Final = 4  # words that hold the two states
ENDS, SHORT, OVER, WRONG = range(4)  # how a payload can end
_REFUSALS: Final[dict[int, tuple[DecodeErrorKind, str]]] = {
    SHORT: ("truncated", "the payload ends before its last symbol"),
    OVER: ("too_large", "the payload goes on after its last symbol"),
    WRONG: ("checksum", "the payload does not end in the states it was begun with"),
}


def encode(model: Model, frame: Frame, previous: Frame) -> bytes:
    """Return the payload of a frame; see `rivc.codec.context` for the arguments."""
    symbols, at = contexts(model, frame, previous)
    starts = model.starts[at, symbols].astype(np.int64)
    return push(starts, model.starts[at, symbols + 1] - starts)


def push(starts: NDArray[np.int64], frequency: NDArray[np.int64]) -> bytes:
    """Return the payload of symbols whose shares begin at `starts`, [N], and are so large, [N]."""
    states, words = [LOW, LOW], []
    for i in range(len(starts) - 1, -1, -1):
        start, share, state = int(starts[i]), int(frequency[i]), states[i & 1]
        if state >= share << (32 - PRECISION):
            words.append(state % LOW)
            state //= LOW
        states[i & 1] = (state // share << PRECISION) + state % share + start
    head = [half for state in states for half in (state % LOW, state // LOW)]
    return np.array(head + words[::-1], WORD).tobytes()


class Reader:
    """Takes symbols out of a payload, one by one; see `refuse` for what it raises."""

    def __init__(self, payload: bytes) -> None:
        self._words = words_of(payload).tolist()
        self._states = [self._words[i] + LOW * self._words[i + 1] for i in (0, 2)]
        self._next, self._turn = FLUSH, 0

    def take(self, starts: list[int]) -> int:
        """Return the next symbol, whose table says where each share begins and ends with 4096."""
        state = self._states[self._turn]
        slot = state % TOTAL
        symbol = bisect_right(starts, slot) - 1
        start = starts[symbol]
        state = (starts[symbol + 1] - start) * (state >> PRECISION) + slot - start
        if state < LOW:
            state = state * LOW + self._word()
        self._states[self._turn] = state
        self._turn ^= 1
        return symbol

    def close(self) -> None:
        """Check that the end is where it should be."""
        if self._next != len(self._words):
            refuse(OVER)
        refuse(ENDS if self._states == [LOW, LOW] else WRONG)

    def _word(self) -> int:
        if self._next == len(self._words):
            refuse(SHORT)
        self._next += 1
        return int(self._words[self._next - 1])


def words_of(payload: bytes) -> NDArray[np.uint16]:
    """Return a payload as words, which are at least two states."""
    if len(payload) % 2 or len(payload) < 2 * FLUSH:
        refuse(SHORT)
    return np.frombuffer(payload, WORD).astype(np.uint16, copy=False)


def refuse(ending: int) -> None:
    """Raise DecodeError unless a payload ended as it should."""
    if ending != ENDS:
        raise DecodeError(*_REFUSALS[ending])


def decode(model: Model, payload: bytes, previous: Frame) -> Frame:
    """Return the frame of a payload.

    Args:
        model: that it was encoded with.
        payload: of `encode`.
        previous: the frame before; for a model that does not use it, any of the right shape.

    Raises:
        DecodeError: if the payload is not whole.
    """
    reader, starts = Reader(payload), model.starts.tolist()
    found = np.zeros(previous.shape, np.uint8)
    frame, context = found.reshape(-1), _contextualize(model, found, previous)
    for place in places(model, found.shape).tolist():
        frame[place] = reader.take(starts[context(place)])
    reader.close()
    return found


def _contextualize(model: Model, frame: Frame, previous: Frame) -> Callable[[int], int]:
    """The context of a place in a frame whose earlier symbols are known: `contexts` for one."""
    _, height, width = frame.shape
    reference = model.reference.tolist()

    def context(place: int) -> int:
        channel, point = divmod(place, height * width)
        y, x = divmod(point, width)
        above = int(frame[channel, y - 1, x]) if y else None
        left = int(frame[channel, y, x - 1]) if x else above or 0
        mean = (left + (left if above is None else above) + 1) >> 1
        similar = 0
        if reference[channel] != NONE:
            similar = int(model.similar[frame[reference[channel], y, x]])
        temporal = int(model.temporal[previous[channel, y, x]])
        return int(model.base[channel]) + temporal + int(model.spatial[mean]) + similar

    return context
