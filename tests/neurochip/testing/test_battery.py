"""A chip that computes what it should conforms; one that does not is caught, and told why."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rivc.errors import MismatchError
from rivc.neurochip import Inference, Violation, backend_infos, load_backend
from rivc.neurochip.backend import spikes_are_counts
from rivc.neurochip.emulator import Emulator
from rivc.neurochip.testing import (
    VARIANTS,
    Conformance,
    Variant,
    check_backend,
    make_program,
    make_states,
)
from rivc.neurochip.testing.generate import describe
from rivc.quant.profile import PROFILES, ArithmeticProfile
from rivc.snn_convert import SpikingProgram, reference
from rivc.snn_convert.schedules import SCHEDULES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.uint8]

INSTALLED = [info.name for info in backend_infos() if info.is_installed]


def quick(chip: Any, programs: int = 9) -> Conformance:
    return check_backend(chip, programs=programs, states=16)


@pytest.mark.parametrize("name", INSTALLED)
def test_every_chip_of_ours_conforms(name: str) -> None:
    found = quick(load_backend(name), programs=3)
    assert found.ok, str(found)
    assert found.programs == {"mlp": 1, "conv": 1, "pool": 1}
    found.raise_if_failed()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_chips_whose_spikes_are_not_counts_conform_too(schedule: str) -> None:
    chip = load_backend("spiking", schedule=schedule)
    assert spikes_are_counts(chip) == (schedule in ("synchronous", "gated"))
    found = quick(chip, programs=3)
    assert found.ok, str(found)


def test_programs_of_one_bit_inputs_conform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "bit", ArithmeticProfile("bit", vector_bits=1))
    found = quick(InProfile("bit"))
    assert found.ok, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTALLED)
def test_every_chip_of_ours_conforms_on_two_hundred_programs(name: str) -> None:
    found = check_backend(load_backend(name), programs=200, states=1000)
    assert found.ok, str(found)


class InProfile(Emulator):
    """The emulator as a chip of another arithmetic."""

    def __init__(self, profile: str) -> None:
        super().__init__()
        self.profile = profile


def test_programs_are_made_in_the_arithmetic_of_the_chip() -> None:
    found = quick(InProfile("akida1"))
    assert found.ok, str(found)
    assert found.profile == "akida1"


class Wrong(InProfile):
    """A chip of another arithmetic than it says."""

    def __init__(self, variant: Variant, profile: str = "ideal") -> None:
        super().__init__(profile)
        self.variant, self.loaded = variant, make_program(profile, 0)

    def load(self, program: SpikingProgram) -> None:
        super().load(program)
        self.loaded = program

    def infer(self, counts: Counts) -> Inference:
        return replace(super().infer(counts), readout=self.variant.run(self.loaded, counts))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_wrong_arithmetic_is_caught_and_named(variant: Variant) -> None:
    found = quick(Wrong(variant))
    assert found.mismatches
    assert not found.breaches
    [cause] = found.causes
    assert (cause.name, cause.explained) == (variant.name, cause.differing)
    assert f"{variant.name} (explains all {cause.differing})" in str(found)
    with pytest.raises(MismatchError, match=r"does not conform.*cause: ") as caught:
        found.raise_if_failed()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variant", VARIANTS[:4], ids=lambda v: v.name)
def test_wrong_rounding_is_named_on_a_lattice_of_biases_too(variant: Variant) -> None:
    found = quick(Wrong(variant, "akida1"), programs=12)
    if variant.name == "ties rounded to even":  # an even threshold never meets a tie there
        assert found.ok
    else:
        assert [cause.name for cause in found.causes] == [variant.name]


def test_a_mismatch_says_enough_to_see_it_again() -> None:
    [variant] = [v for v in VARIANTS if v.name == "ties rounded down"]
    found = quick(Wrong(variant)).mismatches[0]
    program = eval(found.program, {"make_program": make_program})  # noqa: S307 (our own text)
    assert describe(program) == found.layers
    number = int(found.program.split(",")[1])
    counts = make_states(program, number, count=16)[found.kind]
    index = (found.state, *map(int, re.findall(r"\d+", found.where)))
    assert variant.run(program, counts)[index] == found.got
    assert reference.run(program, counts)[index] == found.expected
    assert found.program in str(found)
    assert f"got {found.got}, expected {found.expected}" in str(found)


class OffByOne(Emulator):
    """An error that no known arithmetic explains."""

    def infer(self, counts: Counts) -> Inference:
        result = super().infer(counts)
        return replace(result, readout=result.readout + (result.readout % 7 == 3))


def test_what_nothing_explains_has_no_cause() -> None:
    found = quick(OffByOne())
    assert found.mismatches
    assert found.causes == ()


class MiscountsSpikes(Emulator):
    """Right readouts, wrong spikes."""

    def infer(self, counts: Counts) -> Inference:
        result = super().infer(counts)
        return replace(result, spike_counts=result.spike_counts + 1)


def test_wrong_spike_counts_are_named_by_layer() -> None:
    found = quick(MiscountsSpikes())
    assert found.mismatches[0].where == "spikes of layer 0"
    assert found.causes == ()


class Stale(Emulator):
    """Keeps its integers if no shape changes."""

    shapes: tuple[tuple[int, ...], ...] = ()

    def load(self, program: SpikingProgram) -> None:
        if program.shapes != self.shapes:
            super().load(program)
        self.shapes = program.shapes

    def infer(self, counts: Counts) -> Inference:
        return super().infer(counts)


def test_a_load_that_keeps_old_integers_is_named() -> None:
    found = quick(Stale())
    assert {m.when for m in found.mismatches} == {"loaded over other integers in the same layers"}
    assert [cause.name for cause in found.causes] == ["the program loaded before still runs"]


class WrongAlone(Emulator):
    """Wrong for a batch of one."""

    def infer(self, counts: Counts) -> Inference:
        result = super().infer(counts)
        return replace(result, readout=result.readout + (len(counts) == 1))


def test_the_batch_size_that_goes_wrong_is_named() -> None:
    assert {m.batch_size for m in quick(WrongAlone()).mismatches} == {1}


class Narrow(Emulator):
    """Takes vectors alone."""

    def check(self, program: SpikingProgram) -> list[Violation]:
        images = program.encoding.kind == "image"
        return [Violation(0, "an image", "use a vector")] if images else super().check(program)


def test_programs_stay_within_the_limits_of_the_chip() -> None:
    found = quick(Narrow(), programs=6)
    assert found.ok, str(found)
    assert found.programs == {"mlp": 2, "conv": 0, "pool": 0}


class TakesNothing(Emulator):
    """No program fits."""

    def check(self, program: SpikingProgram) -> list[Violation]:
        return [Violation(-1, "too modern", "wait")]


def test_a_chip_that_takes_nothing_does_not_conform() -> None:
    found = quick(TakesNothing(), programs=3)
    assert not found.ok
    with pytest.raises(MismatchError, match=r"none of 300 programs fits.*too modern; wait"):
        found.raise_if_failed()


def breaking(method: str, error: Exception) -> Emulator:
    """A chip with one method that raises."""

    def raising(*_: object) -> None:
        raise error

    return type("Breaking", (Emulator,), {method: raising})()


@pytest.mark.parametrize("method", ["check", "load", "infer", "close"])
def test_whatever_a_chip_raises_is_a_finding(method: str) -> None:
    found = quick(breaking(method, ZeroDivisionError("by zero")), programs=3)
    assert not found.ok
    assert "raised ZeroDivisionError: by zero" in str(found)


def test_equal_seeds_give_equal_checks_and_other_seeds_others() -> None:
    variant = VARIANTS[0]
    one, same, other = (
        check_backend(Wrong(variant), programs=6, states=8, seed=seed) for seed in (1, 1, 2)
    )
    assert one == same
    assert one.mismatches != other.mismatches


def test_the_text_stays_short_however_much_is_wrong() -> None:
    text = str(quick(OffByOne(), programs=30))
    assert "more" in text
    assert len(text.splitlines()) < 30


def test_the_first_lines_say_who_conforms_with_what() -> None:
    head, programs, integers, protocol = str(quick(Emulator(), programs=3)).splitlines()
    assert head == "emulator conforms (profile ideal, seed 0)"
    assert programs == "  programs  3 within the limits: mlp 1, conv 1, pool 1"
    assert integers.endswith("every integer equal")
    assert protocol.endswith("rules tried, 0 findings")
