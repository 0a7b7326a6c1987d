"""Random programs through every form that there is: not one integer may differ."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest

from rivc.neurochip import backend_infos, load_backend
from rivc.neurochip.compare import compare
from rivc.snn_convert import reference
from rivc.snn_convert.schedules import SCHEDULES
from tests.emulators import WAYS, Chip
from tests.programs import random_counts
from tests.random_programs import KINDS, WIDTHS, random_program

if TYPE_CHECKING:
    from rivc.neurochip import Backend


EMULATORS = {"emulator", *(f"emulator, {way}" for way in WAYS)}


def every_chip() -> dict[str, Backend]:
    """Every installed back end, the spiking one once for each schedule."""
    chips = {
        info.name: load_backend(info.name)
        for info in backend_infos()
        if info.is_installed and info.name != "spiking"
    }
    chips |= {f"emulator, {way}": Chip(way) for way in WAYS}
    spiking = {name: load_backend("spiking", schedule=name) for name in SCHEDULES}
    return chips | spiking


def different_states(programs: int, states: int) -> dict[str, np.ndarray]:
    """Count programs, states and different states of every chip; 100 states where L = 255."""
    rng, chips = np.random.default_rng(2026), every_chip()
    totals = {name: np.zeros(3, np.int64) for name in chips}
    for i in range(programs):
        bits = WIDTHS[i // len(KINDS) % len(WIDTHS)]
        program = random_program(rng, KINDS[i % len(KINDS)], bits)
        counts = random_counts(program, rng, min(states, 100) if bits == 8 else states)
        expected = reference.run(program, counts)
        for name, chip in chips.items():
            if chip.check(program):
                continue
            chip.load(program)
            result = compare(chip.infer(counts).readout, expected)
            totals[name] += (1, result.states, result.mismatches)
    return totals


def test_a_few_programs_of_every_kind_and_width_are_equal_in_every_form() -> None:
    totals = different_states(len(KINDS) * len(WIDTHS), 16)
    assert {different for _, _, different in totals.values()} == {0}
    assert {totals[name][0] for name in EMULATORS | set(SCHEDULES)} == {len(KINDS) * len(WIDTHS)}


@pytest.mark.slow
def test_200_programs_with_1000_inputs_are_equal_in_every_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = time.monotonic()
    totals = different_states(200, 1000)
    with capsys.disabled():
        for name, (programs, states, different) in totals.items():
            click.echo(f"\n{name}: {programs} programs, {states:,} states, {different} different")
        click.echo(f"{(time.monotonic() - start) / 60:.1f} minutes")
    assert {different for _, _, different in totals.values()} == {0}
    assert {totals[name][0] for name in EMULATORS | set(SCHEDULES)} == {200}
