"""What goes wrong with a mock robot: delays, shares and a schedule, as data."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rivc.errors import ConfigError, MissingError, nearest
from rivc.snn_convert.storage import MAX_TEXT, UNREADABLE, read_plain, reason

Milliseconds = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Kind = Literal["late", "lost", "hang", "jam"]
T = TypeVar("T", bound=BaseModel)
_SHORT: Final = reprlib.Repr()  # of what an alias makes large
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 200, 200


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Fault(_Section):
    """One fault that comes at its time."""

    kind: Kind
    """late: frames arrive `late_ms` later; lost: they never do; hang: `read` does not return;
    jam: `send` does not return."""
    start_s: Seconds
    """When it begins."""
    seconds: Seconds
    """How long it lasts."""


class Faults(_Section):
    """Delays and faults of a mock robot; the defaults are those of a healthy one.

    Example:
        >>> Faults(lost=0.1).lost
        0.1
    """

    frame_ms: Milliseconds = 5.0
    """From the capture of a frame to its arrival."""
    frame_jitter_ms: Milliseconds = 1.0
    """Up to so much more, evenly spread."""
    command_ms: Milliseconds = 2.0
    """From `send` to the motors."""
    command_jitter_ms: Milliseconds = 1.0
    """Up to so much more, evenly spread; commands keep their order."""
    late: Share = 0.0
    """Share of frames that are late."""
    late_ms: Milliseconds = 100.0
    """How late they are."""
    lost: Share = 0.0
    """Share of frames that never arrive."""
    noise: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    """Standard deviation of the sensor's noise: steps of a pixel, or units of a vector."""
    schedule: Annotated[tuple[Fault, ...], Field(max_length=10_000)] = ()
    """Faults that come at their time."""


def _every(kind: Kind, period_s: float, seconds: float, count: int) -> tuple[Fault, ...]:
    starts = (period_s * (i + 1) for i in range(count))
    return tuple(Fault(kind=kind, start_s=start_s, seconds=seconds) for start_s in starts)


FAULTS: Final = {
    "none": Faults(),
    "jitter": Faults(frame_jitter_ms=10.0, command_jitter_ms=10.0, noise=2.0),
    "rough": Faults(late=0.02, lost=0.02, noise=2.0, schedule=_every("lost", 20.0, 0.5, 100)),
    "hung": Faults(schedule=_every("hang", 10.0, 2.0, 100)),
}


def load_faults(source: str) -> Faults:
    """Return faults by their name, or from a YAML file.

    Raises:
        MissingError: if there is neither such a name nor such a file.
        ConfigError: if the file holds anything else.

    Example:
        >>> load_faults("hung").schedule[0].start_s
        10.0
    """
    if source in FAULTS:
        return FAULTS[source]
    if not _is_there(source):
        raise MissingError(
            f"no faults {source!r}: no such file, and known are "
            f"{', '.join(FAULTS)}{nearest(source, FAULTS)}"
        )
    return parse(Faults, read_yaml(Path(source)), source)


def _is_there(source: str) -> bool:
    try:
        return Path(source).exists()
    except OSError:  # too long for a name
        return False


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file of bounded size.

    Raises:
        ConfigError: if it holds anything else.
    """
    try:
        tree = yaml.safe_load(read_plain(path, MAX_TEXT))
    except (yaml.YAMLError, *UNREADABLE) as error:
        raise ConfigError(f"{path} is not YAML: {reason(error)}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold keys and values, not a {type(tree).__name__}")
    return {str(key): value for key, value in tree.items()}


def parse(kind: type[T], tree: dict[str, Any], source: str) -> T:
    """Return the values of a tree, checked; errors name `source` and the key.

    Raises:
        ConfigError: if a key is unknown or a value is wrong.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            known = nearest(key, kind.model_fields)
            raise ConfigError(f"{source}: unknown key {key!r}{known}") from error
        got = reason(ValueError(_SHORT.repr(problem["input"])))
        raise ConfigError(f"{source}: {key}: {problem['msg']}, got {got}") from error
