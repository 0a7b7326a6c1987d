"""Robots by name."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from rivc.errors import ConfigError, MissingError, RivcError, RobotError
from rivc.robot.testing import wrong_parts
from rivc.snn_convert.storage import reason

if TYPE_CHECKING:
    from rivc.robot.protocol import RobotEnv

ROBOTS: Final = {"ros2": "rivc.robot.ros2:open_robot"}


def load_robot(name: str, /, **options: Any) -> RobotEnv:
    """Open a robot.

    Args:
        name: "ros2", or ``module:factory`` of your own.
        options: are handed to the factory.

    Raises:
        MissingError: if there is no such module or factory, or what it needs is not there.
        ConfigError: if it does not take the options, or what it makes is no `RobotEnv`.
        RobotError: if it does not open.
    """
    target = ROBOTS.get(name, name)
    module, _, factory_name = target.partition(":")
    if not factory_name:
        known = ", ".join(["mock", *ROBOTS])
        raise MissingError(f"no robot {name!r}; known: {known}, or module:factory of your own")
    try:
        factory = getattr(import_module(module), factory_name)
    except Exception as error:  # whatever a stranger's module raises
        raise MissingError(f"robot {name!r} cannot be loaded: {reason(error)}") from error
    try:
        robot = factory(**options)
    except RivcError:
        raise
    except TypeError as error:
        raise ConfigError(
            f"robot {name!r} does not take {sorted(options)}: {reason(error)}"
        ) from error
    except Exception as error:  # a port that is not there, a driver that fails
        raise RobotError(f"robot {name!r} does not open: {reason(error)}") from error
    return _whole(name, robot)


def _whole(name: str, robot: Any) -> RobotEnv:
    """A robot with all its parts; one that lacks some is closed, if it can be."""
    problems = list(wrong_parts(robot))
    if not problems:
        return cast("RobotEnv", robot)
    with suppress(Exception):  # somebody else's code; what is wrong is told already
        robot.close()
    raise ConfigError(f"robot {name!r}: {'; '.join(problems)}; see rivc.robot.RobotEnv")
