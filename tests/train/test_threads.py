"""Learning takes one thread, and gives back what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from rivc.train import Trainer, load_config
from rivc.train.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TINY: dict[str, Any] = {
    "net.hidden": [8],
    "train.env_steps": 120,
    "train.warmup_env_steps": 40,
    "eval.episodes": 1,
}


def blas() -> set[int]:
    """Threads of every BLAS that numpy brought."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def many() -> Iterator[set[int]]:
    """Two threads for everything; gives what BLAS takes of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2, user_api="blas"):
        yield blas()
    torch.set_num_threads(before)


def test_one_thread_computes_and_the_others_come_back(many: set[int]) -> None:
    with one_thread():
        assert blas() == {1}
        assert torch.get_num_threads() == 1
    assert blas() == many
    assert torch.get_num_threads() == 2


def test_they_come_back_after_an_error(many: set[int]) -> None:
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert blas() == many
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("many")
def test_a_run_takes_one_thread(tmp_path: Path) -> None:
    seen = []
    config = load_config("quickstart", TINY)
    Trainer(config, tmp_path / "run", [lambda _: seen.append(blas())]).run()
    assert seen
    assert set.union(*seen) == {1}
