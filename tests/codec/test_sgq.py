"""Maps of groups of channels up, their gradients down."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.codec import DecodeError, FeatureCodec, GradientCodec, GroupPlan, GroupQuantizer
from rivc.codec.engine import engine
from rivc.errors import ConfigError, DamagedFileError, QuantError
from tests.codec.frames import features, recordings
from tests.mutations import OF_ARCHIVES

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DataObject
    from numpy.typing import NDArray

CODES = features(shape=(6, 7, 5))
GROUPS = GroupQuantizer.fit(CODES, GroupPlan(3, 2, 4), 4)
GRADIENTS = GradientCodec(GROUPS, 4)


def some_gradients(seed: int = 0, size: float = 1e-3) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, size, (3, 7, 5)) * rng.lognormal(0, 2, (3, 7, 1))


def drawn(data: DataObject, shape: tuple[int, ...]) -> GroupPlan:
    """A plan that frames of a shape bear."""
    return GroupPlan(
        data.draw(st.integers(1, shape[0])),
        data.draw(st.integers(1, shape[1])),
        data.draw(st.integers(1, 8)),
    )


@settings(max_examples=60)
@given(recordings(), st.data())
def test_any_frames_come_back_in_their_shape_and_range(
    recording: tuple[int, NDArray[np.uint8]], data: DataObject
) -> None:
    bits, codes = recording
    plan = drawn(data, codes.shape[1:])
    groups = GroupQuantizer.fit(codes, plan, bits)
    maps = groups.reduce(codes)
    assert maps.shape == (len(codes), plan.groups, *codes.shape[2:])
    assert maps.max() < 1 << plan.bit_width
    back = groups.restore(maps)
    assert back.shape == codes.shape
    assert back.dtype == np.uint8
    assert back.max() < 1 << bits


@given(recordings())
def test_a_group_for_each_channel_and_a_symbol_for_each_count_lose_nothing(
    recording: tuple[int, NDArray[np.uint8]],
) -> None:
    bits, codes = recording
    channels = codes.shape[1]
    whole = GroupQuantizer(
        codes.shape[1:],
        bits,
        bits,
        np.arange(channels, dtype=np.int32),
        np.full(channels, 3, np.int32),
        np.full((channels, 1), 3),
    )
    assert (whole.restore(whole.reduce(codes)) == codes).all()


def test_channels_that_are_multiples_of_one_map_come_back_as_its_multiples() -> None:
    base = np.random.default_rng(0).integers(0, 4, (9, 1, 6, 6)).astype(np.uint8)
    other = np.random.default_rng(1).integers(0, 4, (9, 1, 6, 6)).astype(np.uint8)
    codes = np.concatenate([base, other, 3 * base, 2 * other], axis=1)
    groups = GroupQuantizer.fit(codes, GroupPlan(2, 1, 4), 4)
    assert groups.group.tolist() == [0, 1, 0, 1]
    assert (groups.restore(groups.reduce(codes)) == codes).all()


def test_the_error_of_what_is_not_clipped_is_bounded_by_group_and_step() -> None:
    """A channel errs by what it is not a multiple of its map, half a step, and half a count."""
    sums = GROUPS.fold(CODES)
    norm = np.array([(GROUPS.gain[GROUPS.group == g] ** 2).sum() for g in range(3)])
    step = GROUPS.step[:, GROUPS.stripe, None]
    mean = (sums / norm[:, None, None])[:, GROUPS.group] * GROUPS.gain[:, None, None]
    half = (step / 2 / norm[:, None, None])[GROUPS.group] * GROUPS.gain[:, None, None]
    error = np.abs(GROUPS.restore(GROUPS.reduce(CODES)) - np.clip(mean, 0, 15))
    inside = (sums <= step * 15)[:, GROUPS.group]
    assert (error <= half + 0.5 + 1e-9)[inside].all()


def test_more_groups_lose_less() -> None:
    def lost(groups: int) -> int:
        one = GroupQuantizer.fit(CODES, GroupPlan(groups, 1, 8), 4)
        return int(((one.restore(one.reduce(CODES)).astype(int) - CODES) ** 2).sum())

    losses = [lost(groups) for groups in range(1, 7)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0


def test_stripes_have_steps_of_their_own() -> None:
    codes = CODES.copy()
    codes[:, :, :3] //= 8
    groups = GroupQuantizer.fit(codes, GroupPlan(3, 2, 4), 4)
    assert groups.stripe.tolist() == [0, 0, 0, 0, 1, 1, 1]
    even = np.full_like(codes, 1)
    even[:, :, 4:] = 15
    loud = GroupQuantizer.fit(even, GroupPlan(1, 2, 4), 4)
    assert loud.step[0, 1] == pytest.approx(15 * loud.step[0, 0], rel=0.01)


def test_maps_are_frames_for_the_feature_codec() -> None:
    maps = GROUPS.reduce(CODES)
    codec = FeatureCodec.fit(maps, 4)
    assert (codec.decode(codec.encode(maps[3])) == maps[3]).all()


def test_a_gradient_of_the_maps_is_the_chain_rule() -> None:
    """To send a gradient of every channel, folded and spread, is to project it on the gains."""
    gradient = np.random.default_rng(0).normal(size=GROUPS.shape)
    spread = GROUPS.spread(GROUPS.fold(gradient))
    for g in range(3):
        gain = np.where(GROUPS.group == g, GROUPS.gain, 0)
        project = np.outer(gain, gain) / (gain**2).sum()
        mine = np.where((GROUPS.group == g)[:, None, None], gradient, 0)
        wanted = np.einsum("cd,dhw->chw", project, mine)
        assert np.allclose(np.where((GROUPS.group == g)[:, None, None], spread, 0), wanted)


@settings(max_examples=60)
@given(recordings(), st.data(), st.integers(2, 8), st.floats(-30, 15))
def test_a_gradient_errs_by_less_than_a_step_of_its_stripe(
    recording: tuple[int, NDArray[np.uint8]], data: DataObject, bit_width: int, size: float
) -> None:
    bits, codes = recording
    groups = GroupQuantizer.fit(codes, drawn(data, codes.shape[1:]), bits)
    codec, rng = GradientCodec(groups, bit_width), np.random.default_rng(0)
    gradient = rng.normal(0, 2.0**size, codec.shape) * rng.integers(0, 2, (codec.shape[0], 1, 1))
    sequence, back = codec.decode(codec.encode(gradient, rng, sequence=9))
    assert sequence == 9
    for t in range(groups.step.shape[1]):
        mine, theirs = gradient[:, groups.stripe == t], back[:, groups.stripe == t]
        peak = np.abs(mine).max((1, 2), keepdims=True)
        assert (np.abs(theirs - mine) <= 1.25 * peak / codec.grid.q_max).all()


def test_gradients_have_no_bias() -> None:
    gradient, rng, count = some_gradients(), np.random.default_rng(0), 500
    total = sum(GRADIENTS.decode(GRADIENTS.encode(gradient, rng))[1] for _ in range(count))
    step = 1.25 * np.abs(gradient).max() / 7
    assert np.abs(total / count - gradient).max() < 5 * step / 2 / np.sqrt(count)


def test_a_seed_draws_the_same_gradients() -> None:
    gradient = some_gradients()
    packets = [GRADIENTS.encode(gradient, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert packets[0] == packets[1] != packets[2]


def test_a_sequence_number_is_told_modulo_32_bits() -> None:
    packet = GRADIENTS.encode(some_gradients(), np.random.default_rng(0), sequence=(1 << 32) + 5)
    assert GRADIENTS.decode(packet)[0] == 5


def test_silent_gradients_take_a_few_bytes_and_stay_silent() -> None:
    packet = GRADIENTS.encode(np.zeros((3, 7, 5)), np.random.default_rng(0))
    assert not GRADIENTS.decode(packet)[1].any()
    assert len(packet) < 100


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_a_gradient_that_diverged_is_an_error(value: float) -> None:
    with pytest.raises(QuantError, match="gradient"):
        GRADIENTS.encode(np.full((3, 7, 5), value), np.random.default_rng(0))


def test_gradients_of_other_groups_are_refused() -> None:
    other = GradientCodec(GroupQuantizer.fit(CODES, GroupPlan(3, 1, 4), 4), 4)
    packet = other.encode(some_gradients(), np.random.default_rng(0))
    with pytest.raises(DecodeError) as error:
        GRADIENTS.decode(packet)
    assert error.value.kind == "descriptor"


def test_mutated_gradients_are_refused_or_of_the_right_shape() -> None:
    packets = [GRADIENTS.encode(some_gradients(i), np.random.default_rng(i)) for i in range(9)]
    for data in mutated(packets, 3000):
        try:
            _, back = GRADIENTS.decode(data)
        except DecodeError:
            continue
        assert back.shape == (3, 7, 5)
        assert np.isfinite(back).all()


def mutated(packets: list[bytes], count: int) -> list[bytes]:
    """Packets with bytes changed, and the checksum made right in every other one."""
    rng, found = np.random.default_rng(0), []
    for i in range(count):
        data = bytearray(packets[i % len(packets)])
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        if i % 3 == 0:
            del data[int(rng.integers(28, len(data))) :]
        if i % 2:
            body = bytes(data[:-4])
            body = body[:20] + b"\0\0" + (len(body) - 24).to_bytes(2, "little") + body[24:]
            data = bytearray(body + engine().crc32c(body).to_bytes(4, "little"))
        found.append(bytes(data))
    return found


def test_groups_come_back_from_their_file(tmp_path: Path) -> None:
    GROUPS.save(tmp_path / "groups.npz")
    back = GroupQuantizer.load(tmp_path / "groups.npz")
    assert back.sha256 == GROUPS.sha256
    assert (back.reduce(CODES) == GROUPS.reduce(CODES)).all()


def test_a_mutated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "groups.npz"
    GROUPS.save(path)
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        path.write_bytes(rng.choice(OF_ARCHIVES)(whole, rng))
        try:
            back = GroupQuantizer.load(path)
        except DamagedFileError:
            continue
        assert back.sha256 == GROUPS.sha256


@pytest.mark.parametrize(
    "plan", [GroupPlan(0), GroupPlan(7, 1), GroupPlan(2, 0), GroupPlan(2, 8), GroupPlan(2, 1, 9)]
)
def test_a_plan_asks_for_no_more_than_there_is(plan: GroupPlan) -> None:
    with pytest.raises(ConfigError, match=r"where 1\.\."):
        GroupQuantizer.fit(CODES, plan, 4)


@pytest.mark.parametrize("count_bits", [0, 9, 300, -1])
def test_counts_have_one_to_eight_bits(count_bits: int) -> None:
    with pytest.raises(ConfigError, match=f"{count_bits} bits"):
        GroupQuantizer.fit(CODES, GroupPlan(3, 2, 4), count_bits)


def test_maps_of_another_shape_or_width_are_refused() -> None:
    for maps in (np.zeros((2, 7, 5), np.uint8), np.full((3, 7, 5), 16, np.uint8)):
        with pytest.raises(QuantError, match="maps"):
            GROUPS.restore(maps)
    with pytest.raises(QuantError, match="frames"):
        GROUPS.reduce(CODES[0, :3])
    with pytest.raises(ConfigError, match=r"2\.\.8"):
        GradientCodec(GROUPS, 1)
