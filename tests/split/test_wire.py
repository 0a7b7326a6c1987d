"""Bytes on the wire: nothing that was altered, repeated or cut short gets through."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from rivc.split.wire import (
    JOIN,
    MAX_MESSAGE,
    TAG,
    Kind,
    Message,
    ReplayWindow,
    Seal,
    microseconds,
    suspicion,
)
from tests.split.parts import KEY

numbers = st.integers(0, 2**32 - 1)
SEAL = Seal(KEY)


def test_the_bytes_of_a_message_are_these() -> None:
    assert Seal(b"").seal(Message(Kind.LEAVE, 0x04030201, 5, b"")).hex() == "01070102030405000000"
    sealed = SEAL.seal(Message(Kind.LEAVE, 0x04030201, 5, b""))
    assert sealed.hex() == "01070102030405000000" + "efde9004b131c3989073cee6"
    assert sealed[10:] == hmac.digest(KEY, sealed[:10], "sha256")[:12]


@given(numbers, numbers, st.binary(min_size=7, max_size=99))
def test_what_is_sealed_is_opened(session: int, counter: int, body: bytes) -> None:
    message = Message(Kind.FRAME, session, counter, body)
    for seal in (SEAL, Seal(b"")):
        data = seal.seal(message)
        assert seal.parse(data) == message
        assert suspicion(message, data, seal, ReplayWindow(), Kind.FRAME) in {"", "replayed"}


@given(st.data(), st.binary(min_size=7, max_size=40))
def test_no_altered_byte_gets_through(data: st.DataObject, body: bytes) -> None:
    sealed = bytearray(SEAL.seal(Message(Kind.FRAME, 1, 2, body)))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    message = SEAL.parse(bytes(sealed))
    assert suspicion(message, bytes(sealed), SEAL, ReplayWindow(), Kind.FRAME)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    for seal in (SEAL, Seal(b"")):
        message = seal.parse(data)
        assert message is None or len(message.body) <= len(data)


def test_bodies_have_the_length_of_their_kind() -> None:
    plain = Seal(b"")
    lengths = {Kind.JOIN: JOIN.size, Kind.LEAVE: 0, Kind.ACK: 5}
    for kind, length in lengths.items():
        assert plain.parse(plain.seal(Message(kind, 1, 1, bytes(length))))
        for wrong in {length - 1, length + 1} - {-1}:
            assert plain.parse(plain.seal(Message(kind, 1, 1, bytes(wrong)))) is None
    largest = MAX_MESSAGE - 10
    assert plain.parse(plain.seal(Message(Kind.FRAME, 1, 1, bytes(largest)))) is None
    assert plain.parse(plain.seal(Message(Kind.FRAME, 1, 1, bytes(largest - TAG))))


@given(st.lists(st.integers(1, 300), max_size=200))
def test_a_counter_is_taken_once_and_never_when_it_is_old(counters: list[int]) -> None:
    window, taken = ReplayWindow(), set[int]()
    for counter in counters:
        largest = max(taken, default=0)
        new = counter not in taken and counter > largest - 64
        assert window.take(counter) == new
        taken |= {counter} if new else set()


def test_a_session_has_a_key_of_its_own_and_a_message_of_another_is_worth_nothing() -> None:
    one, other = SEAL.of_session(bytes(16), bytes(16)), SEAL.of_session(bytes(16), bytes([1] * 16))
    data = one.seal(Message(Kind.LEAVE, 1, 1, b""))
    assert one.is_sealed(data)
    assert not other.is_sealed(data)
    assert not SEAL.is_sealed(data)


def test_microseconds_wrap() -> None:
    assert microseconds(2**32 * 1000 + 5999) == 5
