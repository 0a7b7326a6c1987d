"""Certificates: never wrong, exact where they can be, and no looser than they have to be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError, QuantError
from rivc.nets import build_network
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, convert, reference
from rivc.snn_convert.certify import Certificate, Disturbance, Lattice, certify
from rivc.snn_convert.certify.attack import attack, draw_noise, draw_weights, noisy_readout
from rivc.snn_convert.lossy import Lossy
from rivc.snn_convert.program import greedy
from rivc.snn_convert.schedules import run
from tests.programs import dense_program, random_counts, wide_program
from tests.strategies import counts_for, programs, seeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.snn_convert.certify.attack import NoiseKind

QUIET = Disturbance()
LEVELS = (0.0, 1 / 64, 1 / 8, 1 / 2, 2.0)  # of noise, in binary fractions, so that ends are reached
KINDS: tuple[NoiseKind, ...] = ("uniform", "sign")


def leads(readout: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Lead of some actions over every action, [..., d, n]."""
    actions = np.broadcast_to(actions[..., None], (*readout.shape[:-1], 1))
    return np.asarray(np.take_along_axis(readout, actions, -1) - readout)


def check(found: Certificate, readout: np.ndarray) -> None:
    """Hold a certificate against what an erring chip read out, [B, d, n]."""
    assert (leads(readout, found.actions) >= found.lead).all()
    assert (greedy(readout) == found.actions)[found.groups].all()


@settings(max_examples=100)
@given(programs(), st.data(), seeds)
def test_no_error_within_the_bounds_breaks_a_certificate(
    program: SpikingProgram, data: st.DataObject, seed: int
) -> None:
    counts, rng = data.draw(counts_for(program)), np.random.default_rng(seed)
    noise, weight_error = data.draw(st.sampled_from(LEVELS)), data.draw(st.sampled_from(LEVELS[:3]))
    lattice = Lattice(program)
    found = certify(lattice, counts, Disturbance(noise, weight_error))
    for kind in KINDS:
        errors = draw_noise(lattice, len(counts), noise, rng, kind)
        weights = draw_weights(lattice, weight_error, rng)
        check(found, noisy_readout(lattice, counts, errors, weights))
    found = certify(lattice, counts, Disturbance(noise))
    for readout in attack(lattice, counts, noise).swapaxes(0, 1):
        check(found, readout)


@settings(max_examples=60)
@given(programs(), st.data())
def test_without_errors_the_lead_is_the_gap(program: SpikingProgram, data: st.DataObject) -> None:
    counts = data.draw(counts_for(program))
    readout = reference.run(program, counts)
    found = certify(program, counts, QUIET)
    assert (found.actions == greedy(readout)).all()
    assert (found.gap == leads(readout, found.actions)).all()
    assert (found.lead == found.gap).all()
    assert found.certified.all()
    assert (noisy_readout(Lattice(program), counts, {}) == readout).all()


@settings(max_examples=60)
@given(programs(), st.data())
def test_the_backward_pass_only_tightens_and_noise_only_loosens(
    program: SpikingProgram, data: st.DataObject
) -> None:
    counts, lattice = data.draw(counts_for(program)), Lattice(program)
    before = certify(lattice, counts, QUIET).lead
    for noise in LEVELS:
        forwards = certify(lattice, counts, Disturbance(noise), backwards=False).lead
        assert (certify(lattice, counts, Disturbance(noise)).lead >= forwards).all()
        assert (forwards <= before).all()
        before = forwards


def test_a_wide_membrane_is_not_rounded_over_a_threshold() -> None:
    """It lies 2^-16 below 200 thresholds, where float64 has 14 binary places."""
    noise, k, program = 0.5 + 2.0**-16, 200, wide_program()
    threshold = int(program.layers[0].threshold[0])
    pushed = int(noise * 2**16) * threshold  # by the noise, in 2^-16
    drive = ((k * threshold << 16) - 1 - pushed - (1 << 15) >> 16) - threshold // 2
    total, bias = divmod(drive, 127 << 16)  # weights are 127, and units 2^16
    counts = np.zeros((1, 4096), np.uint8)
    counts[0, : total // 255] = 255
    counts[0, total // 255] = total % 255
    hidden = replace(program.layers[0], bias=np.array([bias], np.int32))
    lattice = Lattice(replace(program, layers=(hidden, program.layers[1])))
    v_mem = total * (127 << 16) + bias + threshold // 2
    assert (v_mem << 16) + (1 << 15) + pushed == (k * threshold << 16) - 1
    assert lattice.reach(counts, Disturbance(noise))[0].emitted.high.item() == k - 1
    assert noisy_readout(lattice, counts, {0: np.array([[noise]])}).item() == k - 1


def one_layer(seed: int) -> SpikingProgram:
    """6 inputs, 5 neurons, 2 groups of 3 actions; noise is a whole number of membrane units."""
    program = dense_program(seed)
    hidden = replace(program.layers[0], threshold=np.array([64, 128, 192, 256, 320], np.int32))
    return replace(program, layers=(hidden, program.layers[1]))


@pytest.mark.parametrize("noise", LEVELS)
def test_with_one_spiking_layer_the_bound_is_reached(
    noise: float, rng: np.random.Generator
) -> None:
    """Neurons of one layer err by themselves, so the worst of all errors is known exactly."""
    for seed in range(20):
        program = one_layer(seed)
        counts, lattice = random_counts(program, rng, 50), Lattice(program)
        found = certify(lattice, counts, Disturbance(noise))
        weight = program.layers[1].weight.astype(np.int64).reshape(2, 3, 5)
        for j, b in np.ndindex(2, 3):
            change = weight[j][found.actions[:, j]] - weight[j, b]
            readout = noisy_readout(lattice, counts, {0: -noise * np.sign(change)})
            assert (leads(readout, found.actions)[:, j, b] == found.lead[:, j, b]).all()


def test_half_the_noise_would_certify_too_much(rng: np.random.Generator) -> None:
    program = one_layer(1)
    counts, lattice = random_counts(program, rng, 200), Lattice(program)
    unsound = certify(lattice, counts, Disturbance(1 / 8))
    attacked = attack(lattice, counts, 1 / 4)
    with pytest.raises(AssertionError):
        check(unsound, attacked[:, 0])


def test_a_saturating_membrane_is_bounded_in_every_order_of_arrival(
    rng: np.random.Generator,
) -> None:
    program = dense_program()
    counts = random_counts(program, rng, 60)
    shares = []
    for bits in range(7, 17):
        found = certify(program, counts, Disturbance(membrane_bits=bits))
        shares.append(found.certified.mean())
        for _ in range(5):
            check(found, saturating_run(program, counts, bits, rng))
    assert shares[0] < 1.0
    assert shares[-1] == 1.0


def saturating_run(
    program: SpikingProgram, counts: np.ndarray, bits: int, rng: np.random.Generator
) -> np.ndarray:
    """Dense layers whose membranes take one synapse after the other, and clip."""
    top, x = 1 << (bits - 1), counts.astype(np.int64)
    for layer in program.layers:
        weight = layer.weight.astype(np.int64) << layer.frac_bits
        v_mem = np.broadcast_to(layer.bias.astype(np.int64), (len(x), len(weight))).copy()
        if layer.levels:
            v_mem += layer.threshold // 2
        v_mem = v_mem.clip(-top, top - 1)
        for i in rng.permutation(x.shape[1]):
            v_mem = (v_mem + x[:, i, None] * weight[:, i]).clip(-top, top - 1)
        x = np.clip(v_mem // layer.threshold, 0, layer.levels) if layer.levels else v_mem
    return x.reshape(-1, *program.action_layout)


def test_a_wide_membrane_never_saturates(program: SpikingProgram, rng: np.random.Generator) -> None:
    counts = random_counts(program, rng, 20)
    wide = Disturbance(membrane_bits=max(program.membrane_bits))
    assert (certify(program, counts, wide).lead == certify(program, counts, QUIET).lead).all()


def test_other_actions_than_the_greedy_ones_can_be_asked_about(
    program: SpikingProgram, rng: np.random.Generator
) -> None:
    counts = random_counts(program, rng, 20)
    d, n = program.action_layout
    actions = rng.integers(n, size=(20, d))
    found = certify(program, counts, QUIET, actions=actions)
    readout = reference.run(program, counts)
    assert (found.lead == leads(readout, actions)).all()
    assert (found.groups == (greedy(readout) == actions)).all()


def test_states_do_not_depend_on_their_neighbours(
    program: SpikingProgram, rng: np.random.Generator
) -> None:
    counts = random_counts(program, rng, 9)
    whole = certify(program, counts, Disturbance(0.1, 0.01)).lead
    parts = [certify(program, state[None], Disturbance(0.1, 0.01)).lead for state in counts]
    assert (whole == np.concatenate(parts)).all()


def test_no_states_give_no_certificates(program: SpikingProgram) -> None:
    none = np.zeros((0, *program.encoding.shape), np.uint8)
    assert certify(program, none, Disturbance(0.1)).certified.shape == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": -0.1},
        {"noise": float("nan")},
        {"noise": 1e9},
        {"weight_error": 1.5},
        {"membrane_bits": 1},
    ],
)
def test_bounds_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="outside"):
        Disturbance(**wrong)  # type: ignore[arg-type]


def test_a_program_too_wide_for_exact_bounds_is_refused() -> None:
    weight = np.full((1, 1 << 21), 127, np.int8)
    hidden = Layer("dense", weight, np.zeros(1, np.int32), np.array([9], np.int32),
                   weight_bits=8, frac_bits=16, levels=255)  # fmt: skip
    last = Layer("dense", np.ones((2, 1), np.int8), np.zeros(2, np.int32), weight_bits=2)
    encoding = InputEncoding.over_range(np.zeros(1 << 21), np.ones(1 << 21), bit_width=8)
    program = SpikingProgram(encoding, (hidden, last), 1.0, (1, 2), "ideal")
    with pytest.raises(QuantError, match="bits cannot be bounded"):
        Lattice(program)


# -- many draws on programs like trained ones ------------------------------------------------


def networks(bits: tuple[int, ...]) -> Iterator[SpikingProgram]:
    """Dense and convolutional networks as they are built, at several widths."""
    for width in bits:
        for seed, hidden in enumerate([(16,), (24, 24), (16, 16, 16)]):
            yield convert(
                build_network("mlp", input_shape=(8,), action_layout=(1, 4), hidden=hidden,
                              weight_bits=width, activation_bits=width, seed=seed)
            )  # fmt: skip
        yield convert(
            build_network("conv", input_shape=(10, 9, 2), action_layout=(2, 3), hidden=(16,),
                          conv=((6, 3, 2), (6, 3, 1)), weight_bits=width, activation_bits=width,
                          seed=7)
        )  # fmt: skip


def storm(
    program: SpikingProgram, noises: tuple[float, ...], draws: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Hold certificates of 64 states against so many draws; return draws, and certified ones."""
    lattice, counts = Lattice(program), random_counts(program, rng, 64)
    drawn = certified = 0
    for noise in noises:
        found = certify(lattice, counts, Disturbance(noise))
        for i in range(draws):
            errors = draw_noise(lattice, len(counts), noise, rng, KINDS[i % 2])
            check(found, noisy_readout(lattice, counts, errors))
        for readout in attack(lattice, counts, noise).swapaxes(0, 1):
            check(found, readout)
        drawn += draws * len(counts)
        certified += draws * int(found.certified.sum())
    return drawn, certified


def test_certificates_hold_on_networks(rng: np.random.Generator) -> None:
    results = [storm(p, (0.02, 0.1, 0.5), 4, rng) for p in networks((2, 4))]
    drawn, certified = np.sum(results, axis=0)
    assert drawn == 8 * 3 * 4 * 64
    assert 0.1 * drawn < certified < 0.9 * drawn  # neither empty nor free


@pytest.mark.slow
def test_certificates_hold_in_a_million_draws(rng: np.random.Generator) -> None:
    noises = (0.005, 0.02, 0.1, 0.25, 0.5)
    results = [storm(p, noises, 160, rng) for p in networks((1, 2, 3, 4, 8))]
    drawn, certified = np.sum(results, axis=0)
    print(f"\n{drawn:,} draws, {certified:,} of them in certified states, none violated")  # noqa: T201
    assert drawn >= 1_000_000
    assert certified > 100_000


@settings(max_examples=40)
@given(programs(), st.data(), st.sampled_from([1 / 64, 1 / 8, 1 / 2]), st.integers(0, 99))
def test_a_certified_decision_holds_on_a_lossy_chip_of_that_noise(
    program: SpikingProgram, data: st.DataObject, noise: float, seed: int
) -> None:
    counts = data.draw(counts_for(program))
    found = certify(program, counts, Disturbance(noise))
    lossy = Lossy(membrane_noise=noise, seed=seed)
    chosen = greedy(run(program, counts, lossy=lossy).readout)
    assert (chosen == found.actions).all(1)[found.certified].all()
