"""Integer against integer."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.errors import ChipLimitError, MismatchError
from rivc.nets import build_network
from rivc.neurochip.compare import (
    BATCH,
    FormResult,
    compare,
    compare_all,
    program_forms,
    run_in_batches,
)
from rivc.neurochip.emulator import Emulator
from rivc.neurochip.limits import ChipLimits
from rivc.neurochip.states import random_states
from rivc.snn_convert import SpikingProgram, convert, reference


@pytest.fixture
def program() -> SpikingProgram:
    return convert(build_network("mlp", input_shape=(4,), action_layout=(2, 3), hidden=(8,)))


def test_the_first_difference_is_named() -> None:
    expected = np.zeros((3, 2, 3), np.int64)
    readout = expected.copy()
    readout[1, 1, 2], readout[2, 0, 0] = 5, 7
    result = compare(readout, expected)
    assert (result.states, result.mismatches) == (3, 2)
    assert str(result.first) == "state 1, readout [1, 2]: got 5, expected 0"


def test_equal_readouts_have_no_first_difference() -> None:
    zeros = np.zeros((3, 2, 3), np.int64)
    assert compare(zeros, zeros).first is None


def test_batches_are_put_together_in_order() -> None:
    counts = np.arange(2 * BATCH + 3, dtype=np.uint8).reshape(-1, 1)
    readout = run_in_batches(lambda x: x.astype(np.int64).reshape(-1, 1, 1), counts)
    assert readout.ravel().tolist() == counts.ravel().tolist()


def test_no_states_are_no_mismatch(program: SpikingProgram) -> None:
    none = np.zeros((0, 4), np.uint8)
    assert run_in_batches(lambda x: reference.run(program, x), none).shape == (0, 2, 3)
    with program_forms(program) as forms:
        results = compare_all(forms, none, reference.run(program, none))
    assert set(results.values()) == {FormResult(0, 0)}


def test_every_form_that_there_is_gives_the_same_integers(program: SpikingProgram) -> None:
    counts = random_states(program.encoding, 70, np.random.default_rng(0))
    with program_forms(program) as forms:
        assert list(forms) == ["reference", "emulator", "snntorch"]
        results = compare_all(forms, counts, reference.run(program, counts))
    assert {result.mismatches for result in results.values()} == {0}


def test_a_readout_of_another_shape_is_a_mismatch(program: SpikingProgram) -> None:
    counts = random_states(program.encoding, 3, np.random.default_rng(0))
    expected = reference.run(program, counts)
    with pytest.raises(MismatchError, match=r"flat gives a readout of shape \(3, 6\)"):
        compare_all({"flat": lambda x: reference.trace(program, x)[-1]}, counts, expected)


def test_a_named_back_end_is_asked_once(program: SpikingProgram) -> None:
    with program_forms(program, "emulator") as forms:
        assert list(forms) == ["reference", "snntorch", "emulator"]


def test_without_snntorch_the_other_forms_remain(
    program: SpikingProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rivc.neurochip.registry.find_spec", lambda _: None)
    with program_forms(program) as forms:
        assert list(forms) == ["reference", "emulator"]


def test_a_witness_that_cannot_hold_the_program_is_left_out(
    program: SpikingProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Emulator, "limits", ChipLimits(membrane_bits=4))
    with program_forms(program) as forms:
        assert list(forms) == ["reference", "snntorch"]
    with pytest.raises(ChipLimitError, match="emulator"), program_forms(program, "emulator"):
        pass


def test_chips_are_closed_in_the_end_also_after_a_failure(
    program: SpikingProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr(Emulator, "close", lambda _: closed.append(1))
    with pytest.raises(ZeroDivisionError), program_forms(program):
        raise ZeroDivisionError
    assert len(closed) == 1
