"""Robots by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from rivc.errors import ConfigError, MissingError, RivcError, RobotError
from rivc.robot.protocol import RobotEnv
from rivc.snn_convert.storage import reason

ROBOTS: Final = {"ros2": "rivc.robot.ros2:open_robot"}
_PARTS: Final = ("limits", "actions", "read", "send", "stop", "close")


def load_robot(name: str, **options: Any) -> RobotEnv:
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
    if not isinstance(robot, RobotEnv):
        missing = [part for part in _PARTS if not hasattr(robot, part)]
        raise ConfigError(f"robot {name!r} has no {', '.join(missing)}; see rivc.robot.RobotEnv")
    return robot
