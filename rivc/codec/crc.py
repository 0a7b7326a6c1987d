"""CRC-32C (Castagnoli), the checksum of a packet.

.. math:: x^{32} + x^{28} + x^{27} + x^{26} + x^{25} + x^{23} + x^{22} + x^{20} + x^{19} + x^{18} +
    x^{14} + x^{13} + x^{11} + x^{10} + x^9 + x^8 + x^6 + 1

It finds every change of up to three bits in a slice. Row 0 of `TABLE` takes one byte at a time;
row k is for a byte that k more follow, which lets `rivc.codec.loops` take eight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POLYNOMIAL: Final = 0x82F63B78  # its bits in reverse


def _make_table() -> NDArray[np.uint32]:
    table = np.zeros((8, 256), np.uint32)
    table[0] = np.arange(256)
    for _ in range(8):
        table[0] = (table[0] >> 1) ^ (table[0] & 1) * np.uint32(_POLYNOMIAL)
    for k in range(1, 8):
        table[k] = (table[k - 1] >> 8) ^ table[0, table[k - 1] & 0xFF]
    return table


TABLE: Final = _make_table()
_BYTES: Final[list[int]] = TABLE[0].tolist()


def crc32c(data: bytes) -> int:
    """Return the checksum of bytes.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _BYTES[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
