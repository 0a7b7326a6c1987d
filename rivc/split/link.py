"""A poor link as a function: from the time and the size of a packet to the times it arrives.

A packet waits until those before it are through, takes its size over the bandwidth of the moment,
and then the delay. It may be lost (in bursts, as Gilbert and Elliott have it), come twice, or be
overtaken. Everything is drawn from one seed.
"""

from __future__ import annotations

import csv
import io
import math
from bisect import bisect_right
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import ConfigError, MissingError
from rivc.robot.clock import MILLISECOND_NS, SECOND_NS
from rivc.snn_convert.storage import MAX_TEXT, UNREADABLE, read_plain, reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OVERHEAD: Final = 28  # bytes of IP and UDP
MAX_PHASES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Phase:
    """What a link is like from a time on.

    Attributes:
        seconds: from the start.
        kbit_per_s: bandwidth, at least 0.001; 0 is an outage, in which everything is lost, `inf`
            no bound.
        delay_ms: from end to end.
        jitter_ms: up to so much more, evenly spread.
        loss: share of packets that are lost, at most burst / (burst + 1): between two bursts at
            least one arrives.
        burst: packets that are lost in a row, on average.
        reorder: share of packets that are held back by 20 ms more.
        duplicate: share of packets that come twice.

    Raises:
        ConfigError: if a value is out of range.
    """

    seconds: float = 0.0
    kbit_per_s: float = math.inf
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    reorder: float = 0.0
    duplicate: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"link: {name}={value} is not in {low:g}..{high:g}")
        if 0 < self.kbit_per_s < LEAST_KBIT_PER_S:
            raise ConfigError(
                f"link: kbit_per_s={self.kbit_per_s} is neither 0 nor at least {LEAST_KBIT_PER_S}"
            )
        least = round(self.loss / (1 - self.loss), 6)
        if self.burst < least:
            told = math.ceil(1000 * least) / 1000
            raise ConfigError(
                f"link: loss={self.loss} needs a burst of at least {told:g}, not {self.burst:g}"
            )


_RANGES: Final = {
    "seconds": (0, 1e7),
    "kbit_per_s": (0, math.inf),
    "delay_ms": (0, 60_000),
    "jitter_ms": (0, 60_000),
    "loss": (0, 0.99),
    "burst": (1, 1e6),
    "reorder": (0, 1),
    "duplicate": (0, 1),
}
HELD_BACK_MS: Final = 20.0
LEAST_KBIT_PER_S: Final = 1e-3  # a byte in 8 s


@dataclass(frozen=True)
class LinkTrace:
    r"""What a link is like over time; the last phase lasts.

    Attributes:
        phases: in order of time, the first from 0.

    Raises:
        ConfigError: if there is none, or they are out of order.

    Example:
        >>> trace = parse_trace("seconds,kbit_per_s,delay_ms\n0,150,4\n60,0,4\n65,150,4")
        >>> trace.at(61 * SECOND_NS).kbit_per_s
        0.0
    """

    phases: tuple[Phase, ...] = (Phase(),)

    def __post_init__(self) -> None:
        if not 1 <= len(self.phases) <= MAX_PHASES or self._starts != sorted(set(self._starts)):
            raise ConfigError(f"a link trace has 1..{MAX_PHASES} rows, each later than the last")
        if self._starts[0]:
            raise ConfigError("a link trace starts at 0 seconds")

    @cached_property
    def _starts(self) -> list[int]:
        return [round(phase.seconds * SECOND_NS) for phase in self.phases]

    def at(self, time_ns: int) -> Phase:
        """Return what the link is like at a time."""
        return self.phases[max(0, bisect_right(self._starts, time_ns) - 1)]

    def passed_ns(self, size: int, start_ns: int) -> int | None:
        """Return when so many bytes are through that start at a time; None in an outage."""
        time_ns, bits = start_ns, 8.0 * size
        for i in range(max(0, bisect_right(self._starts, time_ns) - 1), len(self.phases)):
            rate = self.phases[i].kbit_per_s
            if not rate:
                return None
            end_ns = self._starts[i + 1] if i + 1 < len(self.phases) else math.inf
            takes_ns = bits / rate * 1e6
            if time_ns + takes_ns <= end_ns:
                return time_ns + round(takes_ns)
            bits -= (end_ns - time_ns) * rate / 1e6
            time_ns = int(end_ns)
        return None


def load_trace(path: Path) -> LinkTrace:
    """Read a trace from a CSV file whose columns are attributes of `Phase`.

    Raises:
        MissingError: if there is no such file.
        ConfigError: if it holds anything else.
    """
    if not path.exists():
        raise MissingError(f"no link trace at {path}")
    try:
        return parse_trace(read_plain(path, MAX_TEXT).decode())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except UNREADABLE as error:
        raise ConfigError(f"{path} is no link trace: {reason(error)}") from error


def parse_trace(text: str) -> LinkTrace:
    """Return the trace of a CSV text.

    Raises:
        ConfigError: if a column is unknown or a value wrong.
    """
    rows = csv.DictReader(io.StringIO(text))
    known = [field.name for field in fields(Phase)]
    try:
        unknown = [name for name in rows.fieldnames or ["nothing"] if name not in known]
        if unknown:
            raise ConfigError(f"unknown column {unknown[0]!r}; the columns are {', '.join(known)}")
        return LinkTrace(tuple(_phases(rows)))
    except csv.Error as error:
        raise ConfigError(f"line {rows.line_num + 1}: {reason(error)}") from error


def _phases(rows: csv.DictReader[str]) -> Iterator[Phase]:
    for row in rows:
        try:
            yield Phase(**{name: float(value) for name, value in row.items() if value})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"line {rows.line_num}: {reason(error)}") from error


class LinkModel:
    """One direction of a link.

    Args:
        trace: what it is like.
        seed: of what is drawn.
        queue_ms: a packet that would wait longer for those before it is dropped.

    Attributes:
        lost: packets that never arrive, dropped ones included.

    Example:
        >>> model = LinkModel(LinkTrace((Phase(kbit_per_s=80, delay_ms=4),)))
        >>> [time_ns // MILLISECOND_NS for time_ns in model.arrivals(72, now_ns=0)]
        [14]
    """

    def __init__(self, trace: LinkTrace, seed: int = 0, queue_ms: float = 1000.0) -> None:
        self._trace, self._queue_ns = trace, queue_ms * MILLISECOND_NS
        self._rng = np.random.default_rng(seed)
        self._free_ns, self._is_bad, self.lost = 0, False, 0

    def arrivals(self, size: int, now_ns: int) -> list[int]:
        """Return when a packet that is sent now arrives: never, once or twice."""
        phase, draws = self._trace.at(now_ns), self._rng.random(6).tolist()
        start_ns = max(now_ns, self._free_ns)
        passed_ns = None
        if start_ns - now_ns <= self._queue_ns:
            passed_ns = self._trace.passed_ns(size + OVERHEAD, start_ns)
        self._free_ns = passed_ns or self._free_ns
        if self._fades(phase, draws[0]) or passed_ns is None:
            self.lost += 1
            return []
        late_ms = phase.delay_ms + (HELD_BACK_MS if draws[1] < phase.reorder else 0)
        copies = 2 if draws[2] < phase.duplicate else 1
        return [
            passed_ns + round((late_ms + phase.jitter_ms * jitter) * MILLISECOND_NS)
            for jitter in draws[3 : 3 + copies]
        ]

    def _fades(self, phase: Phase, draw: float) -> bool:
        """Move between the good state and the bad one, in which everything is lost."""
        recover = 1 / phase.burst
        fade = phase.loss * recover / (1 - phase.loss)
        self._is_bad = draw >= recover if self._is_bad else draw < fade
        return self._is_bad
