"""How far each disturbance may go: one field a disturbance, its unit in its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any, Final

from rivc.errors import ConfigError, nearest

Extent = float | tuple[float, float]


def _extent(*, full: float, limit: float, one_way: bool = False) -> Any:  # as dataclasses want it
    return field(default=0.0, metadata={"full": full, "limit": limit, "one_way": one_way})


def bounds(extent: Extent) -> tuple[float, float]:
    """Return the least and the most that an extent allows; one number is the most."""
    return extent if isinstance(extent, tuple) else (0.0, extent)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _times(factor: float, extent: Extent) -> Any:  # what the extent is
    if isinstance(extent, tuple):
        return factor * extent[0], factor * extent[1]
    return factor * extent


def _are_in_order(pair: tuple[Any, ...], limit: float) -> bool:
    """Whether these are two numbers from 0 to a limit, the lower one first."""
    return len(pair) == 2 and all(map(_is_number, pair)) and 0 <= pair[0] <= pair[1] <= limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbances:
    """The largest extent of everything that may differ from the nominal task; 0 is off.

    Every episode draws anew how much of each there is, evenly up to the extent: ``x_share`` draws a
    factor from 1 - x to 1 + x where the text says "times", or else a share from 0 to x. What lies
    between policy and robot, from `action_delay_steps` on, may be a pair: evenly between the two,
    and ``(4, 4)`` is 4 in every episode.

    Attributes:
        light_share: times the brightness of all light.
        light_angle_deg: by which lamps turn about each axis, either way.
        colour_share: times each channel of the colour of each geom and plain material.
        camera_angle_deg: by which the robot's cameras turn about each axis, either way.
        camera_shift_m: by which they move along each axis, either way.
        view_angle_deg: by which their field of view widens or narrows, within 1 to 179.
        texture_share: times the contrast of each texture about middle grey; its channels shift by
            up to as much of 64 levels.
        distractors_count: coloured things, from yellow over green and blue to violet, that stand or
            swing about in the scene; they hide things and touch none.
        mass_share: times the mass and inertia of each body.
        friction_share: times the friction of every geom.
        motor_gain_share: times what each actuator makes of its command.
        action_delay_steps: control steps from an action to its command.
        observation_delay_steps: control steps from a picture or state to the policy.
        picture_noise_levels: standard deviation of normal noise on a picture, in its 255 levels.
        state_noise_share: the same on a state observation, in ranges of each number.
        actuator_noise_share: standard deviation of normal noise on the controls, drawn every
            control step, in half ranges of each actuator, or in its own unit where it has no range.
        dropped_frames_share: probability that an observation is lost and the last one stays.

    Raises:
        ConfigError: an extent is negative, too large or no number.

    Example:
        >>> Disturbances(action_delay_steps=2).scaled(0.5).action_delay_steps
        1.0
    """

    light_share: float = _extent(full=0.6, limit=1)
    light_angle_deg: float = _extent(full=45, limit=180)
    colour_share: float = _extent(full=0.5, limit=1)
    camera_angle_deg: float = _extent(full=8, limit=45)
    camera_shift_m: float = _extent(full=0.02, limit=1)
    view_angle_deg: float = _extent(full=12, limit=25)
    texture_share: float = _extent(full=1, limit=1)
    distractors_count: float = _extent(full=12, limit=32)
    mass_share: float = _extent(full=0.5, limit=0.9)
    friction_share: float = _extent(full=0.5, limit=0.9)
    motor_gain_share: float = _extent(full=0.4, limit=0.9)
    action_delay_steps: float | tuple[float, float] = _extent(full=2, limit=100, one_way=True)
    observation_delay_steps: float | tuple[float, float] = _extent(full=2, limit=100, one_way=True)
    picture_noise_levels: float | tuple[float, float] = _extent(full=40, limit=255, one_way=True)
    state_noise_share: float | tuple[float, float] = _extent(full=0.05, limit=1, one_way=True)
    actuator_noise_share: float | tuple[float, float] = _extent(full=0.4, limit=1, one_way=True)
    dropped_frames_share: float | tuple[float, float] = _extent(full=0.6, limit=0.95, one_way=True)

    def __post_init__(self) -> None:
        for row in fields(self):
            value, limit = getattr(self, row.name), row.metadata["limit"]
            one_way = row.metadata["one_way"]
            is_of_kind = one_way or not isinstance(value, tuple)
            if not (is_of_kind and _are_in_order(bounds(value), limit)):
                more = ", or two in order" if one_way else ""
                raise ConfigError(f"{row.name}={value!r} is not a number from 0 to {limit}{more}")

    def scaled(self, difficulty: float) -> Disturbances:
        """Return the same with every extent times `difficulty`.

        Raises:
            ConfigError: `difficulty` is not from 0 to 1.
        """
        read_difficulty(difficulty)
        return Disturbances(
            **{name: _times(difficulty, extent) for name, extent in self.extents().items()}
        )

    def extents(self) -> dict[str, Any]:
        """Return the extents that are not zero, by name."""
        values = {row.name: getattr(self, row.name) for row in fields(self)}
        return {name: value for name, value in values.items() if bounds(value)[1]}


FULL: Final = Disturbances(**{row.name: row.metadata["full"] for row in fields(Disturbances)})
FAMILIES: Final = {
    "light": ("light_share", "light_angle_deg"),
    "colours": ("colour_share",),
    "camera": ("camera_angle_deg", "camera_shift_m"),
    "field_of_view": ("view_angle_deg",),
    "textures": ("texture_share",),
    "distractors": ("distractors_count",),
    "mass": ("mass_share",),
    "friction": ("friction_share",),
    "motor_gain": ("motor_gain_share",),
    "action_delay": ("action_delay_steps",),
    "observation_delay": ("observation_delay_steps",),
    "sensor_noise": ("picture_noise_levels", "state_noise_share"),
    "actuator_noise": ("actuator_noise_share",),
    "dropped_frames": ("dropped_frames_share",),
}
GROUPS: Final = {**FAMILIES, "all": tuple(row.name for row in fields(Disturbances))}


def read_disturbances(wanted: object) -> Disturbances:
    """Return the extents that an option or a configuration names.

    Args:
        wanted: None for none; `Disturbances`; the name of a family or ``"all"``, at full extent; or
            a mapping from names of families to shares of their full extents and from names of
            fields to extents, or lists of two, later ones first in rank.

    Raises:
        ConfigError: a name is unknown, or a value is out of range.

    Example:
        >>> read_disturbances({"light": 0.5, "action_delay_steps": 1}).extents()
        {'light_share': 0.3, 'light_angle_deg': 22.5, 'action_delay_steps': 1}
    """
    if wanted is None:
        return Disturbances()
    if isinstance(wanted, Disturbances):
        return wanted
    if isinstance(wanted, str):
        wanted = {wanted: 1.0}
    if not isinstance(wanted, Mapping):
        raise ConfigError(f"disturbances={wanted!r} is neither a name nor a mapping of names")
    found = Disturbances()
    for name, value in wanted.items():
        found = replace(found, **_named(name, value))
    return found


def _named(name: object, value: Any) -> dict[str, Any]:
    """Return the extents that one entry of a mapping stands for."""
    if name in GROUPS["all"]:
        return {str(name): tuple(value) if isinstance(value, list) else value}
    if name not in GROUPS:
        known = [*GROUPS, *GROUPS["all"]]
        hint = nearest(str(name), known) or f"; known: {', '.join(GROUPS)}"
        raise ConfigError(f"unknown disturbance {name!r}{hint}")
    if not (_is_number(value) and 0 <= value <= 1):
        raise ConfigError(f"disturbance {name}: {value!r} is not a share from 0 to 1")
    return {part: value * getattr(FULL, part) for part in GROUPS[str(name)]}


def read_difficulty(wanted: object) -> tuple[float, float]:
    """Return the lowest and the highest difficulty that an option names, as a number or a pair.

    Raises:
        ConfigError: they are not numbers from 0 to 1 in order.

    Example:
        >>> read_difficulty(0.5), read_difficulty([0, 1])
        ((0.5, 0.5), (0, 1))
    """
    pair = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted, wanted)
    if not _are_in_order(pair, 1):
        raise ConfigError(f"difficulty={wanted!r} is neither a number from 0 to 1 nor two in order")
    return pair[0], pair[1]
