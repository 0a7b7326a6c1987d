r"""A chip that errs on purpose: what certificates are tested and measured against.

The membrane of a spiking neuron is ``2^F z + B + floor(th / 2) + 1/2 + e th`` with an error e of
its own, and each weight may be off by a share. Errors are multiples of 2^-16 of a threshold, or of
a weight; what they add up to is cut to as many binary places as float64 has left beside a membrane,
16 at most. So every sum is exact, and where membranes have 37 bits or less, nothing is cut.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from rivc.snn_convert.certify.bounds import leads_over_rivals
from rivc.snn_convert.certify.functional import THROUGH
from rivc.snn_convert.certify.lattice import PLAIN, Disturbance, Lattice, Wiring, counts_at
from rivc.snn_convert.program import greedy
from rivc.snn_convert.reference import check_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Reals = NDArray[np.float64]
    Errors = dict[int, Reals]

NoiseKind = Literal["uniform", "sign"]
_PLACES: Final = 16  # binary places of an error
_EXACT: Final = 53  # bits of float64


def draw_noise(
    lattice: Lattice, batch: int, noise: float, rng: np.random.Generator, kind: NoiseKind
) -> Errors:
    """Draw errors, in thresholds, for each spiking layer by its index, [batch, *out].

    Args:
        lattice: of the program.
        batch: states.
        noise: bound, in thresholds.
        rng: draws them, each by itself.
        kind: "uniform" over the interval, or "sign", at either of its ends.
    """
    errors = {}
    for i, layer in enumerate(lattice.program.layers):
        if layer.levels:
            u = rng.uniform(-1, 1, (batch, *lattice.program.shapes[i + 1]))
            errors[i] = _cut(noise * (np.sign(u) if kind == "sign" else u))
    return errors


def draw_weights(lattice: Lattice, weight_error: float, rng: np.random.Generator) -> Errors:
    """Draw relative errors of all weights of one chip, for each layer by its index, [taps, out]."""
    return {
        i: _cut(weight_error * rng.uniform(-1, 1, wiring.signed.matrix.shape))
        for i, wiring in enumerate(lattice.wirings)
        if wiring
    }


def _cut(x: Reals, places: int = _PLACES) -> Reals:
    """Towards zero, so that a bound stays one."""
    grain = 2.0**places
    return np.trunc(x * grain) / grain


def noisy_readout(
    lattice: Lattice,
    counts: NDArray[np.uint8],
    noise: Errors,
    weights: Mapping[int, Reals] | None = None,
) -> Reals:
    """Return what an erring chip reads out, float64, [B, d, n].

    Args:
        lattice: of the program.
        counts: states, uint8, [B, *shape].
        noise: of each spiking layer by its index, in thresholds, [B, *out]; a missing one is 0.
        weights: relative errors of each layer by its index, [taps, out]; a missing one is 0.
    """
    x, weights = check_counts(lattice.program, counts).astype(np.float64), weights or {}
    for i, (layer, wiring) in enumerate(zip(lattice.program.layers, lattice.wirings, strict=True)):
        if wiring is None:
            x = PLAIN[layer.kind](layer, x)
            continue
        error = _error(wiring, x, noise.get(i), weights.get(i))
        v_mem = wiring.signed.forwards(x) * wiring.unit + wiring.offset
        x = v_mem + _cut(error, _places_beside(lattice.program.membrane_bits[i], error))
        if layer.levels:
            x = counts_at(layer, x + 0.5)
    return x.reshape(-1, *lattice.program.action_layout)


def _error(wiring: Wiring, x: Reals, noise: Reals | None, weights: Reals | None) -> Reals:
    """What is added to the membranes of a layer, apart from which they are whole numbers."""
    error = np.zeros(1)
    if weights is not None:
        wrong = replace(wiring.signed, matrix=wiring.signed.matrix * weights)
        error = wrong.forwards(x) * wiring.unit
    if noise is not None:
        error = error + noise * wiring.layer.threshold.astype(np.float64)
    return error


def _places_beside(bits: int, error: Reals) -> int:
    """Binary places that an error can have for its sum with membranes of a width to be exact."""
    largest = 2.0 ** (bits - 1) + float(np.abs(error).max(initial=0.0)) + 1
    return min(_PLACES, _EXACT - math.frexp(largest)[1])


def attack(lattice: Lattice, counts: NDArray[np.uint8], noise: float) -> Reals:
    """Return the readouts of each state under one attack a rival, float64, [B, R, d, n].

    The attack is of first order: every membrane is pushed to the end of its interval that lowers
    the lead over the rival, as far as the lines of the backward bound can tell.
    """
    readouts = [_attack(lattice, counts[part], noise) for part in lattice.chunks(len(counts))]
    return np.concatenate(readouts)


def _attack(lattice: Lattice, counts: NDArray[np.uint8], noise: float) -> Reals:
    layout = lattice.program.action_layout
    chosen = greedy(noisy_readout(lattice, counts, {}))
    stages = lattice.reach(counts, Disturbance(noise))
    _, functional = leads_over_rivals(stages[-1], chosen, layout[1])
    rivals = functional.constant.shape[1]
    errors: Errors = {}
    for i, stage in reversed(list(enumerate(stages[:-1]))):
        if stage.membranes is not None:
            pushed = _cut(-noise * np.sign(functional.weight))
            errors[i] = pushed.reshape(-1, *lattice.program.shapes[i + 1])
        functional = THROUGH[stage.layer.kind](functional, stage)
    readout = noisy_readout(lattice, np.repeat(counts, rivals, 0), errors)
    return readout.reshape(len(counts), rivals, *layout)
