"""Spikes tick by tick: the integers of the definition, and what each schedule promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError, QuantError
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from rivc.snn_convert.schedules import SCHEDULES, run
from rivc.snn_convert.schedules.circuit import wire
from rivc.snn_convert.schedules.radix import digit_worths
from tests.programs import conv_program, dense_program, random_counts
from tests.spikes import assert_spikes, digits, fired, levels_of
from tests.strategies import counts_for, programs


@pytest.fixture(params=SCHEDULES)
def schedule(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(max_examples=60)
@given(program=programs(), data=st.data())
def test_every_schedule_gives_the_integers_of_the_definition(
    schedule: str, program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    done = run(program, counts, schedule, raster=True)
    np.testing.assert_array_equal(done.readout, reference.run(program, counts))
    np.testing.assert_array_equal(done.readouts[-1], done.readout)
    for got, expected in zip(done.counts, fired(program, counts, schedule), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert_spikes(done.spike_counts, program, counts, schedule)
    for raster, spikes in zip(done.rasters, done.spike_counts, strict=True):
        assert len(raster) == done.ticks.max()
        np.testing.assert_array_equal((raster != 0).sum(axis=(0, *range(2, raster.ndim))), spikes)


@settings(max_examples=60)
@given(program=programs(), data=st.data())
def test_a_layer_fires_a_thermometer_code_when_its_turn_has_come(
    program: SpikingProgram, data: st.DataObject
) -> None:
    """Without a gap from the first tick of its L ticks on, and in no other tick."""
    counts = data.draw(counts_for(program))
    done, opens = run(program, counts, "synchronous", raster=True), 0
    for raster, x, levels in zip(done.rasters, done.counts, levels_of(program), strict=True):
        tick = np.arange(len(raster)).reshape(-1, *[1] * x.ndim)
        np.testing.assert_array_equal(raster, (tick >= opens) & (tick < opens + x))
        opens += levels


@settings(max_examples=60)
@given(program=programs(), data=st.data())
def test_a_gated_chip_spikes_as_the_synchronous_one_without_being_told(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    gated = run(program, counts, "gated", raster=True)
    for ours, theirs in zip(
        gated.rasters, run(program, counts, "synchronous", raster=True).rasters, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60)
@given(program=programs(), data=st.data())
def test_latency_is_what_the_levels_say(program: SpikingProgram, data: st.DataObject) -> None:
    counts, levels = data.draw(counts_for(program)), levels_of(program)
    assert set(run(program, counts, "synchronous").ticks) == {sum(levels) + 1}
    assert set(run(program, counts, "gated").ticks) == {sum(levels) + 1}
    assert set(run(program, counts, "radix").ticks) == {sum(q.bit_length() for q in levels) + 1}
    assert run(program, counts, "signed").ticks.max() <= sum(levels) + 1


@settings(max_examples=100)
@given(program=programs(), data=st.data())
def test_the_first_silence_of_a_signed_chip_is_for_ever_and_proves_the_readout(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    done, expected = run(program, counts, "signed", raster=True), reference.run(program, counts)
    for b, ticks in enumerate(done.ticks):
        awake = np.zeros(len(done.readouts), bool)
        for raster in done.rasters:
            awake |= raster[:, b].reshape(len(raster), -1).any(1)
        assert awake[: ticks - 1].all()
        assert not awake[ticks - 1 :].any()
        assert (done.readouts[ticks - 1 :, b] == expected[b]).all()


@settings(max_examples=60)
@given(program=programs(), data=st.data())
def test_a_signed_neuron_never_takes_back_more_than_it_said(
    program: SpikingProgram, data: st.DataObject
) -> None:
    done = run(program, data.draw(counts_for(program)), "signed", raster=True)
    for raster, x, levels in zip(done.rasters, done.counts, levels_of(program), strict=True):
        said = raster.cumsum(0, dtype=np.int64)
        assert 0 <= said.min() <= said.max() <= levels
        np.testing.assert_array_equal(said[-1], x)


def test_a_signed_chip_takes_spikes_back_where_inhibition_comes_late() -> None:
    """Excitation of one spike at once, inhibition of two, the second of them a tick later."""
    first = Layer(
        "dense",
        np.array([[1], [2]], np.int8),
        np.zeros(2, np.int32),
        np.array([2, 2], np.int32),
        weight_bits=3,
        levels=3,
    )
    second = Layer(
        "dense",
        np.array([[3, -2]], np.int8),
        np.zeros(1, np.int32),
        np.array([2], np.int32),
        weight_bits=3,
        levels=3,
    )
    last = Layer("dense", np.ones((1, 1), np.int8), np.zeros(1, np.int32), weight_bits=2)
    encoding = InputEncoding("vector", (1,), 2, (0.0,), (1.0,))
    program = SpikingProgram(encoding, (first, second, last), 1.0, (1, 1), "ideal")
    done = run(program, np.array([[2]], np.uint8), "signed", raster=True)
    assert done.rasters[0][:, 0].tolist() == [[1, 1], [0, 1], [0, 0]]
    assert done.rasters[1].ravel().tolist() == [1, -1, 0]
    assert (done.ticks.tolist(), done.spike_counts.tolist()) == ([3], [[3], [2]])


@settings(max_examples=60)
@given(program=programs(), data=st.data())
def test_radix_spikes_are_the_digits_of_the_counts(
    program: SpikingProgram, data: st.DataObject
) -> None:
    done, opens = run(program, data.draw(counts_for(program)), "radix", raster=True), 0
    for raster, x, levels in zip(done.rasters, done.counts, levels_of(program), strict=True):
        ticks = levels.bit_length()
        table = np.array([digits(count, levels) for count in range(levels + 1)])
        spoken = np.moveaxis(raster[opens : opens + ticks], 0, -1)
        np.testing.assert_array_equal(spoken, table[x])
        assert np.count_nonzero(raster) == np.count_nonzero(spoken)
        opens += ticks


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_digits_of_whole_widths_are_bits(bits: int) -> None:
    assert digit_worths((1 << bits) - 1) == [1 << i for i in reversed(range(bits))]


def test_digits_reach_every_count_of_any_range_and_no_other() -> None:
    for levels in range(1, 256):
        worths = digit_worths(levels)
        assert (sum(worths), len(worths)) == (levels, levels.bit_length())
        for count in range(levels + 1):
            assert np.dot(worths, digits(count, levels)) == count


@settings(max_examples=60)
@given(programs())
def test_no_membrane_meets_its_threshold_and_64_bits_hold_them_all(program: SpikingProgram) -> None:
    for stage in wire(program):
        assert stage.bits < 64
        assert stage.bits > (stage.levels * int(stage.threshold.max(initial=0))).bit_length()
        assert stage.unit == 1
        assert (stage.start % 2 == 1).all()
        assert (stage.threshold % 2 == 0).all()
        assert (stage.bias % 2 == 0).all()
        assert stage.gain % 2 == 0


def test_the_padding_of_a_pool_is_silent(schedule: str) -> None:
    """Also beside membranes that lie below zero, and where the bias alone would fire."""
    conv = Layer(
        "conv2d",
        np.full((1, 1, 1, 1), -1, np.int8),
        np.array([7], np.int32),
        np.array([4], np.int32),
        weight_bits=2,
        levels=3,
    )
    pool = Layer("maxpool2d", kernel=2, stride=2, padding=(1, 1, 1, 1))
    last = Layer("dense", np.ones((1, 4), np.int8), np.zeros(1, np.int32), weight_bits=2)
    layers = (conv, pool, Layer("flatten"), last)
    program = SpikingProgram(InputEncoding.image((2, 2, 1)), layers, 1.0, (1, 1), "ideal")
    counts = np.full((1, 2, 2, 1), 9, np.uint8)
    counts[0, 0, 0] = 0
    assert run(program, counts, schedule).readout.item() == 2


def test_sums_beyond_24_bits_are_exact(schedule: str) -> None:
    """A float32 sum would have to be even there."""
    inputs = 4096
    weight = np.full((1, inputs), 127, np.int8)
    last = Layer("dense", weight, np.zeros(1, np.int32), weight_bits=8)
    encoding = InputEncoding("vector", (inputs,), 8, (0.0,) * inputs, (1.0,) * inputs)
    program = SpikingProgram(encoding, (last,), 1.0, (1, 1), "ideal")
    counts = np.full((1, inputs), 255, np.uint8)
    counts[0, 0] = 254
    assert run(program, counts, schedule).readout.item() == 127 * (255 * inputs - 1)


def test_a_program_of_one_layer_takes_one_tick(schedule: str) -> None:
    whole = dense_program()
    last = Layer("dense", np.ones((6, 6), np.int8), np.arange(6, dtype=np.int32), weight_bits=2)
    program = SpikingProgram(whole.encoding, (last,), 1.0, (2, 3), "ideal")
    counts = random_counts(program, np.random.default_rng(0), 4)
    done = run(program, counts, schedule, raster=True)
    np.testing.assert_array_equal(done.readout, reference.run(program, counts))
    assert (done.ticks.tolist(), done.counts, done.rasters) == ([1] * 4, (), ())
    assert (done.spike_counts.shape, done.readouts.shape) == ((0, 4), (1, 4, 2, 3))


def test_a_state_runs_the_same_alone_and_in_company(schedule: str, program: SpikingProgram) -> None:
    counts = random_counts(program, np.random.default_rng(3), 9)
    whole = run(program, counts, schedule, raster=True)
    for b in range(len(counts)):
        alone = run(program, counts[b : b + 1], schedule, raster=True)
        assert alone.ticks[0] == whole.ticks[b]
        np.testing.assert_array_equal(alone.spike_counts[:, 0], whole.spike_counts[:, b])
        for ours, theirs in zip(alone.rasters, whole.rasters, strict=True):
            np.testing.assert_array_equal(ours[:, 0], theirs[: len(ours), b])


def test_nothing_is_recorded_that_was_not_asked_for(schedule: str) -> None:
    program = conv_program()
    done = run(program, random_counts(program, np.random.default_rng(0), 3), schedule)
    assert done.rasters == ()
    assert done.readouts.shape == (0, 3, 1, 4)
    arrays = (done.readout, done.spike_counts, done.ticks, *done.counts)
    assert {array.dtype for array in arrays} == {np.dtype(np.int64)}


def test_an_empty_batch_gives_an_empty_result(schedule: str, program: SpikingProgram) -> None:
    counts = np.zeros((0, *program.encoding.shape), np.uint8)
    done = run(program, counts, schedule, raster=True)
    assert done.readout.shape == (0, *program.action_layout)
    assert done.spike_counts.shape == (len(levels_of(program)), 0)
    assert done.ticks.shape == (0,)


def test_the_layer_synchronous_schedule_is_the_default() -> None:
    program = dense_program()
    counts = random_counts(program, np.random.default_rng(0), 2)
    assert run(program, counts).ticks.tolist() == [16, 16]


def test_an_unknown_schedule_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'radixx'; known: synchronous, .*did you mean 'radix'"):
        run(dense_program(), np.zeros((1, 6), np.uint8), "radixx")


def test_counts_that_the_program_cannot_take_are_refused(schedule: str) -> None:
    with pytest.raises(QuantError):
        run(dense_program(), np.full((1, 6), 16, np.uint8), schedule)
