"""A codec of packed bits, worlds and ladders for tests of the split."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.codec import Recording
from rivc.errors import DamagedFileError
from rivc.neurochip import load_backend
from rivc.quant import Grid
from rivc.quant.pack import pack, unpack
from rivc.robot import ActionTable, Frame, SimulatedClock
from rivc.split.folder import SplitFolder
from rivc.split.halves import Split, cut, from_planes
from rivc.split.ladder import Ladder, Point, Row, fit_ladder
from rivc.split.policy import Link, LinkTimes, SafeAction, SplitPolicy
from rivc.split.server import Server, ServerLimits
from rivc.split.session import Session
from rivc.split.transport import InProcess, Transport
from tests.programs import conv_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.split.ladder import Infer


class PackedCodec:
    """Packed codes under a checksum; a delta is the exclusive or with the frame before."""

    def __init__(self, shape: tuple[int, ...], bit_width: int) -> None:
        self.shape, self.grid = shape, Grid(bit_width, signed=False)

    def encode(self, frame: NDArray[np.uint8], previous: NDArray[np.uint8] | None = None) -> bytes:
        assert frame.shape == self.shape
        codes = frame if previous is None else frame ^ previous
        body = bytes([previous is not None]) + pack(codes, self.grid)
        return body + zlib.crc32(body).to_bytes(4, "little")

    def decode(self, packet: bytes, previous: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        body = packet[:-4]
        if zlib.crc32(body).to_bytes(4, "little") != packet[-4:] or not body:
            raise DamagedFileError("checksum")
        if body[0] != (previous is not None):
            raise DamagedFileError("reference")
        codes = unpack(body[1:], int(np.prod(self.shape)), self.grid).astype(np.uint8)
        codes = codes.reshape(self.shape)
        return codes if previous is None else codes ^ previous


KEY = b"a key of 16 bytes"
IDENTITY = bytes(range(16))
MS = 1_000_000


def lossless(split: Split) -> Ladder:
    """A ladder of one row that keeps everything."""
    return ladder_of(split, Point(split.bit_width, split.shape[-1]))


def ladder_of(split: Split, *points: Point) -> Ladder:
    """A ladder of packed rows."""
    sides = split.shape[:2] if len(split.shape) == 3 else (1, 1)
    rows = []
    for point in points:
        codec = PackedCodec((point.channels, *sides), point.bit_width)
        size = len(codec.encode(np.zeros(codec.shape, np.uint8)))
        rows.append(Row(point, codec, float(size), size))
    return Ladder(split.shape, split.bit_width, tuple(range(split.shape[-1])), tuple(rows))


def infer_of(split: Split) -> Infer:
    """The server half on the emulator."""
    chip = load_backend("emulator")
    chip.load(split.server)
    return lambda counts: chip.infer(counts).readout


SPLIT: Final = cut(conv_program(), 1)
CODES: Final = np.random.default_rng(0).binomial(3, 0.2, (24, 3, 4, 3)).astype(np.uint8)
COUNTS: Final = np.stack([from_planes(planes, SPLIT.shape) for planes in CODES])
RECORDING: Final = Recording(CODES, np.arange(len(CODES)) == 0, SPLIT.bit_width)
FOLDER: Final = SplitFolder(SPLIT, fit_ladder(SPLIT, RECORDING, [Point(2, 3), Point(1, 2)]))


class Rig:
    """A robot, a server and what is between them, in simulated time."""

    def __init__(
        self,
        transport: Callable[[Server, SimulatedClock], Transport] = InProcess,
        *,
        split: Split | None = None,
        ladder: Ladder | None = None,
        times: LinkTimes | None = None,
        limits: ServerLimits | None = None,
        robot_key: bytes = KEY,
    ) -> None:
        self.split = split or cut(conv_program(), 1)
        self.ladder = ladder or lossless(self.split)
        self.clock, self.times = SimulatedClock(), times or LinkTimes(50, 60, 15)
        self.server = Server(self.ladder, infer_of(self.split), IDENTITY, KEY, limits, lambda: 0)
        d, n = self.split.server.action_layout
        self.actions = ActionTable.levels([[float(i) for i in range(n)]] * d)
        self.session = Session(self.ladder, IDENTITY, d * n, robot_key)
        way = transport(self.server, self.clock)
        link = Link(self.clock, way, self.session, self.ladder, self.times)
        self.policy = SplitPolicy(
            self.split, load_backend("emulator"), self.actions, link, SafeAction([-1.0] * d)
        )

    def step(self, observation: NDArray[np.uint8], sequence: int) -> NDArray[np.float64]:
        """Decide on one frame that is captured now."""
        self.policy.see(Frame(observation, self.clock.now_ns(), sequence))
        return self.policy.infer(self.policy.encode(observation))

    def run(self, frames: int, start: int = 0) -> list[NDArray[np.float64]]:
        """Decide on random frames at the rate; every decision is checked not to be stale."""
        rng, commands = np.random.default_rng(start), []
        begun_ns, period_ns = self.clock.now_ns(), round(1e9 / self.times.rate_hz)
        for i in range(frames):
            self.clock.sleep_until(begun_ns + i * period_ns)
            shape = self.split.edge.encoding.shape
            commands.append(self.step(rng.integers(0, 256, shape, dtype=np.uint8), start + i))
            age_ns = self.clock.now_ns() - self.policy.decided_from.time_ns
            assert 0 <= age_ns <= self.times.deadline_ns
        return commands
