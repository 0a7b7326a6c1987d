"""The robot on two wheels that several tasks drive: its commands, its pose, its speed."""

from __future__ import annotations

from math import atan2, cos, hypot, sin
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np
from gymnasium import spaces

from rivc.envs.base import MujocoTask, StateRow

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rivc.envs.options import TaskOptions

WHEEL_SPEEDS_RAD_S: Final = {  # left, right
    "stop": (0.0, 0.0),
    "forward": (8.0, 8.0),
    "back": (-6.0, -6.0),
    "turn left": (-4.0, 4.0),
    "turn right": (4.0, -4.0),
    "forward left": (4.0, 8.0),
    "forward right": (8.0, 4.0),
}
TARGET_ROWS: Final = (
    StateRow("cos bearing", "1", -1.0, 1.0),
    StateRow("sin bearing", "1", -1.0, 1.0),
    StateRow("distance", "m", 0.0, 4.0),
    StateRow("forward speed", "m/s", -0.5, 0.5),
    StateRow("sideways speed", "m/s", -0.2, 0.2),
    StateRow("turning speed", "rad/s", -2.5, 2.5),
)


class RoverTask(MujocoTask[np.int64]):
    """A task for the robot of ``rover.xml``, whose target is the first mocap body.

    The measures are ``bearing_rad`` and ``distance_m`` of the target, seen from the middle of the
    robot; to the left is positive. `action_names` picks from `WHEEL_SPEEDS_RAD_S`.
    """

    control_dt_s = 0.1
    physics_dt_s = 0.01
    action_names = tuple(WHEEL_SPEEDS_RAD_S)

    def __init__(self, **options: Unpack[TaskOptions]) -> None:
        super().__init__(**options)
        self.action_space = spaces.Discrete(len(self.action_names))
        self._wheel_speeds = np.array([WHEEL_SPEEDS_RAD_S[name] for name in self.action_names])
        self._base = self.model.body("base").id

    def _command(self, action: np.int64) -> None:
        self.data.ctrl[:] = self._wheel_speeds[action]

    def _measure(self) -> dict[str, float]:
        ahead, left, _ = self._from_robot(self.data.mocap_pos[0]).tolist()
        return {"bearing_rad": atan2(left, ahead), "distance_m": hypot(ahead, left)}

    def _stand(self, at: ArrayLike, yaw_rad: float) -> None:
        """Put the robot on a place of the floor, [2]."""
        self.data.qpos[:2] = at
        self.data.qpos[3:7] = cos(yaw_rad / 2), 0, 0, sin(yaw_rad / 2)

    def _from_robot(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places ahead, to the left and above of the robot, [..., 3] -> [..., 3]."""
        data, base = self.data, self._base
        return np.asarray((places - data.xpos[base]) @ data.xmat[base].reshape(3, 3))

    def _target_state(self) -> list[float]:
        """Return the numbers of `TARGET_ROWS`."""
        bearing_rad, distance_m = self.measures["bearing_rad"], self.measures["distance_m"]
        velocity = self.data.qvel[:3] @ self.data.xmat[self._base].reshape(3, 3)
        forward_m_s, sideways_m_s, _ = velocity.tolist()
        turning_rad_s = float(self.data.qvel[5])
        return [
            cos(bearing_rad),
            sin(bearing_rad),
            distance_m,
            forward_m_s,
            sideways_m_s,
            turning_rad_s,
        ]
