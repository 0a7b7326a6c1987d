"""Every error that rivc raises on purpose.

::

    RivcError                   anything below; `exit_code` is what the command line returns
    |-- UsageError              exit 2: what was asked for is wrong
    |   |-- ConfigError         a configuration key, type or value
    |   |-- MissingError        a file, an environment id, an optional package or a system library
    |   |-- DamagedFileError    a file that is not what it claims to be
    |   `-- DecodeError         a packet of features that must not be used; `kind` says why
    `-- FailedError             exit 1: the request was fine, the work was not
        |-- QuantError          a value that the integer arithmetic cannot hold
        |-- ChipLimitError      a program that does not fit the chip
        |-- MismatchError       two forms of one policy gave different integers
        |-- BackendError        a chip that failed while it ran
        |-- RobotError          a robot that failed while it was driven
        |-- LinkError           a server that refuses a robot, or an address that cannot be used
        `-- DivergedError       a loss that is no longer a finite number
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

DecodeErrorKind = Literal[
    "truncated", "checksum", "version", "descriptor", "stale", "reference", "too_large"
]


class RivcError(Exception):
    """Base of all deliberate errors: the message is one line and names the way out."""

    exit_code = 1


class UsageError(RivcError):
    """The request itself is wrong; nothing was changed."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration key, type or value is wrong."""


class MissingError(UsageError):
    """Something that was named is not there: a file, an id, a package or a library."""


class DamagedFileError(UsageError):
    """A file is truncated, altered or of another kind than its name says."""


class DecodeError(UsageError):
    """A packet of features that must not be used.

    Attributes:
        kind: "truncated", "checksum", "version", "descriptor", "stale", "reference" or "too_large".
    """

    def __init__(self, kind: DecodeErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class FailedError(RivcError):
    """The request was fine and the work failed."""


class QuantError(FailedError):
    """A value cannot be held exactly by the integer arithmetic."""


class ChipLimitError(FailedError):
    """A program exceeds what a chip can run."""


class MismatchError(FailedError):
    """Two forms of the same policy produced different integers."""


class BackendError(FailedError):
    """A chip failed while it ran: gone, timed out or out of memory."""


class RobotError(FailedError):
    """A robot failed while it was driven: a camera, a motor or the way to them."""


class LinkError(FailedError):
    """The other end of a link refuses, or its address cannot be used."""


class DivergedError(FailedError):
    """A loss or a weight is no longer finite."""


def in_one_line(error: BaseException) -> str:
    r"""Return what somebody else's exception says, as part of a message of one line.

    >>> in_one_line(ValueError("bad header\n  in line 3"))
    'ValueError: bad header in line 3'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name nearest to `name`, or an empty string.

    >>> nearest("gap_cof", ["gap_coef", "margin"])
    "; did you mean 'gap_coef'?"
    """
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
