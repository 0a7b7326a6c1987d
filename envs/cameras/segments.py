"""Which class of things each geom belongs to, and the level that stands for it in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.envs.cameras.groups import ROBOT_GROUPS
from rivc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import mujoco
    from numpy.typing import NDArray


def segment_levels(model: mujoco.MjModel, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return the level of each geom, and first that of no geom, uint8, [geoms + 1].

    The k-th of K names is ``round(255 k / K)``; what none names is 0.

    Args:
        model: the compiled scene.
        names: each stands for the geoms, and for the bodies with all they carry, that are called
            so, or so with an underscore and more (``"wall"`` is ``"wall_n"`` too); a later one
            wins. Empty: every body that a robot can see is one.

    Raises:
        ConfigError: the model has neither a geom nor a body of this name.
    """
    names = names or tuple(_visible_bodies(model))
    levels = np.zeros(1 + model.ngeom, dtype=np.uint8)
    for number, name in enumerate(names, start=1):
        levels[1:][_is_part(model, name)] = (510 * number + len(names)) // (2 * len(names))
    return levels


def _visible_bodies(model: mujoco.MjModel) -> Iterator[str]:
    is_seen = np.array(ROBOT_GROUPS, dtype=bool)[model.geom_group]
    for body in np.unique(model.geom_bodyid[is_seen]):
        if body and model.body(body).name:
            yield model.body(body).name


def _is_part(model: mujoco.MjModel, name: str) -> NDArray[np.bool_]:
    """Return which geoms a name stands for, or whose body it stands for, [geoms]."""
    is_part = _is_called(model.geom, model.ngeom, name)
    is_carried = _is_called(model.body, model.nbody, name)
    if not (is_part.any() or is_carried.any()):
        raise ConfigError(f"segments: {name!r} names neither a geom nor a body of the model")
    for body in range(1, model.nbody):  # parents come first
        is_carried[body] |= is_carried[model.body_parentid[body]]
    return np.asarray(is_part | is_carried[model.geom_bodyid])


def _is_called(things: Callable[[int], Any], count: int, name: str) -> NDArray[np.bool_]:
    """Return which of the model's things bear a name, or one that begins with it, [count]."""
    names = [things(i).name for i in range(count)]
    return np.array([x == name or x.startswith(f"{name}_") for x in names], dtype=bool)
