"""Two ways to do the same work, timed in turn."""

from __future__ import annotations

from time import sleep

import pytest

from rivc.bench import BENCHES, run_bench
from rivc.bench.timing import CALLS, race, versions
from rivc.errors import MissingError


def test_the_slower_one_is_found() -> None:
    result = race("sleep", "peer", lambda _: sleep(1e-5), lambda _: sleep(1e-3), rounds=5)
    assert result.peer_us > 1000 > result.ours_us
    assert result.quartiles[0] <= result.ratio <= result.quartiles[1]


def test_both_are_given_the_same_numbers_in_turn() -> None:
    seen: list[tuple[str, int]] = []
    race("x", "y", lambda i: seen.append(("ours", i)), lambda i: seen.append(("peer", i)), rounds=1)
    rounds = [range(CALLS), range(CALLS, 2 * CALLS)]
    assert seen == [(who, i) for calls in rounds for who in ("ours", "peer") for i in calls]


def test_versions_name_what_took_part() -> None:
    assert list(versions("torch")) == ["python", "rivc", "numpy", "torch", "machine"]


def test_an_unknown_bench_names_the_nearest() -> None:
    with pytest.raises(MissingError, match="did you mean 'c99'"):
        run_bench("c9")


def test_every_bench_has_a_module_of_its_own() -> None:
    assert all(bench.module == f"rivc.bench.{name}" for name, bench in BENCHES.items())
