"""What the tail wins back, on every seed whose run is there."""

from __future__ import annotations

import pytest

from tests.learning.figures import RUNS
from tests.learning.split_figures import BAR, FIGURES, measure


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_tail_that_goes_on_learning_keeps_the_return(name: str) -> None:
    figure = FIGURES[name]
    seeds = [i for i in range(figure.seeds) if (RUNS / f"{figure.run}-seed{i}").exists()]
    if not seeds:
        pytest.skip(f"no runs of {figure.run}; `python -m tests.learning.figures` makes them")
    recovered = [measure(name, seed)["recovered"] for seed in seeds]
    assert min(recovered) >= BAR, recovered
