r"""Context mixing: slower than tables by an order of magnitude, and smaller.

A symbol is coded bit by bit, the highest first. Seven predictors, each with contexts of its own,
give the probability of a one; they are mixed where probabilities add like evidence,

.. math:: p = squash(\sum_m w_m \, stretch(p_m)), \quad stretch(p) = \ln \frac{p}{1 - p}

with weights for each group of channels and each node of the tree of bits, and drive a binary
arithmetic coder. Stretch and squash are tables of the model, like probabilities and weights, so
that decoding is made of integers alone. Models learn while they are fitted and rest while they
code, which keeps packets independent of each other. See M. Mahoney, "Adaptive weighing of context
models for lossless data compression", 2005.

The loops run compiled where numba works, elsewhere as they stand, some hundred times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.codec.engine import engine
from rivc.codec.jit import loop
from rivc.errors import DamagedFileError, DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.codec.context import Frame
    from rivc.codec.layout import Layout

PREDICTORS: Final = 7
CLASSES: Final = 16  # of symbols, at most
EVEN, ONE = 1 << 15, 1 << 16  # probabilities of a half and of one
UNIT: Final = 1 << 16  # a weight of 1
FINE: Final = 256  # steps of the stretched domain to a unit
REACH: Final = 2047  # steps that it reaches to either side
LEAST: Final = 32  # 65536ths that no probability falls below
RATES: Final = (14, 16, 18)  # of learning, as shifts, one a pass over the frames
FIRM: Final = 255  # observations that a probability is the mean of, at most
SEAL: Final = 2  # bytes
LOW, HIGH, VALUE, AT = range(4)  # the state of the arithmetic coder
FIRST_WEIGHT: Final = UNIT // 3


class Mixer(NamedTuple):
    """Layout and model as arrays for loops.

    Attributes:
        order: channels as they are coded, int32, [C].
        reference: channel that a channel leans on, or -1, int32, [C].
        row: group of a channel, int32, [C].
        classes: class of a symbol, uint8, [A].
        chance: of a one, in 65536ths, uint16, [7, rows * K * K, A]; K classes of neighbours.
        weight: of predictors, 65536 for one, int32, [rows * A, 7].
        stretch: of a chance in 4096ths, int16, [4096].
        squash: chance for a stretched one, from -2048 to 2047, uint16, [4096].
    """

    order: NDArray[np.int32]
    reference: NDArray[np.int32]
    row: NDArray[np.int32]
    classes: NDArray[np.uint8]
    chance: NDArray[np.uint16]
    weight: NDArray[np.int32]
    stretch: NDArray[np.int16]
    squash: NDArray[np.uint16]


@loop
def near(frame: Any, channel: int, y: int, x: int) -> int:
    """Return a symbol, 0 beyond the border or without a channel."""
    if channel < 0 or y < 0 or x < 0 or y >= frame.shape[1] or x >= frame.shape[2]:
        return 0
    return int(frame[channel, y, x])


@loop
def look(mixer: Mixer, frame: Any, previous: Any, place: tuple[int, int, int], at: Any) -> None:
    """Write the context of each predictor at a place: channel, line, column."""
    channel, y, x = place
    like, classes = mixer.reference[channel], mixer.classes
    count = int(classes[-1]) + 1
    left, above = near(frame, channel, y, x - 1), near(frame, channel, y - 1, x)
    past = near(previous, channel, y, x)
    around = near(previous, channel, y, x + 1) + near(previous, channel, y + 1, x)
    moved = left - near(previous, channel, y, x - 1) + above - near(previous, channel, y - 1, x)
    similar = near(frame, like, y, x)
    mean = classes[(left + above + 1) >> 1]
    now = int(classes[past])
    middle = count >> 1
    row = mixer.row[channel] * count * count
    at[0] = row + classes[left] * count + classes[above]
    at[1] = row + now * count + classes[(around + 1) >> 1]
    at[2] = row + classes[similar] * count + classes[near(previous, like, y, x)]
    at[3] = row + now * count + mean
    at[4] = row + now * count + classes[similar]
    at[5] = row + now * count + min(max(middle + moved, 0), count - 1)
    line = y * count // frame.shape[1]
    at[6] = row + line * count + x * count // frame.shape[2]


@loop
def predict(mixer: Mixer, at: Any, node: int, weights: int, stretched: Any) -> int:
    """Return the mixed chance of a one at a node of the tree, in 65536ths."""
    total = 0
    for m in range(len(at)):
        stretched[m] = mixer.stretch[mixer.chance[m, at[m], node] >> 4]
        total += int(mixer.weight[weights + node, m]) * int(stretched[m])
    return int(mixer.squash[min(max(total >> 16, -REACH - 1), REACH) + REACH + 1])


@loop
def code(coder: Any, data: Any, chance: int, bit: int) -> int:
    """Put a bit into `data`, or take one out if `bit` is negative; return it."""
    low, high, value, at = coder
    middle = low + ((high - low) * chance >> 16)
    taken = bit < 0
    if taken:
        bit = int(value <= middle)
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> 24 == 0:
        if taken:
            value = (value << 8 & 0xFFFFFFFF) | (data[at + 4] if at + 4 < len(data) else 0)
        else:
            data[at] = high >> 24
        at += 1
        low, high = low << 8 & 0xFFFFFFFF, (high << 8 & 0xFFFFFFFF) | 0xFF
    coder[LOW], coder[HIGH], coder[VALUE], coder[AT] = low, high, value, at
    return bit


@loop
def learn(mixer: Mixer, seen: Any, at: Any, node: int, target: int) -> None:
    """Move the chances of a node towards the bit that was met.

    Args:
        mixer: its `chance` is changed.
        seen: how often each chance was moved, up to `FIRM`, same shape as `chance`.
        at: contexts.
        node: of the tree.
        target: 65535 times the bit.
    """
    for m in range(len(at)):
        old, count = int(mixer.chance[m, at[m], node]), int(seen[m, at[m], node])
        mixer.chance[m, at[m], node] = old + (target - old) * 2 // (2 * count + 3)
        seen[m, at[m], node] = min(count + 1, FIRM)


@loop
def weigh(weight: Any, stretched: Any, error: int, rate: int) -> None:
    """Move weights by what each predictor said times how far all were off."""
    for m in range(len(stretched)):
        weight[m] += stretched[m] * error >> rate


@loop
def width(mixer: Mixer) -> int:
    """Return the bits of a symbol."""
    bits = 0
    while 1 << bits < len(mixer.classes):
        bits += 1
    return bits


@loop
def train(mixer: Mixer, seen: Any, frame: Any, previous: Any, rate: int) -> None:
    """Learn from a frame."""
    bits = width(mixer)
    at, stretched = np.empty(PREDICTORS, np.int64), np.empty(PREDICTORS, np.int64)
    for channel in mixer.order:
        weights = mixer.row[channel] << bits
        for y in range(frame.shape[1]):
            for x in range(frame.shape[2]):
                look(mixer, frame, previous, (channel, y, x), at)
                node, symbol = 1, int(frame[channel, y, x])
                for shift in range(bits - 1, -1, -1):
                    bit = symbol >> shift & 1
                    chance = predict(mixer, at, node, weights, stretched)
                    weigh(mixer.weight[weights + node], stretched, (bit << 16) - chance, rate)
                    learn(mixer, seen, at, node, bit * 0xFFFF)
                    node = node << 1 | bit


@loop
def walk(mixer: Mixer, frame: Any, previous: Any, coder: Any, data: Any) -> None:
    """Code a frame into `data`, or, where the coder holds a value, out of it."""
    bits, decodes = width(mixer), coder[VALUE] >= 0
    at, stretched = np.empty(PREDICTORS, np.int64), np.empty(PREDICTORS, np.int64)
    for channel in mixer.order:
        weights = mixer.row[channel] << bits
        for y in range(frame.shape[1]):
            for x in range(frame.shape[2]):
                look(mixer, frame, previous, (channel, y, x), at)
                node, symbol = 1, int(frame[channel, y, x])
                for shift in range(bits - 1, -1, -1):
                    chance = predict(mixer, at, node, weights, stretched)
                    known = -1 if decodes else symbol >> shift & 1
                    node = node << 1 | code(coder, data, chance, known)
                frame[channel, y, x] = node - (1 << bits)


def fit_mixer(
    layout: Layout, classes: NDArray[np.uint8], frames: NDArray[np.uint8], before: NDArray[np.uint8]
) -> Mixer:
    """Return a model that has learnt from frames, [T, C, H, W], and those before them."""
    levels, count = len(classes), int(classes[-1]) + 1
    contexts = layout.rows * count * count
    mixer = Mixer(
        layout.order,
        layout.reference,
        layout.row,
        classes,
        np.full((PREDICTORS, contexts, levels), EVEN, np.uint16),
        np.full((layout.rows * levels, PREDICTORS), FIRST_WEIGHT, np.int32),
        *_curves(),
    )
    for rate in RATES:
        seen = np.zeros(mixer.chance.shape, np.uint8)
        for frame, previous in zip(frames, before, strict=True):
            train(mixer, seen, frame, previous, rate)
    return mixer


def check(mixer: Mixer, levels: int) -> None:
    """Raise DamagedFileError unless arrays, which may come from a file, make a model."""
    rows, count = int(mixer.row.max()) + 1, int(mixer.classes.max(initial=0)) + 1
    shapes = {
        "classes": (levels,),
        "chance": (PREDICTORS, rows * count * count, levels),
        "weight": (rows * levels, PREDICTORS),
        "stretch": (4096,),
        "squash": (4096,),
    }
    for name, shape in shapes.items():
        if getattr(mixer, name).shape != shape:
            raise DamagedFileError(f"{name} of a mixing model is not of shape {shape}")
    if count > CLASSES or mixer.classes[-1] != count - 1:
        raise DamagedFileError(f"the classes of a mixing model do not end with one of {CLASSES}")
    if mixer.squash.min() < LEAST or mixer.squash.max() > ONE - LEAST:
        raise DamagedFileError("the chances of a mixing model are too close to certainty")


def _curves() -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Stretch and squash, rounded to integers once and kept with the model."""
    chance = (np.arange(4096) + 0.5) / 4096
    evidence = np.arange(-REACH - 1, REACH + 1) / FINE
    squash = np.clip(ONE / (1 + np.exp(-evidence)), LEAST, ONE - LEAST)
    stretch = np.clip(FINE * np.log(chance / (1 - chance)), -REACH, REACH)
    return np.rint(stretch).astype(np.int16), np.rint(squash).astype(np.uint16)


def encode(mixer: Mixer, frame: Frame, previous: Frame) -> bytes:
    """Return the payload of a frame."""
    coder = np.array([0, 0xFFFFFFFF, -1, 0], np.int64)
    data = np.zeros(most(frame.size, width(mixer)), np.uint8)
    walk(mixer, frame.copy(), previous, coder, data)
    return data[: coder[AT]].tobytes() + _ending(coder) + _seal(frame)


def decode(mixer: Mixer, payload: bytes, previous: Frame) -> Frame:
    """Return the frame of a payload.

    Raises:
        DecodeError: if it is not as long as the frame that it gives, or has not its seal.
    """
    frame = np.zeros(previous.shape, np.uint8)
    payload, seal = payload[:-SEAL], payload[-SEAL:]
    value = int.from_bytes(payload[:4].ljust(4, b"\0"), "big")
    coder = np.array([0, 0xFFFFFFFF, value, 0], np.int64)
    walk(mixer, frame, previous, coder, np.frombuffer(payload, np.uint8).copy())
    size = int(coder[AT]) + len(_ending(coder))
    if len(payload) < size:
        raise DecodeError("truncated", "the payload ends before its last symbol")
    if len(payload) > size:
        raise DecodeError("too_large", "the payload goes on after its last symbol")
    if seal != _seal(frame):
        raise DecodeError("checksum", "the payload does not give the frame that it was made of")
    return frame


def _seal(frame: Frame) -> bytes:
    """The end of the frame's CRC-32C: an arithmetic code has no last state to compare."""
    return (engine().crc32c(frame.tobytes()) & 0xFFFF).to_bytes(SEAL, "little")


def _ending(coder: NDArray[np.int64]) -> bytes:
    """The fewest bytes that tell the last interval, zeros taken to follow."""
    low, high = int(coder[LOW]), int(coder[HIGH])
    for size in range(5):
        top = high >> (32 - 8 * size) << (32 - 8 * size)
        if top >= low:
            return top.to_bytes(4, "big")[:size]
    return b""


def most(symbols: int, bits: int) -> int:
    """Bytes that no payload exceeds: a bit takes at most log2(65536 / 32) = 11, and some slack."""
    return symbols * bits * 12 // 8 + 8
