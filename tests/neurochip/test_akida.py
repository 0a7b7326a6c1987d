"""What the back end owes on top of every other: its programs are the chip's, and so are its limits.

All of it needs the package of the chip, which is proprietary and optional.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rivc.errors import BackendError, ChipLimitError, ConfigError, QuantError, RivcError
from rivc.nets import build_network
from rivc.neurochip import Backend, ChipLimits, load_backend
from rivc.neurochip.chips import CHIPS
from rivc.neurochip.testing import check_backend
from rivc.snn_convert import SpikingProgram, convert, reference
from tests.akida_programs import PROFILES, Draft, draw_program, habits, image, vector
from tests.neurochip.test_backend import assert_equals_the_definition
from tests.programs import conv_program, random_counts

pytest.importorskip("akida", reason="pip install 'rivc[akida]'")

WIDTHS = [("akd1000", 2), ("akd1000", 4), ("v2", 4), ("v2", 8)]
FEW = [range(15), pytest.param(range(15, 100), marks=pytest.mark.slow)]


@pytest.fixture(params=PROFILES)
def chip(request: pytest.FixtureRequest) -> Backend:
    """A chip of either generation, simulated."""
    return load_backend("akida", chip=request.param)


def dense(chip: str, seed: int = 0) -> SpikingProgram:
    draft = Draft(chip, vector(6, 4), np.random.default_rng(seed))
    return draft.dense(9).dense(7).readout(3)


def picture(chip: str, seed: int = 0) -> SpikingProgram:
    draft = Draft(chip, image(13, 10, 3), np.random.default_rng(seed))
    draft.conv(5, 5, 2, bits=8).conv(6, 3).pool(2, 2).conv(4, 3, 2)
    return draft.flatten().dense(8).readout(4)


def name_of(chip: Any) -> str:
    return str(chip.chip)


@pytest.mark.parametrize("seeds", FEW)
@pytest.mark.parametrize(("name", "bits"), WIDTHS)
def test_random_programs_have_the_integers_of_the_definition(
    name: str, bits: int, seeds: range
) -> None:
    chip = load_backend("akida", chip=name)
    for seed in seeds:
        program = draw_program(habits(name, bits), seed)
        if not chip.check(program):
            counts = random_counts(program, np.random.default_rng(seed), 32)
            assert_equals_the_definition(chip, program, counts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_back_end_passes_the_conformance_kit(chip: Backend, seed: int) -> None:
    conformance = check_backend(chip, seed=seed)
    assert conformance.ok, str(conformance)


def runs(bare: Backend, program: SpikingProgram, counts: np.ndarray) -> bool:
    """Whether the mapper takes a program, and the chip then runs it as it is meant."""
    if bare.check(program):
        return False
    try:
        bare.load(program)
        return np.array_equal(bare.infer(counts).readout, reference.run(program, counts))
    except RivcError:
        return False


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 200), marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "bits"), WIDTHS[1:])
def test_a_program_fits_if_and_only_if_the_mapper_takes_it(
    name: str, bits: int, seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = load_backend("akida", chip=name, device="virtual")
    monkeypatch.setattr(bare, "limits", ChipLimits())
    verdicts = set()
    for seed in seeds:
        program = draw_program(habits(name, bits, slip=0.1), seed)
        violations = CHIPS[name].violations(program)
        counts = random_counts(program, np.random.default_rng(seed), 16)
        assert runs(bare, program, counts) == (not violations), (seed, violations)
        verdicts.add(not violations)
    assert verdicts == {True, False}


def test_a_chip_of_one_batch_equals_a_chip_of_many(chip: Backend) -> None:
    program = picture(name_of(chip))
    counts = random_counts(program, np.random.default_rng(2), 9)
    chip.load(program)
    whole = chip.infer(counts)
    for b in range(len(counts)):
        one = chip.infer(counts[b : b + 1])
        np.testing.assert_array_equal(one.readout[0], whole.readout[b])
        np.testing.assert_array_equal(one.spike_counts[:, 0], whole.spike_counts[:, b])


def test_a_chip_holds_the_last_program_it_was_given(chip: Backend) -> None:
    name = name_of(chip)
    for program in (picture(name), dense(name), picture(name, 1), picture(name, 2)):
        counts = random_counts(program, np.random.default_rng(0), 5)
        assert_equals_the_definition(chip, program, counts)


def test_layers_are_built_once_while_the_architecture_stays(
    chip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip.load(picture(chip.chip))
    model = chip._model
    monkeypatch.setattr("rivc.neurochip.akida._build", None)
    other = picture(chip.chip, 7)
    counts = random_counts(other, np.random.default_rng(0), 6)
    assert_equals_the_definition(chip, other, counts)
    assert chip._model is model


def test_an_empty_batch_gives_an_empty_result(chip: Backend) -> None:
    program = dense(name_of(chip))
    chip.load(program)
    result = chip.infer(np.zeros((0, 6), np.uint8))
    assert result.readout.shape == (0, 1, 3)
    assert result.spike_counts.shape == (2, 0)


def test_counts_may_be_a_view_and_stay_as_they_were(chip: Backend) -> None:
    program = picture(name_of(chip))
    counts = random_counts(program, np.random.default_rng(0), 8)
    before = counts.copy()
    chip.load(program)
    expected = chip.infer(counts[::2]).readout
    np.testing.assert_array_equal(chip.infer(np.asfortranarray(counts)[::2]).readout, expected)
    np.testing.assert_array_equal(counts, before)


def test_counts_that_the_program_cannot_take_are_refused(chip: Backend) -> None:
    chip.load(dense(name_of(chip)))
    for counts in (np.zeros((2, 6)), np.zeros((2, 5), np.uint8), np.full((1, 6), 16, np.uint8)):
        with pytest.raises(QuantError):
            chip.infer(counts)


def test_closing_twice_is_harmless_and_unloads(chip: Backend) -> None:
    chip.load(dense(name_of(chip)))
    chip.close()
    chip.close()
    with pytest.raises(BackendError, match=r"load\(program\)"):
        chip.infer(np.zeros((1, 6), np.uint8))


def test_the_profile_follows_the_chip(chip: Backend) -> None:
    assert isinstance(chip, Backend)
    assert chip.profile == PROFILES[name_of(chip)]
    assert load_backend("akida").profile == "akida1"


def test_a_program_beyond_the_limits_is_not_loaded(chip: Backend) -> None:
    assert chip.check(conv_program())
    with pytest.raises(ChipLimitError, match="does not fit akida: program: an image of 2 channels"):
        chip.load(conv_program())


def test_a_network_too_large_for_the_device_is_a_violation_of_the_mapper() -> None:
    draft = Draft("akd1000", vector(8, 4), np.random.default_rng(0))
    for _ in range(24):
        draft.dense(512)
    program = draft.readout(4)
    assert load_backend("akida").check(program) == []
    (violation,) = load_backend("akida", device="virtual").check(program)
    assert "the mapper says" in violation.what
    assert "\n" not in str(violation)


def test_the_mapper_is_asked_once_for_an_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = load_backend("akida", device="virtual")
    assert chip.check(dense("akd1000")) == []
    monkeypatch.setattr("rivc.neurochip.akida._map", None)
    assert chip.check(dense("akd1000", seed=1)) == []


def test_a_device_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("akida.devices", list)
    with pytest.raises(BackendError, match="no Akida device"):
        load_backend("akida", device="hardware")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chip": "akd100"}, "did you mean 'akd1000'"),
        ({"device": "hardwear"}, "did you mean 'hardware'"),
        ({"speed": 3}, "does not take"),
    ],
)
def test_options_that_there_are_not_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_backend("akida", **options)


def test_a_chip_that_fails_is_a_back_end_error(chip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def forward(self, _: np.ndarray) -> np.ndarray:
            raise RuntimeError("link\n down")

    chip.load(dense(chip.chip))
    monkeypatch.setattr(chip, "_running", Gone())
    with pytest.raises(BackendError, match="Akida failed: link down"):
        chip.infer(np.zeros((1, 6), np.uint8))


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize(("name", "bits"), WIDTHS)
def test_a_network_of_the_profile_runs_as_it_was_trained(name: str, bits: int, kind: str) -> None:
    shapes: dict[str, dict[str, Any]] = {
        "mlp": {"input_shape": (8,), "hidden": (48, 32)},
        "conv": {"input_shape": (17, 14, 3), "conv": ((6, 5, 2), (8, 3, 1)), "hidden": (24,)},
    }
    net = build_network(
        kind,
        action_layout=(2, 3),
        weight_bits=bits,
        activation_bits=bits,
        profile=PROFILES[name],
        seed=bits,
        **shapes[kind],
    )
    program = convert(net)
    chip = load_backend("akida", chip=name, device="virtual")
    assert_equals_the_definition(
        chip, program, random_counts(program, np.random.default_rng(0), 40)
    )
