"""What is seen of a run while it runs: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from rivc.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.progress import Progress

    from rivc.compare.pool import State

LINES: Final = 20  # at most about so many in a run


class Display(Protocol):
    """Shows the records of a run."""

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Show one record."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def open_display(env_steps: int) -> Display:
    """Return the display that suits stderr, for a run of so many env steps."""
    return Bar(env_steps) if sys.stderr.isatty() else Lines(env_steps)


def describe(record: Mapping[str, Any]) -> str:
    """Return a record in a few words: return, action gap, agreement, what is priced, and speed."""
    value = record.get("eval_return", record.get("episode_return"))
    parts = [
        f"return {value:.1f}" if value is not None else "",
        f"gap {record['action_gap']:.3g}" if record.get("action_gap") is not None else "",
        f"agree {record['action_agreement']:.1%}" if "action_agreement" in record else "",
        f"{record['inter_bits']:.0f} bits/frame" if record.get("inter_bits") else "",
        f"{record['bits_per_weight']:.2f} bits/weight" if record.get("bits_per_weight") else "",
        f"{record['env_steps_per_s']:,.0f} steps/s" if record.get("env_steps_per_s") else "",
    ]
    return "  ".join(filter(None, parts))


class Lines:
    """Plain lines, few enough for a log."""

    def __init__(self, env_steps: int) -> None:
        self.env_steps, self._shown = env_steps, -1

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Show one record in every few."""
        share = LINES * record["env_steps"] // self.env_steps
        if share > self._shown:
            self._shown = share
            done = min(record["env_steps"], self.env_steps)  # the last round may go a little beyond
            note(f"{done:>11,} / {self.env_steps:,}  {describe(record)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Bar:
    """A progress bar in env steps."""

    def __init__(self, env_steps: int) -> None:
        self.env_steps = env_steps
        self._progress = _progress()
        self._task = self._progress.add_task("", total=None, state="warming up", left="")
        self._first: tuple[float, int] | None = None

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Move the bar."""
        now, env_steps = time.monotonic(), min(record["env_steps"], self.env_steps)
        self._first = self._first or (now, env_steps)
        self._progress.update(
            self._task,
            total=self.env_steps,
            completed=env_steps,
            state=f"{env_steps:,}/{self.env_steps:,}  {describe(record)}",
            left=self._time_left(now, env_steps),
        )

    def _time_left(self, now: float, env_steps: int) -> str:
        """Of this very process: a resumed run did not make its first steps here."""
        then, before = self._first or (now, env_steps)
        if env_steps <= before:
            return ""
        return time_left((now - then) * (self.env_steps - env_steps) / (env_steps - before))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def time_left(seconds: float) -> str:
    """Return a time as people read it.

    >>> time_left(75), time_left(7530)
    ('1:15 left', '2:05:30 left')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    return Progress(
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
        TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        console=Console(stderr=True),
        expand=True,
        refresh_per_second=4,
    )


@contextmanager
def trial_display(env_steps: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Show how far a trial of so many env steps is, on a terminal only: a log gets its result."""
    if not sys.stderr.isatty():
        yield lambda record: None
        return
    with Bar(env_steps) as bar:
        yield bar


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is being done, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextmanager
def frame_counter() -> Iterator[Callable[[int], None]]:
    """Show how many frames of a film are drawn, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console

    with Console(stderr=True).status("filming") as status:
        yield lambda count: status.update(f"filming: {count} frames")


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar that moves by one each time it is told of something done, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    with _progress() as progress:
        task = progress.add_task("", total=total, state=what, left="")
        yield lambda done: progress.update(task, advance=1, state=f"{what}: {done}")


@contextmanager
def suite_display(jobs: int) -> Iterator[Callable[[State], None]]:
    """Show how far a suite is: a bar on a terminal, a line for each job that ends elsewhere."""

    def words(state: State) -> tuple[str, str]:
        seconds = state.seconds_left()
        failed = f", {state.failed} failed" if state.failed else ""
        left = "" if seconds is None else time_left(seconds)
        return f"{state.done:,}/{jobs:,} jobs{failed}, {len(state.started)} running", left

    shown: set[tuple[int, int]] = set()

    def tell(state: State) -> None:
        if (state.done, state.failed) not in shown:
            shown.add((state.done, state.failed))
            note("  ".join(words(state)).rstrip())

    if not sys.stderr.isatty():
        yield tell
        return
    with _progress() as progress:
        task = progress.add_task("", total=jobs, state="starting", left="")

        def draw(state: State) -> None:
            text, left = words(state)
            progress.update(task, completed=state.done, state=text, left=left)

        yield draw
