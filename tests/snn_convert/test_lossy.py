"""Lossy chips: each loss by its equation, none without its knob, all of them repeatable."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from rivc.snn_convert.lossy import WEIGHT_STEPS, Lossy
from rivc.snn_convert.schedules import SCHEDULES, run
from tests.programs import conv_program, dense_program, one_neuron, random_counts
from tests.spikes import levels_of
from tests.strategies import counts_for, programs

EVERY_LOSS: dict[str, Any] = {
    "ticks": 2,
    "streaming": 10,
    "membrane_noise": 0.5,
    "weight_noise": 0.5,
    "dropped_spikes": 0.1,
    "membrane_bits": 7,
}
STATIC = ("ticks", "membrane_noise", "weight_noise")  # losses that no schedule makes worse


@pytest.fixture
def counts(program: SpikingProgram) -> np.ndarray:
    return random_counts(program, np.random.default_rng(4), 12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(max_examples=30)
@given(program=programs(), data=st.data())
def test_losses_that_are_off_or_out_of_reach_lose_nothing(
    schedule: str, program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    lossy = Lossy(
        ticks=255, membrane_noise=0.0, weight_noise=0, dropped_spikes=0, membrane_bits=62, seed=9
    )
    done = run(program, counts, schedule, lossy=lossy)
    np.testing.assert_array_equal(done.readout, reference.run(program, counts))


@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(max_examples=30)
@given(program=programs(), data=st.data())
def test_noise_below_half_a_membrane_unit_reaches_no_threshold(
    schedule: str, program: SpikingProgram, data: st.DataObject
) -> None:
    counts = data.draw(counts_for(program))
    tops = [int(q.threshold.max()) for q in program.layers if q.levels]
    lossy = Lossy(membrane_noise=0.49 / max(tops, default=1))
    done = run(program, counts, schedule, lossy=lossy)
    np.testing.assert_array_equal(done.readout, reference.run(program, counts))


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_loss_changes_integers(
    schedule: str, loss: str, program: SpikingProgram, counts: np.ndarray
) -> None:
    lossy = Lossy(**{loss: EVERY_LOSS[loss]})
    assert not lossy.is_exact
    done = run(program, counts, schedule, lossy=lossy)
    assert (done.readout != reference.run(program, counts)).any()


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_lossy_state_runs_the_same_again_alone_and_in_any_company(
    schedule: str, loss: str, program: SpikingProgram, counts: np.ndarray
) -> None:
    lossy = Lossy(**{loss: EVERY_LOSS[loss]}, seed=5)
    whole = run(program, counts, schedule, lossy=lossy)
    again = run(program, counts[::-1], schedule, lossy=lossy)
    np.testing.assert_array_equal(again.readout[::-1], whole.readout)
    np.testing.assert_array_equal(again.spike_counts[:, ::-1], whole.spike_counts)
    for b in range(len(counts)):
        alone = run(program, counts[b : b + 1], schedule, lossy=lossy)
        np.testing.assert_array_equal(alone.readout[0], whole.readout[b])


@pytest.mark.parametrize("loss", EVERY_LOSS)
@settings(max_examples=20)
@given(program=programs(), data=st.data())
def test_who_watches_changes_nothing(
    loss: str, program: SpikingProgram, data: st.DataObject
) -> None:
    """Where nobody watches, the spikes of a layer arrive at once, and not tick by tick."""
    states, lossy = data.draw(counts_for(program)), Lossy(**{loss: EVERY_LOSS[loss]})
    alone, watched = (run(program, states, lossy=lossy, raster=raster) for raster in (False, True))
    np.testing.assert_array_equal(alone.readout, watched.readout)
    np.testing.assert_array_equal(alone.spike_counts, watched.spike_counts)
    np.testing.assert_array_equal(alone.ticks, watched.ticks)
    for ours, theirs in zip(alone.counts, watched.counts, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("loss", ["membrane_noise", "weight_noise", "dropped_spikes"])
def test_another_seed_is_another_chip(
    loss: str, program: SpikingProgram, counts: np.ndarray
) -> None:
    lossy = Lossy(**{loss: EVERY_LOSS[loss]})
    one = run(program, counts, lossy=lossy).readout
    assert (run(program, counts, lossy=replace(lossy, seed=1)).readout != one).any()


@settings(max_examples=40)
@given(programs(), st.data(), st.sampled_from(STATIC))
def test_what_befalls_neurons_and_synapses_is_the_same_under_every_schedule(
    program: SpikingProgram, data: st.DataObject, loss: str
) -> None:
    counts = data.draw(counts_for(program))
    lossy = Lossy(**{loss: EVERY_LOSS[loss]})
    first, *others = (run(program, counts, name, lossy=lossy).readout for name in SCHEDULES)
    for other in others:
        np.testing.assert_array_equal(other, first)


def coarse(program: SpikingProgram, state: np.ndarray, ticks: int) -> list[int]:
    """A dense program whose layers have at most so many steps, in fractions."""
    x = [Fraction(int(c)) for c in state]
    for layer in program.layers:
        w, bias = layer.weight.tolist(), layer.bias.tolist()
        z = [sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0)) for row in w]
        if not layer.levels:
            return [floor(v + b + Fraction(1, 2)) for v, b in zip(z, bias, strict=True)]
        steps = min(ticks, layer.levels)
        worth = Fraction(layer.levels, steps)
        x = [
            worth * min(max(floor((2**layer.frac_bits * v + b) / (th * worth) + half), 0), steps)
            for v, b, th, half in zip(
                z, bias, layer.threshold.tolist(), [Fraction(1, 2)] * len(z), strict=True
            )
        ]
    raise AssertionError


@pytest.mark.parametrize("ticks", [1, 2, 4, 7, 11, 14, 15, 16])
def test_fewer_ticks_are_a_coarser_staircase(ticks: int) -> None:
    program = dense_program()
    counts = random_counts(program, np.random.default_rng(0), 40)
    done = run(program, counts, lossy=Lossy(ticks=ticks))
    assert done.ticks[0] == min(ticks, 15) + 1
    expected = [coarse(program, state, ticks) for state in counts]
    assert done.readout.reshape(40, -1).tolist() == expected


def stream(program: SpikingProgram, state: np.ndarray, ticks: int) -> list[int]:
    """A dense program streamed, neuron by neuron, in fractions."""
    layers = [(q, Fraction(q.levels, ticks)) for q in program.layers]
    v_mem = [[th * worth / 2 for th in q.threshold.tolist()] for q, worth in layers]
    v_mem[-1] = [Fraction(0)] * len(program.layers[-1].bias)
    for _ in range(ticks):
        x = [Fraction(int(c), ticks) for c in state]
        for i, (layer, worth) in enumerate(layers):
            for j, row in enumerate(layer.weight.tolist()):
                z = sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0))
                v_mem[i][j] += 2**layer.frac_bits * z + Fraction(int(layer.bias[j]), ticks)
            if layer.levels:
                th = [t * worth for t in layer.threshold.tolist()]
                fired = [int(v >= t) for v, t in zip(v_mem[i], th, strict=True)]
                v_mem[i] = [v - s * t for v, s, t in zip(v_mem[i], fired, th, strict=True)]
                x = [s * worth for s in fired]
    return [floor(v + Fraction(1, 2)) for v in v_mem[-1]]


@pytest.mark.parametrize("ticks", [1, 4, 15, 33])
def test_streaming_is_integrate_and_fire_at_rates(ticks: int) -> None:
    program = dense_program()
    counts = random_counts(program, np.random.default_rng(0), 10)
    done = run(program, counts, lossy=Lossy(streaming=ticks), raster=True)
    assert set(done.ticks) == {ticks + 1}
    assert [len(raster) for raster in done.rasters] == [ticks + 1]
    expected = [stream(program, state, ticks) for state in counts]
    assert done.readout.reshape(10, -1).tolist() == expected


@settings(max_examples=40)
@given(programs(), st.data(), st.floats(0, 2))
def test_membrane_noise_is_bounded(
    program: SpikingProgram, data: st.DataObject, noise: float
) -> None:
    """The counts of the first layer lie between those of membranes shifted by the bound."""
    counts = data.draw(counts_for(program))
    first = next((q for q in program.layers if q.has_weights), program.layers[0])
    if first.is_readout:
        return
    i = program.layers.index(first)
    before = reference.trace(program, counts)[i - 1] if i else counts.astype(np.int64)
    th = first.threshold.astype(np.int64)
    v_mem = (reference.weighted(first, before) << first.frac_bits) + first.bias + th // 2
    low, high = (
        np.clip((v_mem + shift) // th, 0, first.levels)
        for shift in (-np.ceil(noise * th).astype(int), np.ceil(noise * th).astype(int))
    )
    got = run(program, counts, lossy=Lossy(membrane_noise=noise)).counts[0]
    assert ((low <= got) & (got <= high)).all()


@pytest.mark.parametrize("noise", [0.01, 0.5, 3.0])
def test_weight_noise_is_bounded_and_belongs_to_the_chip(noise: float) -> None:
    weight = np.arange(-7, 8, dtype=np.int8).reshape(3, 5)
    lossy = Lossy(weight_noise=noise, seed=3)
    noisy = lossy.weights(weight, 0)
    off = np.abs(noisy - WEIGHT_STEPS * weight.astype(np.int64))
    assert 0 < off.max() <= round(WEIGHT_STEPS * noise)
    np.testing.assert_array_equal(lossy.weights(weight, 0), noisy)
    assert (lossy.weights(weight, 1) != noisy).any()


def test_dropped_spikes_were_emitted_and_never_arrive(program: SpikingProgram) -> None:
    counts = random_counts(program, np.random.default_rng(0), 5)
    done = run(program, counts, lossy=Lossy(dropped_spikes=1.0))
    exact = run(program, counts)
    np.testing.assert_array_equal(done.spike_counts[0], exact.spike_counts[0])
    bias = program.layers[-1].bias.reshape(program.action_layout)
    np.testing.assert_array_equal(done.readout, np.broadcast_to(bias, done.readout.shape))


def test_as_many_spikes_are_dropped_as_asked() -> None:
    program = one_neuron(threshold=2, levels=127)
    counts = np.arange(200, 256, dtype=np.uint8).reshape(
        -1, 1
    )  # each neuron spikes 127 or so times
    share = run(program, counts, lossy=Lossy(dropped_spikes=0.3)).readout.sum()
    assert 0.67 < share / run(program, counts).readout.sum() < 0.73


def test_a_spike_that_is_dropped_does_not_silence_its_window() -> None:
    """It is lost before the pool: one of four neurons is enough for the OR of a tick."""
    one, zero = np.ones((1, 1), np.int8), np.zeros(1, np.int32)
    conv = Layer(
        "conv2d",
        one.reshape(1, 1, 1, 1),
        zero,
        np.array([2], np.int32),
        weight_bits=2,
        levels=255,
    )
    pool = Layer("maxpool2d", kernel=2, stride=2)
    last = Layer("dense", one, zero, weight_bits=2)
    layers = (conv, pool, Layer("flatten"), last)
    program = SpikingProgram(InputEncoding.image((2, 2, 1)), layers, 1.0, (1, 1), "ideal")
    counts = np.arange(240, 256, dtype=np.uint8).repeat(4).reshape(16, 2, 2, 1)
    kept = run(program, counts, lossy=Lossy(dropped_spikes=0.5)).readout.sum()
    assert 0.92 < kept / run(program, counts).readout.sum() < 0.955  # 1 - 0.5**4 = 0.9375


@pytest.mark.parametrize(
    ("loss", "value", "message"),
    [
        ("ticks", 0, r"ticks must be a whole number of 1\.\.255, not 0"),
        ("ticks", 2.0, "whole number"),
        ("ticks", True, "whole number"),
        ("streaming", 10**6, r"1\.\.4096"),
        ("membrane_noise", -0.1, r"a number of 0\.\.16, not -0\.1"),
        ("membrane_noise", float("nan"), "not nan"),
        ("weight_noise", "much", "not 'much'"),
        ("dropped_spikes", 1.5, r"0\.\.1"),
        ("dropped_spikes", None, "not None"),
        ("membrane_bits", 1, r"2\.\.62"),
        ("seed", -1, "not -1"),
    ],
)
def test_a_loss_out_of_its_range_is_refused(loss: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Lossy(**{loss: value})


def test_streaming_and_fewer_ticks_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="leave ticks out"):
        Lossy(streaming=15, ticks=8)


def test_losses_may_come_together() -> None:
    program = conv_program()
    counts = random_counts(program, np.random.default_rng(0), 6)
    losses = {**EVERY_LOSS, "streaming": None, "membrane_bits": 20}
    for schedule in SCHEDULES:
        done = run(program, counts, schedule, lossy=Lossy(**losses))
        assert done.ticks.max() <= sum(min(2, levels) for levels in levels_of(program)) + 1
