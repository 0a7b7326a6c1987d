r"""Gradients of maps as few bits, on average what they were.

Each stripe has a scale of its own in every packet, the smallest that reaches its largest value, and
rounding is stochastic (the dither u is uniform in [-1/2, 1/2)):

.. math::

    q = clip(rint(g / s + u), -q_{max}, q_{max}), \quad
    E[s q] = g, \quad |s q - g| < s \le \tfrac{5}{4} \max |g| / q_{max}

so that nothing is clipped and the error of a step of the sender is bounded and has no bias. A scale
is one byte e: 0 for a stripe of zeros, else :math:`s = (4 + e \bmod 4) \, 2^{\lfloor e / 4 \rfloor
- 46}`, exact on every machine. Codes follow in the shorter form of `rivc.codec.weights`, packed or
under their own histogram; the whole is a packet of `rivc.codec.bitstream`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec.bitstream import Header, read_packet, write_packet
from rivc.codec.weights import decode_weights, encode_weights
from rivc.errors import ConfigError, DamagedFileError, DecodeError, QuantError
from rivc.quant import Grid, dequantize, quantize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rivc.codec.sgq import GroupQuantizer

PROFILE: Final = 15  # number in the header of a packet
LOWEST: Final = -46
MIN_BITS, MAX_BITS = 2, 8  # one signed bit has no zero


def _scales() -> NDArray[np.float64]:
    """The scale of each byte; that of 0 is not used."""
    e = np.arange(256)
    return np.asarray(np.ldexp(4.0 + e % 4, e // 4 + LOWEST), np.float64)


SCALES: Final = _scales()


class GradientCodec:
    """Codes gradients of the maps of a `GroupQuantizer`; both ends have the same.

    Args:
        groups: whose maps and stripes they are.
        bit_width: of a code, 2..8.

    Raises:
        ConfigError: if the bit width is out of range.

    Example:
        >>> from rivc.codec.sgq import GroupPlan, GroupQuantizer
        >>> frames = np.ones((1, 4, 6, 6), np.uint8)
        >>> groups = GroupQuantizer.fit(frames, GroupPlan(groups=2, stripes=2), 4)
        >>> codec, rng = GradientCodec(groups, 4), np.random.default_rng(0)
        >>> gradients = rng.normal(size=(2, 6, 6))
        >>> sequence, back = codec.decode(codec.encode(gradients, rng, sequence=7))
        >>> sequence, bool(np.abs(back - gradients).max() < 1.25 * np.abs(gradients).max() / 7)
        (7, True)
    """

    def __init__(self, groups: GroupQuantizer, bit_width: int) -> None:
        if not MIN_BITS <= bit_width <= MAX_BITS:
            raise ConfigError(f"gradients of {bit_width} bits; it takes {MIN_BITS}..{MAX_BITS}")
        self.shape = groups.groups, *groups.shape[1:]
        self.grid = Grid(bit_width)
        self._id = bytes.fromhex(groups.sha256[:6])
        self._stripe, self._stripes = groups.stripe, groups.step.shape[1]

    def encode(self, gradients: ArrayLike, rng: np.random.Generator, *, sequence: int = 0) -> bytes:
        """Return the packet of gradients of maps.

        Args:
            gradients: real, [G, H, W].
            rng: draws the dither.
            sequence: of the frame that they belong to, modulo 2^32.

        Raises:
            QuantError: if they have another shape, or are not finite and below 2^19.
            UsageError: if they do not fit a packet.
        """
        gradients = np.asarray(gradients, np.float64)
        if gradients.shape != self.shape or not np.isfinite(gradients).all():
            raise QuantError(
                f"gradients are finite, {list(self.shape)}, not {list(gradients.shape)}"
            )
        code = self._scale_codes(gradients)
        scale = self._spread(SCALES[code])
        dither = rng.uniform(-0.5, 0.5, self.shape)
        q = quantize(gradients + scale * dither, scale, self.grid)
        q[np.broadcast_to(self._spread(code) == 0, q.shape)] = 0
        header = Header(PROFILE, self._id, 0, sequence % (1 << 32), 0, 0, 0, 1, 0)
        return write_packet(header, code.tobytes() + encode_weights(q, self.grid))

    def decode(self, packet: bytes) -> tuple[int, NDArray[np.float64]]:
        """Return the sequence number of a packet and its gradients, float64 [G, H, W].

        Raises:
            DecodeError: if it is not a whole packet of such gradients.
        """
        header, payload = read_packet(packet)
        if header.descriptor_id != self._id:
            theirs, ours = header.descriptor_id.hex(), self._id.hex()
            raise DecodeError("descriptor", f"gradients for groups {theirs}; these are {ours}")
        if header.profile != PROFILE or header.distance:
            raise DecodeError("version", f"profile {header.profile} carries no gradients")
        side, count = self.shape[0] * self._stripes, int(np.prod(self.shape))
        if len(payload) > side + 1 + (2 << self.grid.bit_width) + 2 * count + 8:
            raise DecodeError("too_large", f"{len(payload)} bytes for {count} gradients")
        code = np.frombuffer(payload[:side], np.uint8)
        try:
            q = decode_weights(payload[side:], count, self.grid)
        except DamagedFileError as error:
            raise DecodeError("checksum", str(error)) from error
        scale = self._spread(SCALES[code.reshape(-1, self._stripes)])
        return header.sequence, dequantize(q.reshape(self.shape), scale)

    def _scale_codes(self, gradients: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The byte of the smallest scale that reaches every value of a stripe, [G, stripes]."""
        first = np.searchsorted(self._stripe, np.arange(self._stripes))
        peak = np.maximum.reduceat(np.abs(gradients).max(2), first, axis=1)
        code = 1 + np.searchsorted(SCALES[1:], peak / self.grid.q_max)
        if code.max() >= len(SCALES):
            raise QuantError(f"a gradient of {peak.max():g} is beyond every scale; it diverged")
        return np.where(peak > 0, code, 0).astype(np.uint8)

    def _spread(self, of_stripe: NDArray[Any]) -> NDArray[Any]:
        """The entry of each row of each map, [G, H, 1]."""
        return of_stripe[:, self._stripe, None]
