"""When updates are due."""

from __future__ import annotations

import pytest

from rivc.train import load_config
from rivc.train.loop import updates_due
from rivc.train.session import Progress


@pytest.mark.parametrize(
    ("env_steps", "refill", "due"), [(0, 0, 0), (63, 0, 0), (64, 0, 0), (70, 0, 1), (104, 32, 2)]
)
def test_updates_are_due_for_env_steps_behind_the_warm_up(
    env_steps: int, refill: int, due: int
) -> None:
    """One saved before its end may go on with a shorter one, so none is owed there either."""
    config = load_config(
        "quickstart", {"train.warmup_env_steps": 64, "train.updates_per_env_step": 0.25}
    )
    assert updates_due(config, Progress(env_steps=env_steps, refill_env_steps=refill)) == due
