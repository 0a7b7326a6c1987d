r"""What can be promised about a policy on a chip that errs, and what is merely seen.

- certified: no error within the bounds changes the decision (`certify`);
- calibrated: under noise drawn as here, in states like these, at most a share delta of the drops
  exceeds the bound, so states that lead by more keep their decision but for that share;
- kept: the decision did not change in some random draws, or under an attack. A fact, no promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.errors import FailedError
from rivc.snn_convert.certify.attack import attack, draw_noise, draw_weights, noisy_readout
from rivc.snn_convert.certify.bounds import Certificate, certify
from rivc.snn_convert.certify.conformal import Calibration, calibrate
from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert.certify.lattice import Disturbance, Lattice

    Counts = NDArray[np.uint8]
    Reals = NDArray[np.float64]

DRAWS: Final = 20


@dataclass(frozen=True, slots=True)
class Guarantees:
    """Shares of some states, each from 0 to 1.

    Attributes:
        disturbance: what the chip may do wrong.
        certified: decisions that cannot change.
        lead_steps: median over the states of the least lead that is certain, in readout steps.
        calibration: the bound on drops.
        calibrated: states whose lead exceeds it.
        kept_in_draws: decisions that did not change in any of 20 random draws.
        kept_in_attack: decisions that did not change under noise directed against them.
    """

    disturbance: Disturbance
    certified: float
    lead_steps: float
    calibration: Calibration
    calibrated: float
    kept_in_draws: float
    kept_in_attack: float


def assess(
    lattice: Lattice,
    states: Counts,
    others: Counts,
    disturbance: Disturbance,
    delta: float,
    rng: np.random.Generator,
) -> Guarantees:
    """Return every guarantee for some states under one disturbance.

    Random draws put the error of each membrane at either end of its bound and the error of each
    weight anywhere within; saturation is left to the certificate.

    Args:
        lattice: of the program.
        states: to judge, uint8, [B, *shape].
        others: to calibrate on, from other episodes, uint8, [N, *shape].
        disturbance: what the chip may do wrong.
        delta: of the calibrated guarantee.
        rng: of the draws.

    Raises:
        ConfigError: if there are too few states to calibrate for `delta`.
        FailedError: if a draw changes a certified decision, which would be a defect of rivc.
    """
    calibration = calibrate(_drops(lattice, others, disturbance, rng), delta)
    found = certify(lattice, states, disturbance)
    drawn = np.ones(len(states), np.bool_)
    for _ in range(DRAWS):
        drawn &= _same(found, _draw(lattice, states, disturbance, rng))
    attacked = attack(lattice, states, disturbance.noise).swapaxes(0, 1)
    held = np.all([_same(found, readout) for readout in attacked], axis=0)
    if np.any(found.certified & ~(drawn & held)):
        raise FailedError(f"a certified decision changed under {disturbance}; please report this")
    return Guarantees(
        disturbance=disturbance,
        certified=float(found.certified.mean()),
        lead_steps=float(np.median(found.least_lead)),
        calibration=calibration,
        calibrated=float((found.least_gap > calibration.bound).mean()),
        kept_in_draws=float(drawn.mean()),
        kept_in_attack=float(held.mean()),
    )


def _drops(
    lattice: Lattice, states: Counts, disturbance: Disturbance, rng: np.random.Generator
) -> Reals:
    """How much one draw takes of any lead, at most, [N]."""
    readout = noisy_readout(lattice, states, {})
    chosen = greedy(readout)[..., None]
    noisy = _draw(lattice, states, disturbance, rng)
    before, after = (np.take_along_axis(r, chosen, -1) - r for r in (readout, noisy))
    return np.asarray((before - after).max((-2, -1)))


def _draw(
    lattice: Lattice, states: Counts, disturbance: Disturbance, rng: np.random.Generator
) -> Reals:
    noise = draw_noise(lattice, len(states), disturbance.noise, rng, "sign")
    weights = draw_weights(lattice, disturbance.weight_error, rng)
    return noisy_readout(lattice, states, noise, weights)


def _same(found: Certificate, readout: Reals) -> NDArray[np.bool_]:
    return np.asarray((greedy(readout) == found.actions).all(-1))
