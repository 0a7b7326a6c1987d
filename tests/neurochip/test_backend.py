"""What every chip owes, whichever it is: the integers of the definition, and clear refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivc.errors import BackendError, ChipLimitError, QuantError
from rivc.neurochip import Backend, Violation, load_backend
from rivc.neurochip.backend import require_fit
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.programs import conv_program, dense_program, random_counts
from tests.spikes import assert_spikes
from tests.strategies import counts_for, programs


def assert_equals_the_definition(
    chip: Backend, program: SpikingProgram, counts: np.ndarray
) -> None:
    chip.load(program)
    result = chip.infer(counts)
    np.testing.assert_array_equal(result.readout, reference.run(program, counts))
    assert_spikes(result.spike_counts, program, counts, getattr(chip, "schedule", "synchronous"))
    assert result.readout.dtype == result.spike_counts.dtype == np.int64


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=programs(), data=st.data())
def test_every_chip_gives_the_integers_and_spikes_of_the_definition(
    chip: Backend, program: SpikingProgram, data: st.DataObject
) -> None:
    assert_equals_the_definition(chip, program, data.draw(counts_for(program)))


def test_a_chip_of_one_batch_equals_a_chip_of_many(chip: Backend, program: SpikingProgram) -> None:
    counts = random_counts(program, np.random.default_rng(2), 33)
    chip.load(program)
    whole = chip.infer(counts)
    for b in range(len(counts)):
        one = chip.infer(counts[b : b + 1])
        np.testing.assert_array_equal(one.readout[0], whole.readout[b])
        np.testing.assert_array_equal(one.spike_counts[:, 0], whole.spike_counts[:, b])


def test_a_chip_holds_the_last_program_it_was_given(chip: Backend) -> None:
    for program in (conv_program(), dense_program(), conv_program(seed=9)):
        assert_equals_the_definition(
            chip, program, random_counts(program, np.random.default_rng(0), 5)
        )


def test_running_leaves_the_counts_as_they_were(chip: Backend, program: SpikingProgram) -> None:
    counts = random_counts(program, np.random.default_rng(0), 5)
    before = counts.copy()
    chip.load(program)
    chip.infer(counts)
    np.testing.assert_array_equal(counts, before)


def test_counts_may_be_a_view_in_any_memory_order(chip: Backend) -> None:
    program = conv_program()
    counts = random_counts(program, np.random.default_rng(0), 8)
    chip.load(program)
    expected = chip.infer(counts[::2]).readout
    strided = np.asfortranarray(counts)[::2]
    np.testing.assert_array_equal(chip.infer(strided).readout, expected)


def test_an_empty_batch_gives_an_empty_result(chip: Backend, program: SpikingProgram) -> None:
    chip.load(program)
    result = chip.infer(np.zeros((0, *program.encoding.shape), np.uint8))
    assert result.readout.shape == (0, *program.action_layout)
    assert result.spike_counts.shape == (sum(q.levels > 0 for q in program.layers), 0)


def test_spike_totals_beyond_24_bits_are_exact(chip: Backend) -> None:
    """A float32 total would have to be even there."""
    filters, side = 16, 66
    conv = Layer(
        "conv2d",
        np.ones((filters, 1, 1, 1), np.int8),
        np.zeros(filters, np.int32),
        np.array([3] + [2] * (filters - 1), np.int32),
        weight_bits=2,
        frac_bits=1,
        levels=255,
    )
    pool = Layer("maxpool2d", kernel=side, stride=side)
    last = Layer("dense", np.ones((1, filters), np.int8), np.zeros(1, np.int32), weight_bits=2)
    layers = (conv, pool, Layer("flatten"), last)
    program = SpikingProgram(InputEncoding.image((side, side, 1)), layers, 1.0, (1, 1), "ideal")
    counts = np.random.default_rng(1).integers(253, 256, (1, side, side, 1)).astype(np.uint8)
    total = reference.trace(program, counts)[0].sum()
    assert total > 1 << 24
    assert total % 2 == 1
    assert_equals_the_definition(chip, program, counts)


def test_a_program_beyond_the_chip_s_limits_is_not_loaded(
    chip: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(type(chip).limits, membrane_bits=8)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(chip), "limits", limits)
    assert chip.check(conv_program())
    with pytest.raises(ChipLimitError, match="layer 0: a membrane of"):
        chip.load(conv_program())


def test_a_chip_without_a_program_says_so(chip: Backend) -> None:
    with pytest.raises(BackendError, match=r"load\(program\)"):
        chip.infer(np.zeros((1, 6), np.uint8))


def test_closing_twice_is_harmless_and_unloads(chip: Backend) -> None:
    chip.load(dense_program())
    chip.close()
    chip.close()
    with pytest.raises(BackendError):
        chip.infer(np.zeros((1, 6), np.uint8))


@pytest.mark.parametrize(
    "counts",
    [np.zeros((2, 6)), np.zeros((2, 5), np.uint8), np.full((1, 6), 16, np.uint8)],
    ids=["float", "shape", "range"],
)
def test_counts_that_the_program_cannot_take_are_refused(chip: Backend, counts: np.ndarray) -> None:
    chip.load(dense_program())
    with pytest.raises(QuantError):
        chip.infer(counts)


def test_a_chip_follows_the_protocol(chip: Backend) -> None:
    assert isinstance(chip, Backend)
    assert chip.profile == "ideal"
    assert chip.check(conv_program()) == []


def test_a_violation_reads_as_place_value_and_remedy() -> None:
    assert str(Violation(2, "9 levels, at most 3", "lower it")) == (
        "layer 2: 9 levels, at most 3; lower it"
    )
    assert str(Violation(-1, "too big", "shrink it")) == "program: too big; shrink it"


def test_require_fit_names_every_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = load_backend("emulator")
    found = [Violation(0, "a", "b"), Violation(1, "c", "d")]
    monkeypatch.setattr(chip, "check", lambda _: found)
    with pytest.raises(ChipLimitError, match=r"emulator: layer 0: a; b \| layer 1: c; d"):
        require_fit(chip, dense_program())
