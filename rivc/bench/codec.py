r"""`rivc bench codec`: bytes a frame and symbols a second, on maps recorded from trained policies.

Models are fitted to the first half of a recording and measured on the second. All bytes count,
headers and checksums too; the general compressors get the same 28. Speeds are those of one core,
by its own time and not the clock's, on frames of 8,192 symbols: recorded ones side by side.

A map is one file beside this one, made by the command in its row::

    rivc codec fit runs/tracker-seed0 --layer 2 --episodes 2 --record tracker.npz --out codec.npz
    rivc codec fit runs/cart_pole_camera-seed0 --layer 2 --episodes 2 --out codec.npz \
        --record cart-pole.npz
"""

from __future__ import annotations

from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.bench.timing import Coded, Report, versions
from rivc.codec import FeatureCodec, Recording
from rivc.codec.bitstream import OVERHEAD
from rivc.codec.descriptor import Descriptor
from rivc.codec.engine import engine
from rivc.codec.profiles import rans_model
from rivc.errors import MismatchError, MissingError
from rivc.quant import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

FOLDER: Final = Path(__file__).parent / "maps"
MAPS: Final = {
    "tracker": "rivc/VisualTracker-v0, 4 bits, second convolution",
    "cart-pole": "rivc/PoleBalance-v0, noisy camera, 4 bits, second convolution",
}
ZSTD_LEVELS: Final = (3, 19)
PROFILES: Final = {"rans-intra": False, "rans-inter": True, "max-intra": False, "max-inter": True}
EVERY: Final = 4  # frames measured: one of so many
SPEED_SYMBOLS: Final = 8192
ROUNDS: Final = 200
PLAIN_ROUNDS: Final = 3


def run() -> Report:
    """Measure every map; see the module."""
    rows: list[Coded] = []
    facts = {"bytes": f"headers and checksums included, {OVERHEAD} a frame of one slice"}
    for name, what in MAPS.items():
        recording = Recording.load(FOLDER / f"{name}.npz")
        half = len(recording.codes) // 2
        codec = FeatureCodec.fit(
            recording.codes[:half],
            recording.bit_width,
            starts=recording.starts[:half],
            profiles=["rans", "max"],
        )
        rows += _rows(name, codec, recording, range(half + 1, len(recording.codes), EVERY))
        shape = " x ".join(map(str, codec.descriptor.shape))
        facts[name] = f"{what}: {shape}, {np.mean(recording.codes == 0):.1%} zeros"
    facts["equal"] = "every frame, in every profile"
    return Report((), facts, versions("numba", "zstandard"), tuple(rows))


def _rows(name: str, codec: FeatureCodec, recording: Recording, chosen: range) -> Iterator[Coded]:
    symbols = codec.descriptor.symbols
    wide = _Wide(codec, recording)

    def row(coder: str, size: float, encode: float | None, decode: float | None) -> Coded:
        below = 4 * symbols / size, (packed + OVERHEAD) / size
        return Coded(name, coder, size, *below, 8 * size / symbols, encode, decode)

    packed = len(pack(recording.codes[0], codec.descriptor.grid))
    yield row("fp32", 4 * symbols, None, None)
    yield row("packed", packed + OVERHEAD, *wide.speed("packed"))
    for level in ZSTD_LEVELS:
        sizes = [_zstd_size(recording.codes[i], codec, level) for i in chosen]
        yield row(f"zstd -{level}", float(np.mean(sizes)) + OVERHEAD, *wide.zstd_speed(level))
    for profile, inter in PROFILES.items():
        pairs = [(recording.codes[i], recording.previous(i) if inter else None) for i in chosen]
        if profile.startswith("rans"):
            ideal = [codec.ideal_bits(*pair) / 8 for pair in pairs]
            yield row(f"ideal of {profile}", float(np.mean(ideal)) + OVERHEAD, None, None)
        sizes = [_size(codec, profile, *pair) for pair in pairs]
        yield row(profile, float(np.mean(sizes)), *wide.speed(profile))
        if profile == "rans-inter":
            yield row("the same without numba", float(np.mean(sizes)), *wide.plain_speed())


def _size(codec: FeatureCodec, profile: str, frame: Frame, previous: Frame | None) -> int:
    packet = codec.encode(frame, previous, profile=profile)
    if not np.array_equal(codec.decode(packet, previous), frame):
        raise MismatchError(f"profile {profile} does not give back what it was given")
    return len(packet)


def _zstd_size(frame: Frame, codec: FeatureCodec, level: int) -> int:
    """The smaller one of symbols packed and one a byte."""
    compress = _zstandard().ZstdCompressor(level=level).compress
    return min(
        len(compress(data)) for data in (frame.tobytes(), pack(frame, codec.descriptor.grid))
    )


class _Wide:
    """Frames of 8,192 symbols: recorded ones side by side, which the same models code."""

    def __init__(self, codec: FeatureCodec, recording: Recording) -> None:
        self.count = max(1, SPEED_SYMBOLS // codec.descriptor.symbols)
        first = len(recording.codes) - 1 - self.count
        around = recording.codes[first : first + self.count + 1]
        self.previous = np.concatenate(list(around[:-1]), axis=2)
        self.frame = np.concatenate(list(around[1:]), axis=2)
        old = codec.descriptor
        shape = (*old.shape[:2], old.shape[2] * self.count)
        self.codec = FeatureCodec(Descriptor(shape, old.bit_width, old.layout, old.models))

    def speed(self, profile: str) -> tuple[float, float]:
        """Million symbols a second, encoded and decoded."""
        frame, previous = self.frame, self.previous if PROFILES.get(profile) else None
        packet = self.codec.encode(frame, previous, profile=profile)
        return (
            self._rate(lambda: self.codec.encode(frame, previous, profile=profile)),
            self._rate(lambda: self.codec.decode(packet, previous)),
        )

    def plain_speed(self) -> tuple[float, float]:
        """The same of the payloads of ``rans-inter``, by the loops that need no numba."""
        descriptor, loops = self.codec.descriptor, engine(compiled=False)
        model = rans_model(descriptor, descriptor.models["rans-inter"], inter=True)
        payload = loops.encode(model, self.frame, self.previous)
        return (
            self._rate(lambda: loops.encode(model, self.frame, self.previous), PLAIN_ROUNDS),
            self._rate(lambda: loops.decode(model, payload, self.previous), PLAIN_ROUNDS),
        )

    def zstd_speed(self, level: int) -> tuple[float, float]:
        """The same of zstd on packed symbols, the packing left out."""
        zstd = _zstandard()
        data = pack(self.frame, self.codec.descriptor.grid)
        compressor, decompressor = zstd.ZstdCompressor(level=level), zstd.ZstdDecompressor()
        small = compressor.compress(data)
        return (
            self._rate(lambda: compressor.compress(data)),
            self._rate(lambda: decompressor.decompress(small)),
        )

    def _rate(self, work: Callable[[], object], rounds: int | None = None) -> float:
        work()
        seconds = []
        for _ in range(rounds or ROUNDS):
            start = thread_time()
            work()
            seconds.append(thread_time() - start)
        return float(self.frame.size / np.median(seconds) / 1e6)


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingError("the peer is zstandard; pip install 'rivc[codec]'") from error
    return zstandard
