"""Every seed counts: the learning figures, hours of training in all."""

from __future__ import annotations

import pytest

from tests.learning.figures import FIGURES, reach


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_enough_seeds_reach_the_bar(name: str) -> None:
    figure = FIGURES[name]
    reached = [result[figure.metric] for result in reach(name)]
    assert sum(value >= figure.bar for value in reached) >= figure.enough, reached


@pytest.mark.slow
def test_two_bits_trained_in_integers_beat_two_bits_converted_afterwards_by_a_hundred() -> None:
    trained, converted = (
        [result["return_mean"] for result in reach(name)]
        for name in ("tracker-2bit", "tracker-2bit-neither")
    )
    assert all(ours >= theirs + 100 for ours, theirs in zip(trained, converted, strict=True))
