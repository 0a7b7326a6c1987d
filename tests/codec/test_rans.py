"""The coder: compiled and Python write the same bytes, and few more than its tables promise."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import constriction
import crc32c as crc32c_package
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.codec import FeatureCodec, rans
from rivc.codec.bitstream import read_packet
from rivc.codec.context import Model, contexts, make_model
from rivc.codec.crc import crc32c
from rivc.codec.engine import engine
from rivc.errors import DecodeError
from tests.codec.frames import features, recordings

if TYPE_CHECKING:
    from rivc.codec.context import Frame
    from rivc.codec.engine import Engine

COMPILED, PLAIN = engine(compiled=True), engine(compiled=False)


def model_of(codec: FeatureCodec, profile: str) -> Model:
    arrays, layout = codec.descriptor.models[profile], codec.descriptor.layout
    return make_model(layout, arrays["classes"], arrays["starts"], inter=profile == "rans-inter")


CODES = features(4)
MODEL = model_of(FeatureCodec.fit(CODES), "rans-inter")
PAYLOAD = PLAIN.encode(MODEL, CODES[2], CODES[1])


@settings(max_examples=40, deadline=None)
@given(recordings(), st.sampled_from(["rans-intra", "rans-inter"]))
def test_both_engines_write_the_same_bytes(recording: tuple[int, Frame], profile: str) -> None:
    bit_width, codes = recording
    model = model_of(FeatureCodec.fit(codes[:1], bit_width), profile)
    payload = PLAIN.encode(model, codes[-1], codes[-2])
    assert COMPILED.encode(model, codes[-1], codes[-2]) == payload
    for one in (PLAIN, COMPILED):
        np.testing.assert_array_equal(one.decode(model, payload, codes[-2]), codes[-1])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_both_engines_refuse_the_same_payloads(data: st.DataObject) -> None:
    payload = bytearray(PAYLOAD)
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        payload = payload[: data.draw(st.integers(0, len(payload)))]
    payload += data.draw(st.sampled_from([b"", b"", b"\0", b"\0\1"]))
    ends = []
    for one in (PLAIN, COMPILED):
        try:
            ends.append(one.decode(MODEL, bytes(payload), CODES[1]).tobytes())
        except DecodeError as error:
            ends.append((error.kind, str(error)))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("one", [PLAIN, COMPILED])
def test_a_flipped_bit_of_a_payload_is_found_by_the_coder_itself(one: Engine) -> None:
    kinds = set()
    for i in range(8 * len(PAYLOAD)):
        payload = bytearray(PAYLOAD)
        payload[i // 8] ^= 1 << i % 8
        with pytest.raises(DecodeError) as caught:
            one.decode(MODEL, bytes(payload), CODES[1])
        kinds.add(caught.value.kind)
    assert {"truncated", "checksum"} <= kinds


@pytest.mark.parametrize("bit_width", [1, 2, 4, 8])
def test_a_payload_is_within_its_allowance_of_the_ideal(bit_width: int) -> None:
    codes = features(12, (16, 12, 12), bit_width)
    codec = FeatureCodec.fit(codes[:8], bit_width)
    for previous, frame in itertools.pairwise(codes[7:]):
        for profile, before in (("rans-intra", None), ("rans-inter", previous)):
            ideal = codec.ideal_bits(frame, before) / 8
            payload = len(read_packet(codec.encode(frame, before, profile=profile))[1])
            assert ideal <= payload <= 1.007 * ideal + 8


def test_constriction_takes_as_many_bytes_for_the_same_tables() -> None:
    codes = features(12, (16, 24, 24))
    model = model_of(FeatureCodec.fit(codes[:8]), "rans-inter")
    ours = theirs = 0
    family = constriction.stream.model.Categorical(perfect=False)
    for previous, frame in itertools.pairwise(codes):
        symbols, at = contexts(model, frame, previous)
        tables = np.diff(model.starts[at].astype(np.float32)) / 4096
        coder = constriction.stream.stack.AnsCoder()
        coder.encode_reverse(symbols.astype(np.int32), family, tables.astype(np.float32))
        theirs += coder.get_compressed().nbytes
        ours += len(COMPILED.encode(model, frame, previous))
    assert abs(ours - theirs) <= 0.005 * theirs


@given(st.binary(max_size=100))
def test_the_checksum_is_crc32c(data: bytes) -> None:
    assert crc32c(data) == COMPILED.crc32c(data) == crc32c_package.crc32c(data)


def test_a_payload_is_written_backwards_and_read_forwards() -> None:
    payload = rans.push(np.array([0, 1024, 0]), np.array([1024, 3072, 1024]))
    reader = rans.Reader(payload)
    assert [reader.take([0, 1024, 4096]) for _ in range(3)] == [0, 1, 0]
    reader.close()
