"""The spiking chip: its options, its limits, and what it says when it errs on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rivc.errors import ChipLimitError, ConfigError
from rivc.neurochip import load_backend
from rivc.neurochip.backend import is_exact
from rivc.neurochip.spiking import Spiking
from rivc.snn_convert.lossy import Lossy
from rivc.snn_convert.schedules import run
from tests.programs import conv_program, random_counts, wide_program


def test_options_are_the_schedule_and_the_losses() -> None:
    chip = load_backend("spiking", schedule="radix", dropped_spikes=0.01, seed=4)
    assert isinstance(chip, Spiking)
    assert (chip.schedule, chip.lossy) == ("radix", Lossy(dropped_spikes=0.01, seed=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropped_spike": 0.01}, "no option 'dropped_spike'; .*did you mean 'dropped_spikes'"),
        ({"shedule": "radix"}, "did you mean 'schedule'"),
        ({"schedule": "sinchronous"}, "did you mean 'synchronous'"),
        ({"schedule": 3}, "unknown schedule 3"),
        ({"membrane_bits": "wide"}, "membrane_bits must be a whole number"),
    ],
)
def test_wrong_options_name_the_nearest(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_backend("spiking", **options)


def test_a_chip_is_exact_unless_it_says_otherwise() -> None:
    assert is_exact(load_backend("emulator"))
    assert is_exact(load_backend("spiking", schedule="signed", seed=3))
    assert not is_exact(load_backend("spiking", membrane_noise=0.1))


@pytest.mark.parametrize("schedule", ["synchronous", "signed", "radix", "gated"])
def test_a_lossy_chip_gives_what_the_lossy_run_gives(schedule: str) -> None:
    program, losses = conv_program(), {"dropped_spikes": 0.2, "weight_noise": 0.3}
    counts = random_counts(program, np.random.default_rng(0), 7)
    chip = load_backend("spiking", schedule=schedule, **losses)
    chip.load(program)
    expected = run(program, counts, schedule, lossy=Lossy(**losses))
    for _ in range(2):
        result = chip.infer(counts)
        np.testing.assert_array_equal(result.readout, expected.readout)
        np.testing.assert_array_equal(result.spike_counts, expected.spike_counts)


def test_losses_that_its_registers_cannot_hold_are_violations_of_a_layer() -> None:
    chip = load_backend("spiking", streaming=4093, weight_noise=1.0)
    assert chip.check(conv_program()) == []
    assert load_backend("spiking").check(wide_program()) == []
    (violation,) = chip.check(wide_program())
    assert violation.layer == 0
    with pytest.raises(ChipLimitError, match=r"a membrane of \d+ bits, it holds 64; use fewer"):
        chip.load(wide_program())
