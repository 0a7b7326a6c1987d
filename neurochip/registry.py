"""Backends by name: a table for ours, an entry point group for everybody else's."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Final

from rivc.errors import ConfigError, MissingError, in_one_line, nearest

if TYPE_CHECKING:
    from rivc.neurochip.backend import Backend

ENTRY_POINTS: Final = "rivc.backends"


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """One backend, known without loading it.

    Attributes:
        name: as the command line knows it.
        target: "module:class".
        summary: one line.
        needs: the package it runs on, if it is optional.
        extra: the extra that installs it.
    """

    name: str
    target: str
    summary: str
    needs: str | None = None
    extra: str | None = None

    @property
    def is_installed(self) -> bool:
        """True if what it needs can be imported."""
        return self.needs is None or find_spec(self.needs) is not None

    @property
    def remedy(self) -> str:
        """The command that installs what is missing."""
        return f"pip install 'rivc[{self.extra}]'"


_BUILT_IN: Final = (
    BackendInfo(
        "emulator",
        "rivc.neurochip.emulator:Emulator",
        "integer counts on this machine; the default",
    ),
    BackendInfo(
        "spiking",
        "rivc.neurochip.spiking:Spiking",
        "real spikes under any schedule, lossy if asked",
    ),
    BackendInfo(
        "snntorch",
        "rivc.neurochip.snntorch:SnnTorch",
        "real spikes, tick by tick, in stock snn.Leaky neurons",
        needs="snntorch",
        extra="train",
    ),
    BackendInfo(
        "akida",
        "rivc.neurochip.akida:Akida",
        "BrainChip's AKD1000 or v2 IP: simulated, mapped, or the device",
        needs="akida",
        extra="akida",
    ),
)


def backend_infos() -> list[BackendInfo]:
    """Return what there is, built in first, then what other packages registered."""
    ours = list(_BUILT_IN)
    names = {info.name for info in ours}
    theirs = [
        BackendInfo(
            entry.name, entry.value, f"from {entry.dist.name if entry.dist else entry.value}"
        )
        for entry in entry_points(group=ENTRY_POINTS)
        if entry.name not in names
    ]
    return ours + sorted(theirs, key=lambda info: info.name)


def backend_names() -> list[str]:
    """Return the names of all backends."""
    return [info.name for info in backend_infos()]


def load_backend(name: str, /, **options: object) -> Backend:
    """Build a backend.

    Args:
        name: one of `backend_names()`.
        options: handed to it, `backend.options` in a configuration.

    Raises:
        ConfigError: if there is no such backend or it does not take the options.
        MissingError: if it, or what it runs on, is not installed.

    Example:
        >>> load_backend("emulator").profile
        'ideal'
    """
    infos = {info.name: info for info in backend_infos()}
    if name not in infos:
        raise ConfigError(
            f"unknown backend {name!r}; known: {', '.join(infos)}{nearest(name, infos)}"
        )
    info = infos[name]
    if not info.is_installed:
        raise MissingError(f"backend {name!r} needs {info.needs}: {info.remedy}")
    try:
        factory = EntryPoint(name, info.target, ENTRY_POINTS).load()
    except Exception as error:  # somebody else's code
        what = f"backend {name!r} ({info.target}) cannot be loaded: {in_one_line(error)}"
        raise MissingError(what) from error
    try:
        signature(factory).bind(**options)
    except TypeError as error:
        raise ConfigError(f"backend {name!r} does not take {sorted(options)}: {error}") from error
    backend: Backend = factory(**options)
    return backend
