"""What is promised about visited states, and what is seen there."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.errors import FailedError
from rivc.nets import build_network
from rivc.snn_convert import convert
from rivc.snn_convert.certify import Disturbance, Lattice, guarantees
from rivc.snn_convert.certify.guarantees import assess
from tests.programs import random_counts

LATTICE = Lattice(convert(build_network("mlp", input_shape=(6,), action_layout=(2, 3),
                                        hidden=(24, 24), seed=1)))  # fmt: skip
STATES, OTHERS = (random_counts(LATTICE.program, np.random.default_rng(i), 200) for i in (1, 2))


def found(noise: float, seed: int = 0) -> guarantees.Guarantees:
    rng = np.random.default_rng(seed)
    return assess(LATTICE, STATES, OTHERS, Disturbance(noise, 0.001), 0.01, rng)


def test_a_promise_never_exceeds_what_is_kept() -> None:
    for noise in (0.0, 0.02, 0.1, 0.5):
        now = found(noise)
        assert 0 <= now.certified <= min(now.kept_in_draws, now.kept_in_attack) <= 1


def test_more_noise_promises_less() -> None:
    shares = np.array(
        [(g.certified, g.calibrated, g.kept_in_attack) for g in map(found, (0.01, 0.1, 1.0))]
    )
    assert (np.diff(shares, axis=0) <= 0).all()  # each of the three by itself
    assert (shares[0] > shares[-1]).all()


def test_it_is_the_same_for_a_seed() -> None:
    assert found(0.1) == found(0.1)


def test_a_certificate_that_is_broken_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    true = guarantees.certify
    monkeypatch.setattr(guarantees, "certify", lambda *args: true(*args[:2], Disturbance()))
    with pytest.raises(FailedError, match="certified decision changed"):
        found(0.5)
