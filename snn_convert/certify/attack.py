r"""A chip that errs on purpose: what certificates are tested and measured against.

The membrane of a spiking neuron is ``2^F z + B + floor(th / 2) + 1/2 + e th`` with an error e of
its own, and each weight may be off by a share. Errors are cut to multiples of 2^-16 of a threshold,
or of a weight, so that every sum stays exact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from rivc.snn_convert.certify.bounds import leads_over_rivals
from rivc.snn_convert.certify.functional import THROUGH
from rivc.snn_convert.certify.lattice import PLAIN, Disturbance, Lattice, counts_at
from rivc.snn_convert.program import greedy
from rivc.snn_convert.reference import check_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Reals = NDArray[np.float64]
    Errors = dict[int, Reals]

NoiseKind = Literal["uniform", "sign"]
_GRAIN: Final = 2.0**16


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


def _cut(x: Reals) -> Reals:
    """Towards zero, so that a bound stays one."""
    return np.trunc(x * _GRAIN) / _GRAIN


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
        matrix = wiring.signed.matrix * (1.0 + weights.get(i, 0.0))
        x = replace(wiring.signed, matrix=matrix).forwards(x) * wiring.unit + wiring.offset
        if layer.levels:
            x = counts_at(layer, x + 0.5 + noise.get(i, 0.0) * layer.threshold.astype(np.float64))
    return x.reshape(-1, *lattice.program.action_layout)


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
