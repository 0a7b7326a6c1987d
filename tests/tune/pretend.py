"""Trainers that only pretend to train."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from rivc.train import Config, Trainer
from rivc.train.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest


TINY: dict[str, Any] = {
    "net.hidden": [8],
    "train.env_steps": 120,
    "train.warmup_env_steps": 40,
    "eval.every_env_steps": 40,
    "eval.episodes": 1,
    "log.every_env_steps": 40,
    "checkpoint.every_env_steps": 40,
    "audit.states": 2,
}


class Pretender:
    """A trainer that only records returns, one for each evaluation."""

    returns: ClassVar[list[float]] = [1.0, 2.0, 3.0]
    session = SimpleNamespace(progress=SimpleNamespace(finished=True))

    def __init__(self, run: Path) -> None:
        self.folder, self.observers, self.stop_requested = RunFolder(run), [], False

    @classmethod
    @contextmanager
    def returning(cls, returns: list[float]) -> Iterator[None]:
        """Return something else for a while."""
        cls.returns, before = returns, cls.returns
        try:
            yield
        finally:
            cls.returns = before

    def run(self) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        for i, value in enumerate(self.returns):
            for observe in self.observers:
                observe({"env_steps": 40 * (i + 1), "eval_return": value})
            if self.stop_requested:
                return


class Follower(Pretender):
    """Its returns follow from the settings."""

    def __init__(self, config: Config, run: Path) -> None:
        super().__init__(run)
        best = 1_000 * config.train.learning_rate + config.train.batch_size / len(config.net.hidden)
        self.returns = [best / 3, best / 2, best]


def stand_in(monkeypatch: pytest.MonkeyPatch, make: Callable[[Config, Path], Any]) -> None:
    """Let something else than a trainer train."""
    monkeypatch.setattr(Trainer, "begin_or_resume", staticmethod(make))
