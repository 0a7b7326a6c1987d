r"""The coder as compiled loops; they need numba (``rivc[fast]``).

`rivc.codec.rans` says what is computed, symbol by symbol; both write the same bytes. Loops are
compiled once for each choice of types, which is why arrays must be in C order here, and nothing
checks their bounds: frames come in checked.

The two states swap places after each symbol. Division by a frequency f is multiplication by
:math:`r = \lceil 2^{44} / f \rceil`: for a state below :math:`2^{20} f` the product fits 64 bits,
and what r exceeds :math:`2^{44} / f` by, less than 1, adds less than :math:`2^{-12} \le 1 / f`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec.crc import TABLE
from rivc.codec.engine import Engine
from rivc.codec.rans import ENDS, FLUSH, OVER, SHORT, WORD, WRONG, refuse, words_of
from rivc.codec.tables import TOTAL
from rivc.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.codec.context import Frame, Model

u32, u64 = np.uint32, np.uint64
RECIPROCAL: Final = np.array([0, *(-(-(1 << 44) // f) for f in range(1, TOTAL + 1))], np.uint64)


@compiled
def find(starts: NDArray[np.uint16], row: Any, slot: Any) -> int:
    """Return the symbol whose share of a table holds a slot, by halves and without a branch."""
    symbol, step = 0, (starts.shape[1] - 1) >> 1
    while step:
        symbol += step * (slot >= starts[row, symbol + step])
        step >>= 1
    return symbol


@compiled
def mean(frame: Frame, channel: Any, y: int, x: int) -> Any:
    """Return the mean of what stands to the left and above; at a border one counts twice."""
    if y:
        above = frame[channel, y - 1, x]
        return (above + (frame[channel, y, x - 1] if x else above) + 1) >> 1
    return frame[channel, y, x - 1] if x else 0


@compiled
def shares(model: Model, frame: Frame, previous: Frame, share: NDArray[np.uint32]) -> None:
    """Write where the share of each symbol begins, and 2^16 times its size, in coding order."""
    order, reference, base, temporal, spatial, similar, starts = model
    channels, height, width = frame.shape
    for j in range(channels):
        channel, pair = order[j], j & ~1
        i, step = pair * height * width + (j & 1), min(2, channels - pair)
        for y in range(height):
            for x in range(width):
                row = base[channel] + temporal[previous[channel, y, x]]
                row += spatial[mean(frame, channel, y, x)]
                if reference[channel] >= 0:
                    row += similar[frame[reference[channel], y, x]]
                start = u32(starts[row, frame[channel, y, x]])
                share[i] = start | (u32(starts[row, frame[channel, y, x] + 1]) - start) << u32(16)
                i += step


@compiled
def push(
    share: NDArray[np.uint32], reciprocal: NDArray[np.uint64], words: NDArray[np.uint16]
) -> int:
    """Write the payload to the end of `words` and return where it begins."""
    state, other = u32(1 << 16), u32(1 << 16)
    at = len(words)
    for i in range(len(share) - 1, -1, -1):
        start, size = share[i] & u32(0xFFFF), share[i] >> u32(16)
        at -= 1
        words[at] = state  # always, and again by the next if it was not due
        due = (state >> u32(20)) >= size
        at += not due
        state = state >> u32(16 * due)
        quotient = u32((u64(state) * reciprocal[size]) >> u64(44))
        state, other = other, u32(state + quotient * (u32(4096) - size) + start)
    at -= 4
    words[at], words[at + 1] = other, other >> u32(16)
    words[at + 2], words[at + 3] = state, state >> u32(16)
    return at


@compiled
def ending(left: int, state: Any, other: Any) -> int:
    """Return the code of an ending, with so many words left."""
    if left:
        return OVER
    return ENDS if state == other == 1 << 16 else WRONG


@compiled
def pull(model: Model, words: NDArray[np.uint16], previous: Frame, frame: Frame) -> int:
    """Write the frame of a payload and return how it ended: one of the codes of `refuse`."""
    order, reference, base, temporal, spatial, similar, starts = model
    channels, height, width = frame.shape
    state, other = (
        u32(words[0]) | u32(words[1]) << u32(16),
        u32(words[2]) | u32(words[3]) << u32(16),
    )
    at = 4
    for pair in range(0, channels, 2):
        for y in range(height):
            for x in range(width):
                for j in range(pair, min(pair + 2, channels)):
                    channel = order[j]
                    row = base[channel] + temporal[previous[channel, y, x]]
                    row += spatial[mean(frame, channel, y, x)]
                    if reference[channel] >= 0:
                        row += similar[frame[reference[channel], y, x]]
                    slot = state & u32(4095)
                    symbol = find(starts, row, slot)
                    frame[channel, y, x] = symbol
                    start = u32(starts[row, symbol])
                    size = u32(starts[row, symbol + 1]) - start
                    state = u32(size * (state >> u32(12)) + slot - start)
                    if state < u32(1 << 16):
                        if at == len(words):
                            return SHORT
                        state = (state << u32(16)) | u32(words[at])
                        at += 1
                    state, other = other, state
    return ending(len(words) - at, state, other)


@compiled
def checksum(data: NDArray[np.uint8], table: NDArray[np.uint32]) -> int:
    """Return the CRC-32C of bytes, eight at a time; see `rivc.codec.crc`."""
    crc, whole = u32(0xFFFFFFFF), len(data) & ~7
    for i in range(0, whole, 8):
        for k in range(4):
            crc ^= u32(data[i + k]) << u32(8 * k)
        folded = u32(0)
        for k in range(4):
            folded ^= table[7 - k, (crc >> u32(8 * k)) & u32(0xFF)] ^ table[3 - k, data[i + 4 + k]]
        crc = folded
    for i in range(whole, len(data)):
        crc = table[0, (crc ^ data[i]) & u32(0xFF)] ^ (crc >> u32(8))
    return int(crc ^ u32(0xFFFFFFFF))


def encode(model: Model, frame: Frame, previous: Frame) -> bytes:
    """Return the payload of a frame, as `rivc.codec.rans.encode` does."""
    share = np.empty(frame.size, np.uint32)
    words = np.empty(frame.size + FLUSH + 1, np.uint16)
    shares(model, frame, previous, share)
    return words[push(share, RECIPROCAL, words) :].astype(WORD, copy=False).tobytes()


def decode(model: Model, payload: bytes, previous: Frame) -> Frame:
    """Return the frame of a payload, as `rivc.codec.rans.decode` does."""
    frame = np.empty(previous.shape, np.uint8)
    refuse(pull(model, words_of(payload), previous, frame))
    return frame


COMPILED: Final = Engine(
    encode, decode, lambda data: checksum(np.frombuffer(data, np.uint8), TABLE)
)
