"""Scenes and their physics: compiled from MJCF, stepped in whole steps, saved exactly."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

import mujoco
import numpy as np

from rivc.envs.disturb.scene import with_distractors
from rivc.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STATE: Final = mujoco.mjtState.mjSTATE_INTEGRATION


def count_substeps(control_dt_s: float, physics_dt_s: float) -> int:
    """Return the number of physics steps in one control step.

    Raises:
        ConfigError: the quotient is not a whole number.
    """
    substeps = round(control_dt_s / physics_dt_s)
    if substeps < 1 or abs(substeps * physics_dt_s - control_dt_s) > 1e-9:
        raise ConfigError(
            f"control_dt_s={control_dt_s} is not a whole multiple of physics_dt_s={physics_dt_s}"
        )
    return substeps


def load_scene(asset: str, most_distractors: float = 0) -> mujoco.MjModel:
    """Compile an MJCF file of ``rivc/envs/assets``, with room for things that distract."""
    with as_file(files("rivc.envs") / "assets") as folder:  # MJCF files include each other
        path = str(folder / asset)
        if not most_distractors:
            return mujoco.MjModel.from_xml_path(path)
        return with_distractors(mujoco.MjSpec.from_file(path), most_distractors)


def step_physics(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    substeps: int,
    noise: NDArray[np.float64] | None = None,
) -> None:
    """Step while the controls hold, with noise on them, [nu], that does not stay."""
    if noise is None:
        mujoco.mj_step(model, data, substeps)
        return
    wanted = data.ctrl.copy()
    data.ctrl += noise
    mujoco.mj_step(model, data, substeps)
    data.ctrl[:] = wanted


def save_physics(model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.float64]:
    """Return all that the integration depends on, as one vector."""
    state = np.empty(mujoco.mj_stateSize(model, _STATE))
    mujoco.mj_getState(model, data, state, _STATE)
    return state


def restore_physics(model: mujoco.MjModel, data: mujoco.MjData, state: NDArray[np.float64]) -> None:
    """Continue from what `save_physics` returned."""
    mujoco.mj_resetData(model, data)
    mujoco.mj_setState(model, data, np.asarray(state), _STATE)
