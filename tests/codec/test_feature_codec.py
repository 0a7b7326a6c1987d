"""What comes out of a packet is what went in, in every profile, or an error of a known kind."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from rivc.codec import PROFILES, DecodeError, Descriptor, FeatureCodec, Stamp, datagrams, read_slice
from rivc.codec.bitstream import read_packet, write_packet
from rivc.codec.engine import engine
from rivc.codec.profiles import FAMILIES
from rivc.errors import DamagedFileError, MissingError, QuantError, UsageError
from tests.codec.frames import features, fitted, recordings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CODES = features()


def comes_back(bit_width: int, codes: NDArray[np.uint8]) -> None:
    """Check every profile and every frame, those that the models were not fitted to included."""
    codec = FeatureCodec.fit(codes[:-1], bit_width, profiles=list(FAMILIES))
    for previous, frame in itertools.pairwise(codes):
        for name, row in PROFILES.items():
            before = previous if row.refers else None
            packet = codec.encode(frame, before, profile=name)
            found = codec.decode(packet, before)
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, frame)


@settings(max_examples=50, deadline=None)
@given(recordings())
def test_frames_come_back_in_every_profile(recording: tuple[int, NDArray[np.uint8]]) -> None:
    comes_back(*recording)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(recordings())
def test_ten_thousand_recordings_come_back(recording: tuple[int, NDArray[np.uint8]]) -> None:
    comes_back(*recording)


def test_a_packet_refers_to_a_frame_if_there_is_one_and_is_smaller_for_it() -> None:
    codec = fitted(shape=(8, 16, 16))
    codes = features(shape=(8, 16, 16))
    key, delta = codec.encode(codes[9]), codec.encode(codes[9], codes[8])
    assert read_slice(key).header.distance == 0
    assert read_slice(delta).header.distance == 1
    assert len(delta) < 0.9 * len(key)
    np.testing.assert_array_equal(codec.decode(delta, codes[8]), codes[9])


def test_noise_is_packed_and_never_takes_more() -> None:
    codec = fitted()
    noise = np.random.default_rng(0).integers(0, 16, (6, 7, 5)).astype(np.uint8)
    packet = codec.encode(noise)
    assert len(packet) == 28 + 6 * 7 * 5 // 2
    np.testing.assert_array_equal(codec.decode(packet), noise)


def test_the_stamp_comes_through() -> None:
    stamp = Stamp(sequence=2**32 - 1, distance=7, captured_us=123_456_789, point=9)
    header = read_slice(fitted().encode(CODES[3], CODES[2], stamp=stamp)).header
    assert header[2:5] == (9, 2**32 - 1, 7)
    assert header.captured_us == 123_456_789


@pytest.mark.parametrize("field", ["sequence", "distance", "captured_us", "point"])
def test_a_stamp_that_does_not_fit_is_refused(field: str) -> None:
    with pytest.raises(UsageError, match=field):
        Stamp(**{field: 2**32})
    with pytest.raises(UsageError, match=field):
        Stamp(**{field: -1})


def test_large_frames_travel_in_slices_of_one_datagram_each() -> None:
    shape = (16, 32, 31)
    codec = fitted(shape=shape)
    frame = np.random.default_rng(0).integers(0, 16, shape).astype(np.uint8)
    packet = codec.encode(frame)
    slices = list(datagrams(packet))
    assert len(slices) == 7
    assert max(map(len, slices)) == 1200
    assert b"".join(slices) == packet
    assert [read_slice(one).header.slice_index for one in slices] == list(range(7))
    np.testing.assert_array_equal(codec.decode(packet), frame)


def test_a_frame_beyond_what_a_packet_holds_is_refused() -> None:
    codec = FeatureCodec.fit(np.zeros((2, 1, 600, 600), np.uint8), 8)
    noise = np.random.default_rng(0).integers(0, 256, (1, 600, 600)).astype(np.uint8)
    with pytest.raises(UsageError, match="298860"):
        codec.encode(noise)


def test_saving_and_loading_keeps_everything(tmp_path: Path) -> None:
    codec = fitted()
    codec.save(tmp_path / "codec.npz")
    again = FeatureCodec.load(tmp_path / "codec.npz")
    assert again.descriptor_id == codec.descriptor_id
    assert again.encode(CODES[5], CODES[4]) == codec.encode(CODES[5], CODES[4])


def test_fitting_again_gives_the_same_codec() -> None:
    assert fitted().descriptor.sha256 == fitted().descriptor.sha256
    assert fitted().descriptor_id != fitted(bit_width=5).descriptor_id


def test_episodes_begin_without_a_previous_frame() -> None:
    starts = np.zeros(len(CODES), np.bool_)
    starts[12] = True
    assert FeatureCodec.fit(CODES, starts=starts).descriptor_id != fitted().descriptor_id


def test_a_file_with_other_arrays_than_its_profile_needs_is_refused(tmp_path: Path) -> None:
    descriptor = FeatureCodec.fit(CODES, profiles=["rans", "max"]).descriptor
    for profile, model in descriptor.models.items():
        for name, array in model.items():
            without = {one: other for one, other in model.items() if one != name}
            for wrong in (
                without,
                {**model, name: array.astype(np.int64)},
                {**model, name: array[1:]},
            ):
                models = {**descriptor.models, profile: wrong}
                Descriptor(descriptor.shape, 4, descriptor.layout, models).save(tmp_path / "c.npz")
                with pytest.raises(DamagedFileError):
                    FeatureCodec.load(tmp_path / "c.npz")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path, codec, damaged = tmp_path / "codec.npz", fitted(), 0
    codec.save(path)
    data = path.read_bytes()
    for i in range(0, len(data), 997):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1 :])
        try:  # some bytes of an archive say nothing
            assert FeatureCodec.load(path).descriptor_id == codec.descriptor_id
        except (DamagedFileError, MissingError):
            damaged += 1
        path.write_bytes(data[:i])
        with pytest.raises(DamagedFileError):
            FeatureCodec.load(path)
    assert damaged > 0.9 * len(data) / 997
    with pytest.raises(MissingError, match="no codec at"):
        FeatureCodec.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("codes", "bit_width", "error", "message"),
    [
        (np.zeros((2, 3, 4), np.uint8), 4, QuantError, r"\[T, C, H, W\]"),
        (np.zeros((2, 3, 4, 4), np.int64), 4, QuantError, "int64"),
        (np.zeros((0, 3, 4, 4), np.uint8), 4, QuantError, r"\[0, 3, 4, 4\]"),
        (np.full((2, 3, 4, 4), 16, np.uint8), 4, QuantError, "16 where 4 bits hold 15"),
        (np.zeros((2, 3, 4, 4), np.uint8), 9, UsageError, "1..8"),
        (np.zeros((2, 3, 4, 4), np.uint8), 300, UsageError, "300 bits"),
        (np.zeros((2, 3, 4, 4), np.uint8), -1, UsageError, "-1 bits"),
        (np.zeros((1, 1, 1025, 1024), np.uint8), 4, UsageError, "symbols"),
    ],
)
def test_what_is_no_recording_is_refused(
    codes: NDArray[Any], bit_width: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FeatureCodec.fit(codes, bit_width)


@pytest.mark.parametrize("starts", [[0, 12], np.zeros(3, np.bool_)])
def test_starts_are_flags(starts: Any) -> None:
    with pytest.raises(QuantError, match="starts are bool"):
        FeatureCodec.fit(CODES, starts=starts)


def test_what_is_no_frame_is_refused() -> None:
    codec = fitted()
    for frame in (CODES[0, :5], CODES[0].astype(np.int16), CODES[0] + np.uint8(16)):
        with pytest.raises(QuantError, match=r"frame|symbol"):
            codec.encode(frame)


def test_a_profile_without_its_needs_is_refused() -> None:
    codec = FeatureCodec.fit(CODES, profiles=["rans-intra"])
    with pytest.raises(MissingError, match="no model for profile rans-inter"):
        codec.encode(CODES[1], CODES[0])
    with pytest.raises(UsageError, match="previous"):
        codec.encode(CODES[1], profile="rans-inter")
    with pytest.raises(MissingError, match="did you mean 'rans-intra'"):
        codec.encode(CODES[1], profile="rans-intro")


def test_what_is_no_frame_is_nothing_to_refer_to() -> None:
    codec = fitted()
    packet = codec.encode(CODES[1], CODES[0])
    for previous in (CODES[0, :5], CODES[0].astype(np.int16), CODES[0] + np.uint8(16)):
        with pytest.raises(DecodeError) as caught:
            codec.decode(packet, previous)
        assert caught.value.kind == "reference"


@pytest.mark.parametrize("family", ["rans", "max"])
def test_another_frame_with_the_same_check_gives_no_wrong_features(family: str) -> None:
    codec = FeatureCodec.fit(CODES, profiles=["rans", "max"])
    packet = codec.encode(CODES[6], CODES[5], profile=family)
    check, rng, found = read_slice(packet).header.check, np.random.default_rng(0), 0
    while found < 20:
        other = np.clip(CODES[5] + rng.integers(-1, 2, CODES[5].shape), 0, 15).astype(np.uint8)
        if engine().crc32c(other.tobytes()) & 0xFF == check:
            found += 1
            with pytest.raises(DecodeError, match=r"payload"):
                codec.decode(packet, other)


class TestKinds:
    """Each kind of DecodeError, as it comes about."""

    codec = fitted()
    key = codec.encode(CODES[5], stamp=Stamp(sequence=5))
    delta = codec.encode(CODES[6], CODES[5], stamp=Stamp(sequence=6))

    def kind(self, packet: bytes, previous: Any = None, newest: int | None = None) -> str:
        with pytest.raises(DecodeError) as caught:
            self.codec.decode(packet, previous, newest=newest)
        assert "\n" not in str(caught.value)
        return caught.value.kind

    def test_truncated(self) -> None:
        assert {self.kind(self.key[:n]) for n in range(len(self.key))} == {"truncated"}

    def test_truncated_by_a_missing_slice(self) -> None:
        shape = (16, 32, 31)
        codec = fitted(shape=shape)
        frame = np.random.default_rng(0).integers(0, 16, shape).astype(np.uint8)
        slices = list(datagrams(codec.encode(frame)))
        for lost in range(len(slices)):
            with pytest.raises(DecodeError) as caught:
                codec.decode(b"".join(slices[:lost] + slices[lost + 1 :]))
            assert caught.value.kind == "truncated"

    def test_checksum(self) -> None:
        assert self.kind(self.key[:-1] + bytes([self.key[-1] ^ 1])) == "checksum"

    def test_version(self) -> None:
        assert self.kind(b"XY" + self.key[2:]) == "version"
        assert self.kind(self.key[:2] + b"\x21" + self.key[3:]) == "version"

    def test_version_of_a_profile_without_a_model_here(self) -> None:
        header, payload = read_packet(self.key)
        packet = write_packet(header._replace(profile=PROFILES["max-intra"].number), payload)
        assert self.kind(packet) == "version"
        assert self.kind(write_packet(header._replace(profile=15), payload)) == "version"

    def test_descriptor(self) -> None:
        assert self.kind(fitted(bit_width=3).encode(features(bit_width=3)[0])) == "descriptor"

    def test_stale(self) -> None:
        assert self.kind(self.key, newest=5) == "stale"
        assert self.kind(self.key, newest=9) == "stale"
        np.testing.assert_array_equal(self.codec.decode(self.key, newest=4), CODES[5])
        np.testing.assert_array_equal(self.codec.decode(self.key, newest=2**32 - 1), CODES[5])

    def test_reference(self) -> None:
        assert self.kind(self.delta) == "reference"
        assert self.kind(self.delta, CODES[4]) == "reference"

    def test_too_large(self) -> None:
        assert self.kind(self.key + b"\0") == "too_large"
        assert self.kind(self.key + self.key) == "too_large"
