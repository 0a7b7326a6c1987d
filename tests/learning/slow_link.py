"""What a slow link costs: the row of docs/results.md about 150 kbit/s.

``python -m tests.learning.slow_link RUN --layer 2 --kbit 150 300 1000`` cuts the policy of a run,
lets it play the same episodes over simulated links, coded in every way, and prints the returns as a
table, the undisturbed one in its head. Of the 44 bytes around a packet 28 are IP and UDP. A robot
that has no answer of the last 100 ms holds its last command. ``ladder`` chooses among the rows of
``rivc split fit``; all others send one kind of packet whenever the link is free.

Each cell is the mean return over the episodes and its standard error, bytes a packet (with what is
around it) and the median age of the frame that a command was decided from.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec import FeatureCodec
from rivc.neurochip import load_backend
from rivc.quant import Grid, pack, unpack
from rivc.robot import ActionTable, Frame, SimulatedClock
from rivc.snn_convert.program import greedy
from rivc.split import (
    Ladder,
    Link,
    LinkModel,
    LinkTimes,
    LinkTrace,
    Phase,
    Point,
    Row,
    Server,
    ServerLimits,
    Session,
    SimulatedTransport,
    SplitPolicy,
    cut,
)
from rivc.train.evaluate import evaluation_seed
from rivc.train.features import record_features
from rivc.train.ladders import LadderPlan, fit_split
from rivc.train.policy import load_program
from rivc.train.run import RunFolder
from rivc.train.setup import make_tasks
from rivc.train.task_world import TaskWorld

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rivc.codec import Recording
    from rivc.split import Split
    from rivc.split.ladder import Codec

    Planes = NDArray[np.uint8]

ROUND_TRIP_MS: Final = 8.0
DEADLINE_MS: Final = 100.0
PAUSE_NS: Final = 1_000_000_000  # between episodes, so that none begins with the last one's answer
AROUND: Final = 44
IDENTITY: Final = bytes(16)
DEFAULT_RATE_HZ: Final = 50.0


@dataclass(frozen=True)
class Plain:
    """Counts as 32-bit floats, as a network has them."""

    shape: tuple[int, ...]

    def encode(self, frame: Planes, previous: Planes | None = None) -> bytes:
        return frame.astype("<f4").tobytes()

    def decode(self, packet: bytes, previous: Planes | None = None) -> Planes:
        return np.frombuffer(packet, "<f4").astype(np.uint8).reshape(self.shape)


@dataclass(frozen=True)
class Packed:
    """Counts of k bits, k bits each, and then zstd -19 if that is asked for."""

    shape: tuple[int, ...]
    grid: Grid
    is_squeezed: bool = False

    def encode(self, frame: Planes, previous: Planes | None = None) -> bytes:
        data = pack(frame, self.grid)
        return _zstandard().ZstdCompressor(level=19).compress(data) if self.is_squeezed else data

    def decode(self, packet: bytes, previous: Planes | None = None) -> Planes:
        data = _zstandard().ZstdDecompressor().decompress(packet) if self.is_squeezed else packet
        codes = unpack(data, int(np.prod(self.shape)), self.grid)
        return codes.astype(np.uint8).reshape(self.shape)


@dataclass(frozen=True)
class Coded:
    """The feature codec, against earlier frames or not."""

    codec: FeatureCodec
    is_inter: bool

    def encode(self, frame: Planes, previous: Planes | None = None) -> bytes:
        return self.codec.encode(frame, previous if self.is_inter else None)

    def decode(self, packet: bytes, previous: Planes | None = None) -> Planes:
        return self.codec.decode(packet, previous if self.is_inter else None)


def _zstandard() -> Any:
    import zstandard

    return zstandard


def schemes(split: Split, recording: Recording) -> dict[str, Ladder]:
    """Return the ways to code, each as a ladder of one row, with sizes from the recording."""
    shape = recording.codes.shape[1:]
    grid = Grid(split.bit_width, signed=False)
    half = len(recording.codes) // 2
    codec = FeatureCodec.fit(
        recording.codes[:half], split.bit_width, starts=recording.starts[:half], profiles=["rans"]
    )
    codecs: dict[str, Codec] = {
        "fp32": Plain(shape),
        "packed": Packed(shape, grid),
        "zstd": Packed(shape, grid, is_squeezed=True),
        "rans-intra": Coded(codec, is_inter=False),
        "rans-inter": Coded(codec, is_inter=True),
    }
    return {name: _one_row(split, one, recording.codes[half:]) for name, one in codecs.items()}


def _one_row(split: Split, codec: Codec, frames: Planes) -> Ladder:
    chosen = range(1, len(frames), max(1, len(frames) // 100))
    sizes = [len(codec.encode(frames[i], frames[i - 1])) for i in chosen]
    point = Point(split.bit_width, split.shape[-1])
    row = Row(point, codec, float(np.mean(sizes)), int(np.percentile(sizes, 95)))
    return Ladder(split.shape, split.bit_width, tuple(range(split.shape[-1])), (row,))


@dataclass
class Hold:
    """The fall-back that goes on with the last command."""

    command: NDArray[np.float64]

    def encode(self, observation: NDArray[Any]) -> NDArray[np.uint8]:
        return np.zeros(0, np.uint8)

    def infer(self, counts: NDArray[np.uint8]) -> NDArray[np.float64]:
        return self.command


@dataclass
class Played:
    """What came of the episodes of one cell."""

    returns: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    bytes_per_packet: float = 0.0

    def __str__(self) -> str:
        error = np.std(self.returns) / np.sqrt(len(self.returns))
        told = f"{np.mean(self.returns):.1f} ± {error:.1f}"
        if not self.bytes_per_packet:
            return told
        return f"{told} ({self.bytes_per_packet:.0f} B, {np.median(self.ages_ms):.0f} ms)"


@dataclass(frozen=True)
class Scene:
    """What all cells have in common."""

    folder: RunFolder
    split: Split
    episodes: int
    seed: int

    def world(self) -> TaskWorld:
        (task,) = make_tasks(self.folder.config(), 1)
        return TaskWorld(task, self.seed, evaluation_seed)  # the episodes of docs/results.md

    def undisturbed(self) -> Played:
        """The policy at no distance."""
        world, played = self.world(), Played()
        actions = ActionTable(world.vectors)
        edge, server = (load_backend("emulator") for _ in range(2))
        edge.load(self.split.edge)
        server.load(self.split.server)
        while len(world.episodes) < self.episodes:
            x = self.split.edge.encode(world.observe())[None]
            readout = server.infer(self.split.counts(edge.infer(x).readout)).readout
            world.act(actions.command(greedy(readout)[0]))
        played.returns = [episode.episode_return for episode in world.episodes]
        world.close()
        return played

    def over(self, ladder: Ladder, kbit_per_s: float) -> Played:
        """The policy across a link."""
        world, clock, played = self.world(), SimulatedClock(), Played()
        actions = ActionTable(world.vectors)
        chip = load_backend("emulator")
        chip.load(self.split.server)
        infer = chip.infer
        server = Server(ladder, lambda x: infer(x).readout, IDENTITY, b"", ServerLimits())
        trace = LinkTrace((Phase(kbit_per_s=kbit_per_s, delay_ms=ROUND_TRIP_MS / 2),))
        ways = LinkModel(trace, 2 * self.seed), LinkModel(trace, 2 * self.seed + 1)
        period_ns = round(1e9 / (world.rate_hz or DEFAULT_RATE_HZ))
        wait_ms = 0.7e-6 * period_ns
        times = LinkTimes(1e9 / period_ns, DEADLINE_MS, wait_ms)
        session = Session(ladder, IDENTITY, int(np.prod(self.split.server.action_layout)))
        way = SimulatedTransport(server, clock, ways, window_ms=0.0, work_ms=0.0)
        rest = Hold(np.zeros(world.vectors.shape[-1]))
        link = Link(clock, way, session, ladder, times)
        policy = SplitPolicy(self.split, load_backend("emulator"), actions, link, rest)
        slot, due_ns, done = 0, 0, 0
        while len(world.episodes) < self.episodes:
            if len(world.episodes) > done:
                done, due_ns = len(world.episodes), due_ns + PAUSE_NS
                rest.command = np.zeros_like(rest.command)
            clock.sleep_until(due_ns)
            policy.see(Frame(world.observe(), clock.now_ns(), slot))
            rest.command = policy.infer(policy.encode(world.observe()))
            played.ages_ms.append((clock.now_ns() - policy._answered.time_ns) / 1e6)
            world.act(rest.command)
            slot, due_ns = slot + 1, due_ns + period_ns
        frames = sum(count for row, count in policy.rows.items() if row.isdecimal())
        played.bytes_per_packet = policy.sent_bytes / frames + 28
        played.returns = [episode.episode_return for episode in world.episodes]
        world.close()
        return played


def main() -> None:
    """Print the table that the command line asks for."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("run", type=Path)
    words.add_argument("--layer", type=int, default=2)
    words.add_argument("--kbit", type=float, nargs="+", default=[150.0, 300.0, 1000.0])
    words.add_argument("--episodes", type=int, default=20)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--row-episodes", type=int, default=4, help="to order the ladder by")
    words.add_argument("--schemes", nargs="+")
    asked = words.parse_args()
    folder = RunFolder.open(asked.run)
    _, program = load_program(folder, None)
    scene = Scene(folder, cut(program, asked.layer), asked.episodes, asked.seed)
    recording = record_features(folder, asked.layer, episodes=4, seed=asked.seed)
    found: dict[str, Ladder] = schemes(scene.split, recording)
    if not asked.schemes or "ladder" in asked.schemes:
        plan = LadderPlan(episodes=4, row_episodes=asked.row_episodes, seed=asked.seed)
        found["ladder"] = fit_split(folder, asked.layer, plan).ladder
    _print(scene, {n: x for n, x in found.items() if n in (asked.schemes or found)}, asked.kbit)


def _print(scene: Scene, found: dict[str, Ladder], kbit: Sequence[float]) -> None:
    say = _say
    say(f"undisturbed: {scene.undisturbed()}, {scene.episodes} episodes")
    say("| coded | " + " | ".join(f"{k:g} kbit/s" for k in kbit) + " |")
    say("|---|" + "---|" * len(kbit))
    for name, ladder in found.items():
        say(f"| {name} | " + " | ".join(str(scene.over(ladder, k)) for k in kbit) + " |")


def _say(text: str) -> None:
    import sys

    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
