"""Which class of things each geom belongs to, and the level that stands for it in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from rivc.envs.cameras.groups import ROBOT_GROUPS
from rivc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def segment_levels(model: mujoco.MjModel, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return the level of each geom, and first that of no geom, uint8, [geoms + 1].

    The k-th of K names is ``round(255 k / K)``; what none names is 0.

    Args:
        model: the compiled scene.
        names: geoms, and bodies with all they carry; a later one wins. Empty: every body that a
            robot can see is one.

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
    """Return which geoms bear a name or are carried by the body that bears it, [geoms]."""
    geom = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name)
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
    if geom < 0 and body < 0:
        raise ConfigError(f"segments: {name!r} names neither a geom nor a body of the model")
    is_carried = np.zeros(model.nbody, dtype=bool)
    for i, parent in enumerate(model.body_parentid):  # parents come first
        is_carried[i] = i == body or (i > 0 and is_carried[parent])
    is_part = is_carried[model.geom_bodyid]
    is_part[geom] |= geom >= 0
    return np.asarray(is_part)
