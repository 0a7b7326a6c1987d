"""Frames of counts to packets and back, without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.codec.bitstream import Header, Stamp, is_newer, read_packet, write_packet
from rivc.codec.context import ideal_bits
from rivc.codec.descriptor import Descriptor, check_bits
from rivc.codec.engine import engine
from rivc.codec.layout import fit_layout
from rivc.codec.profiles import BY_NUMBER, FAMILIES, PROFILES, Training, find_profile, rans_model
from rivc.errors import DamagedFileError, DecodeError, MissingError, QuantError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from rivc.codec.profiles import Pair, Profile

    Frame = NDArray[np.uint8]

MAX_SYMBOL: Final = 255
NOW: Final = Stamp()


class FeatureCodec:
    """Codes the counts that one layer emits; both ends share one descriptor.

    A frame is uint8 [C, H, W] of symbols below 2^bit_width; dense features have H = W = 1. A codec
    keeps no state: sender and receiver hand it the frame that a packet refers to.

    Args:
        descriptor: what both ends share.

    Raises:
        DamagedFileError: if a model of the descriptor is none.

    Example:
        >>> codes = np.random.default_rng(0).binomial(3, 0.2, (20, 4, 5, 5)).astype(np.uint8)
        >>> codec = FeatureCodec.fit(codes, bit_width=2)
        >>> key, delta = codec.encode(codes[8]), codec.encode(codes[9], codes[8])
        >>> frame = codec.decode(key)
        >>> bool((codec.decode(delta, frame) == codes[9]).all())
        True
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self._blank = np.zeros(descriptor.shape, np.uint8)
        try:
            self._pairs = {
                name: find_profile(name).prepare(descriptor, model)
                for name, model in descriptor.models.items()
            }
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFileError(f"a model lacks an array or its type: {error}") from error

    @classmethod
    def fit(
        cls,
        codes: ArrayLike,
        bit_width: int = 4,
        *,
        starts: ArrayLike | None = None,
        profiles: Sequence[str] = ("rans",),
    ) -> FeatureCodec:
        """Fit layout and models to recorded frames.

        Args:
            codes: consecutive frames, uint8 [T, C, H, W].
            bit_width: of a symbol, 1..8.
            starts: frames that begin an episode and have none before, bool [T]; default: the first.
            profiles: those to fit models for, by name or family; the others need none.

        Raises:
            QuantError: if the codes are no frames of symbols of so many bits, or the starts no
                flags of them.
            UsageError: if shape or bit width is out of range.
            MissingError: if there is no such profile.
        """
        codes = _frames(codes, bit_width)
        previous = np.concatenate([np.zeros_like(codes[:1]), codes[:-1]])
        if starts is not None:
            previous[_flags(starts, len(codes))] = 0
        bare = Descriptor(codes.shape[1:], bit_width, fit_layout(codes))
        training = Training(codes, previous)
        names = [one for name in profiles for one in FAMILIES.get(name, (name,))]
        rows = [find_profile(name) for name in names]
        models = {row.name: row.fit(bare, training) for row in rows if row.fit}
        return cls(Descriptor(bare.shape, bit_width, bare.layout, models))

    @property
    def descriptor_id(self) -> bytes:
        """The first 3 bytes of the descriptor's SHA-256, which every packet carries."""
        return bytes.fromhex(self.descriptor.sha256[:6])

    def encode(
        self,
        frame: ArrayLike,
        previous: ArrayLike | None = None,
        *,
        profile: str = "rans",
        stamp: Stamp = NOW,
    ) -> bytes:
        """Return the packet of a frame: its slices one after the other; see `datagrams`.

        Args:
            frame: uint8 [C, H, W].
            previous: an earlier frame that the receiver has; a packet that refers to it is smaller.
            profile: how to code; a family, ``rans`` or ``max``, stands for its ``-inter`` if there
                is a previous frame, for ``-intra`` if not, and for ``packed`` where that is less.
            stamp: sequence number, distance of the previous frame, time of capture.

        Raises:
            QuantError: if a frame has another shape or type, or a symbol has more bits.
            UsageError: if the profile refers to a previous frame and there is none.
            MissingError: if there is no such profile, or it has no model or no library here.
        """
        frame, row = self._checked(frame), _choose(profile, inter=previous is not None)
        before = self._blank
        if row.refers:
            if previous is None:
                raise UsageError(f"profile {row.name} refers to a previous frame; give one")
            before = self._checked(previous)
        payload = self._pair(row).encode(frame, before)
        packed = self._pair(PROFILES["packed"])
        if profile in FAMILIES and len(payload) > packed.most:
            row, payload = PROFILES["packed"], packed.encode(frame, before)
        return write_packet(self._header(row, before, stamp), payload)

    def decode(
        self, packet: bytes, previous: ArrayLike | None = None, *, newest: int | None = None
    ) -> Frame:
        """Return the frame of a packet, exactly as it was encoded.

        Work and memory are bounded by the shape of a frame, whatever the bytes are.

        Args:
            packet: all slices of one frame, in order.
            previous: the frame that the packet refers to, if it refers to one.
            newest: sequence number of the newest frame in use; one that is not newer is refused.

        Raises:
            DecodeError: with its `kind`: the packet is "truncated" (or a slice is missing), fails
                its "checksum", has another "version" or "descriptor" or a profile that cannot be
                decoded here ("version"), is "stale", refers to another frame than `previous`
                ("reference"), or is "too_large".
            QuantError: if `previous` is no frame.
        """
        header, payload = read_packet(packet)
        row = self._accepted(header, newest)
        before = self._referred(header, row, previous)
        try:
            pair = self._pair(row)
            if len(payload) > pair.most:
                raise DecodeError("too_large", f"{len(payload)} bytes; {pair.most} can be a frame")
            return pair.decode(payload, before)
        except MissingError as error:  # a model or a library; the sender has it
            raise DecodeError("version", str(error)) from error

    def ideal_bits(self, frame: ArrayLike, previous: ArrayLike | None = None) -> float:
        """Return the bits that the tables of ``rans`` allow a frame; a payload takes little more.

        Raises:
            QuantError: if a frame is none.
            MissingError: if the codec has no such tables.
        """
        row = _choose("rans", inter=previous is not None)
        self._pair(row)
        arrays = self.descriptor.models[row.name]
        model = rans_model(self.descriptor, arrays, inter=row.refers)
        before = self._blank if previous is None else self._checked(previous)
        return ideal_bits(model, self._checked(frame), before)

    def save(self, path: str | Path) -> None:
        """Write the descriptor to one ``.npz`` file, whole or not at all."""
        self.descriptor.save(path)

    @classmethod
    def load(cls, path: str | Path) -> FeatureCodec:
        """Read a descriptor.

        Raises:
            MissingError: if there is no such file, or it has a profile that is unknown here.
            DamagedFileError: if it is not a whole, unaltered descriptor.
        """
        return cls(Descriptor.load(path))

    def _header(self, row: Profile, before: Frame, stamp: Stamp) -> Header:
        return Header(
            profile=row.number,
            descriptor_id=self.descriptor_id,
            point=stamp.point,
            sequence=stamp.sequence,
            distance=stamp.distance if row.refers else 0,
            check=self._check(before) if row.refers else 0,
            slice_index=0,
            slice_count=1,
            captured_us=stamp.captured_us,
        )

    def _accepted(self, header: Header, newest: int | None) -> Profile:
        """The profile of a packet that is for this codec, and newer than what is in use."""
        if header.descriptor_id != self.descriptor_id:
            theirs, ours = header.descriptor_id.hex(), self.descriptor_id.hex()
            raise DecodeError("descriptor", f"a packet for codec {theirs}; this is {ours}")
        if header.profile not in BY_NUMBER:
            raise DecodeError("version", f"profile {header.profile} is unknown to this version")
        if newest is not None and not is_newer(header.sequence, newest):
            raise DecodeError("stale", f"frame {header.sequence} is not newer than {newest}")
        return BY_NUMBER[header.profile]

    def _referred(self, header: Header, row: Profile, previous: ArrayLike | None) -> Frame:
        """The frame that a packet refers to; zeros for one that refers to none."""
        if row.refers != bool(header.distance):
            raise DecodeError("version", f"a packet of {row.name} with distance {header.distance}")
        if not row.refers:
            return self._blank
        if previous is None:
            frame = f"{header.distance} frames before {header.sequence}"
            raise DecodeError("reference", f"the packet refers to a frame, {frame}; there is none")
        try:
            before = self._checked(previous)
        except QuantError as error:
            raise DecodeError("reference", f"the frame to refer to is none: {error}") from error
        if self._check(before) != header.check:
            raise DecodeError("reference", "the packet refers to another frame than the one given")
        return before

    def _checked(self, frame: ArrayLike) -> Frame:
        frame = np.asarray(frame)
        shape, top = self.descriptor.shape, self.descriptor.grid.q_max
        if frame.dtype != np.uint8 or frame.shape != shape:
            raise QuantError(
                f"a frame is uint8 {list(shape)}, not {frame.dtype} {list(frame.shape)}"
            )
        if top < MAX_SYMBOL and frame.max() > top:
            raise QuantError(
                f"a symbol of {frame.max()} where {self.descriptor.bit_width} bits hold {top}"
            )
        # Loops are compiled for arrays in C order that could be written.
        return frame if frame.flags.carray else np.require(frame, requirements=["C", "W"])

    def _check(self, frame: Frame) -> int:
        return engine().crc32c(frame.tobytes()) & 0xFF

    def _pair(self, row: Profile) -> Pair:
        """What codes in a profile, made when it is first asked for."""
        if row.name not in self._pairs:
            if row.fit:
                fitted = row.name.partition("-")[0]
                raise MissingError(
                    f"this codec has no model for profile {row.name}; `rivc codec fit --profile "
                    f"{fitted}` makes one, as FeatureCodec.fit(..., profiles=[...]) does"
                )
            self._pairs[row.name] = row.prepare(self.descriptor, {})
        return self._pairs[row.name]


def _choose(profile: str, *, inter: bool) -> Profile:
    return find_profile(FAMILIES[profile][inter] if profile in FAMILIES else profile)


def _flags(starts: ArrayLike, count: int) -> NDArray[np.bool_]:
    flags = np.asarray(starts)
    if flags.dtype != np.bool_ or flags.shape != (count,):
        raise QuantError(f"starts are bool [{count}], not {flags.dtype} {list(flags.shape)}")
    return flags


def _frames(codes: ArrayLike, bit_width: int) -> NDArray[np.uint8]:
    check_bits(bit_width)
    codes = np.asarray(codes)
    if codes.ndim != 4 or codes.dtype != np.uint8 or not codes.size:
        raise QuantError(f"codes are uint8 [T, C, H, W], not {codes.dtype} {list(codes.shape)}")
    if codes.max() >> bit_width:
        raise QuantError(
            f"a symbol of {codes.max()} where {bit_width} bits hold {(1 << bit_width) - 1}"
        )
    return codes
