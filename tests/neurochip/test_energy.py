"""Energy: sums of counted operations and constants, each labelled for what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.neurochip.cost import Cost, ProgramCost, measure_cost
from rivc.neurochip.energy import CONSTANTS, PAPER, modelled
from tests.programs import dense_program, random_counts

if TYPE_CHECKING:
    import numpy as np

    from rivc.snn_convert import SpikingProgram


def rows(program: SpikingProgram, cost: ProgramCost) -> dict[tuple[str, str], float]:
    return {(e.name, e.covers): e.energy or 0.0 for e in modelled(program, cost)}


def test_a_model_is_labelled_and_brings_its_constants(
    program: SpikingProgram, rng: np.random.Generator
) -> None:
    for estimate in modelled(program, measure_cost(program, random_counts(program, rng, 4))):
        assert estimate.kind == "modelled"
        assert estimate.covers
        assert estimate.node.endswith("nm")
        assert estimate.spread is None
        assert estimate.constants
        for constant in estimate.constants:
            assert constant == CONSTANTS[constant.name]
            assert constant.source


def test_what_we_scaled_or_assumed_says_so() -> None:
    ours = {name for name, row in CONSTANTS.items() if row.basis.endswith("by us")}
    assert ours == {
        "multiply, a bit of weight and of count",
        "fp32 MACs a cycle",
        "share of that at batch 1",
    }


def test_energies_are_counts_times_constants() -> None:
    program = dense_program()  # weights and counts of 4 bits in both layers
    hidden = Cost("dense", macs=10, acs=3, dense=100, membrane_updates=5, spikes=7,
                  spike_operations=40, weight_traffic=8)  # fmt: skip
    found = rows(program, ProgramCost((hidden, Cost("dense")), 1))
    small = 1e-12 * (10 * (0.2 / 4 + 0.1) + 3 * 0.1 + 5 * 2 * 0.1 + 8 * 1.25)
    assert found["event-driven integers", "arithmetic and memory"] == pytest.approx(small)
    spikes = 1e-12 * (40 * 23.6 + 5 * (15 + 1) * 52 + 7 * (81 - 52))
    assert found["Loihi, per operation, 16 ticks", "arithmetic and memory"] == pytest.approx(spikes)
    floats = 1e-12 * 100 * (3.7 + 0.9 + 4 * 1.25)
    assert found["the same network in fp32", "arithmetic and memory"] == pytest.approx(floats)
    seconds, above_idle = 100 / (1.5e9 * 4 * 0.25), (6.4 - 2.1) / 4
    pi = "the same network in fp32, Cortex-A72"
    assert found[pi, "one core above idle"] == pytest.approx(above_idle * seconds)
    assert found[pi, "board, one core busy"] == pytest.approx((2.1 + above_idle) * seconds)


def test_only_processors_have_a_modelled_time() -> None:
    cost = ProgramCost((Cost("dense", dense=75), Cost("dense", dense=25)), 1)
    times = {(e.name, e.covers): e.latency for e in modelled(dense_program(), cost)}
    pi = {key: time for key, time in times.items() if key[0].endswith("Cortex-A72")}
    assert list(pi.values()) == [pytest.approx(100 / 1.5e9)] * 2
    assert {time for key, time in times.items() if key not in pi} == {None}


def test_no_operation_costs_nothing_but_the_ticks() -> None:
    program = dense_program()
    found = rows(program, ProgramCost((Cost("dense"), Cost("dense")), 1))
    assert set(found.values()) == {0.0}


def test_the_paper_is_no_estimate() -> None:
    assert (PAPER.power_ratio, PAPER.speed_ratio) == (1 / 15, 5.0)
    assert "measured by its authors" in PAPER.source
