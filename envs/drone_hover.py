"""DroneHover: a quadrotor holds its place above a landing mark."""

from __future__ import annotations

from dataclasses import dataclass
from math import acos, atan2, cos, exp, hypot, pi, sin
from typing import TYPE_CHECKING, Final, Unpack

import mujoco
import numpy as np
from gymnasium import spaces

from rivc.envs.base import MujocoTask, StateRow, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.envs.options import TaskOptions

HEIGHT_M: Final = 1.0  # of the point to hold, above the middle of the mark
COMMANDS: Final = {  # the choices of each group: less, hold, more
    "thrust": (4.4145, 4.905, 5.3955),  # [N]; the middle one carries the weight
    "roll": (-1.0, 0.0, 1.0),  # [rad/s], about the axes ahead, to the left and up
    "pitch": (-1.0, 0.0, 1.0),
    "yaw": (-0.5, 0.0, 0.5),
}
GROUND_M: Final = 0.12  # the drone has crashed below this height
FAR_M: Final = 1.5  # the drone has flown away beyond this distance
STEEP_RAD: Final = 1.2  # the drone tumbles beyond this tilt
NEAR_M: Final = 0.1
SLOW_M_S: Final = 0.25
GRAVITY_M_S2: Final = 9.81
MASS_KG: Final = 0.5


@dataclass
class Hover:
    """The physics remembers all of a running episode."""


class DroneHover(MujocoTask["NDArray[np.int64]"]):
    r"""Hold a point 1 m above a landing mark, level, still and facing the way its bar points.

    A quadrotor of 0.5 kg, 18 cm between neighbouring rotors, carries a camera that looks down, with
    90 degrees of view both ways. Actions come at 20 Hz, physics runs at 200 Hz.

    **Actions**, ``MultiDiscrete([3, 3, 3, 3])``: a choice for each command of the flight
    controller, which holds the rates at the clock of the physics. It asks for a thrust and torques
    that the four rotors make with 0.2 to 2.4 N each; commands reach it with a lag of 30 ms.

    ===  ====  ==========  ============  =============  ===========
    a    name  thrust [N]  roll [rad/s]  pitch [rad/s]  yaw [rad/s]
    ===  ====  ==========  ============  =============  ===========
    0    less  4.4145      -1            -1             -0.5
    1    hold  4.905       0             0              0
    2    more  5.3955      1             1              0.5
    ===  ====  ==========  ============  =============  ===========

    The rates are about the drone's axes ahead, to the left and up: positive roll leans to the
    right, positive pitch ahead, positive yaw turns to the left. The middle thrust is the weight.

    **Observations** are the numbers below, clipped to their range, for ``obs_mode="state"``, or
    pictures of the camera, which show no speed. Ahead and left are horizontal, seen from the drone.
    Depth spans 0 to 2 m. Segmentation shows the floor as 64, the mark's disc, ring and bar as 128,
    191 and 255.

    ===  ===========  ===  ===  =====
    row  name         min  max  unit
    ===  ===========  ===  ===  =====
    0    point ahead  -2   2    m
    1    point left   -2   2    m
    2    point above  -2   2    m
    3    speed ahead  -2   2    m/s
    4    speed left   -2   2    m/s
    5    speed up     -2   2    m/s
    6    lean ahead   -1   1    1
    7    lean left    -1   1    1
    8    cos heading  -1   1    1
    9    sin heading  -1   1    1
    10   roll rate    -2   2    rad/s
    11   pitch rate   -2   2    rad/s
    12   yaw rate     -2   2    rad/s
    ===  ===========  ===  ===  =====

    Rows 0 to 2 are the place of the point to hold; the lean is the horizontal part of the unit
    vector along the thrust. The heading is 0 along the mark's bar and grows to the left.

    **Reward**, in 0 to 1, for the distance `d` [m] of the point, the speed `v` [m/s], the tilt `t`
    [rad] and the heading `h` [rad]:

    .. math:: r = 0.7 \, e^{-2 d} + 0.1 \, e^{-2 v} + 0.1 \, e^{-4 t} + 0.1 \, e^{-4 |h|}

    split in ``info["reward_terms"]`` into ``position``, ``stillness``, ``level`` and ``heading``.
    `is_success` holds within 10 cm and below 0.25 m/s.

    **Start**: up to 0.5 m beside the point along both axes and 0.3 m below or above, tilted by up
    to 0.25 rad to any side, heading up to 0.5 rad off, drifting at up to 0.3 m/s along each axis.

    **End**: terminated below 12 cm of height, farther than 1.5 m from the point or beyond 1.2 rad
    of tilt; the registered time limit is 200 control steps.

    Args:
        options: the options of `rivc.envs.base.MujocoTask`.

    Version history:
        v0: the scripted expert returns 167.2, random actions 8.3, the mean of seeds 0 to 9.
    """

    asset = "drone_hover.xml"
    control_dt_s = 0.05
    physics_dt_s = 0.005
    episode_type = Hover
    segments = ("floor", "mark_disc", "mark_ring", "mark_bar")
    depth_range_m = (0.0, 2.0)
    group_names = tuple(COMMANDS)
    action_names = ("less", "hold", "more")
    state_rows = (
        StateRow("point ahead", "m", -2.0, 2.0),
        StateRow("point left", "m", -2.0, 2.0),
        StateRow("point above", "m", -2.0, 2.0),
        StateRow("speed ahead", "m/s", -2.0, 2.0),
        StateRow("speed left", "m/s", -2.0, 2.0),
        StateRow("speed up", "m/s", -2.0, 2.0),
        StateRow("lean ahead", "1", -1.0, 1.0),
        StateRow("lean left", "1", -1.0, 1.0),
        StateRow("cos heading", "1", -1.0, 1.0),
        StateRow("sin heading", "1", -1.0, 1.0),
        StateRow("roll rate", "rad/s", -2.0, 2.0),
        StateRow("pitch rate", "rad/s", -2.0, 2.0),
        StateRow("yaw rate", "rad/s", -2.0, 2.0),
    )

    episode: Hover

    def __init__(self, **options: Unpack[TaskOptions]) -> None:
        super().__init__(**options)
        self._commands = np.array(list(COMMANDS.values()))
        self.action_space = spaces.MultiDiscrete([3] * len(COMMANDS))
        self._drone = self.model.body("drone").id

    def _begin(self) -> Hover:
        rng, data = self.np_random, self.data
        data.qpos[:3] = rng.uniform((-0.5, -0.5, HEIGHT_M - 0.3), (0.5, 0.5, HEIGHT_M + 0.3))
        yaw_rad, lean_rad, towards_rad = rng.uniform((-0.5, 0.0, -pi), (0.5, 0.25, pi))
        turn, tilt = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, (0, 0, 1), yaw_rad)
        mujoco.mju_axisAngle2Quat(tilt, (cos(towards_rad), sin(towards_rad), 0), lean_rad)
        mujoco.mju_mulQuat(data.qpos[3:7], turn, tilt)
        data.qvel[:3] = rng.uniform(-0.3, 0.3, 3)
        data.act[0] = data.ctrl[0] = self._commands[0, 1]  # hovers until a command arrives
        return Hover()

    def _command(self, action: NDArray[np.int64]) -> None:
        self.data.ctrl[:] = self._commands[np.arange(len(COMMANDS)), action]

    def _advance(self) -> None:
        """Nothing moves by itself."""

    def _measure(self) -> dict[str, float]:
        position, axes = self.data.xpos[self._drone], self.data.xmat[self._drone]
        error_m = hypot(position[0], position[1], position[2] - HEIGHT_M)
        return {
            "error_m": error_m,
            "height_m": float(position[2]),
            "speed_m_s": hypot(*self.data.qvel[:3].tolist()),
            "tilt_rad": acos(min(max(float(axes[8]), -1.0), 1.0)),
            "heading_rad": atan2(axes[3], axes[0]),
        }

    def _judge(self) -> Verdict:
        measures = self.measures
        error_m, speed_m_s = measures["error_m"], measures["speed_m_s"]
        terms = {
            "position": 0.7 * exp(-2 * error_m),
            "stillness": 0.1 * exp(-2 * speed_m_s),
            "level": 0.1 * exp(-4 * measures["tilt_rad"]),
            "heading": 0.1 * exp(-4 * abs(measures["heading_rad"])),
        }
        return Verdict(
            terms,
            terminated=measures["height_m"] < GROUND_M
            or error_m > FAR_M
            or measures["tilt_rad"] > STEEP_RAD,
            is_success=error_m < NEAR_M and speed_m_s < SLOW_M_S,
        )

    def _state(self) -> list[float]:
        data, heading_rad = self.data, self.measures["heading_rad"]
        x_m, y_m, z_m = data.xpos[self._drone].tolist()
        up = data.xmat[self._drone].reshape(3, 3)[:, 2]
        speed = data.qvel[:3]
        return [
            *_turned(-x_m, -y_m, heading_rad),
            HEIGHT_M - z_m,
            *_turned(speed[0], speed[1], heading_rad),
            speed[2],
            *_turned(up[0], up[1], heading_rad),
            cos(heading_rad),
            sin(heading_rad),
            *data.qvel[3:6].tolist(),
        ]

    def expert_action(self) -> NDArray[np.int64]:
        """Return the scripted expert's choice: a cascade of proportional controllers."""
        state = np.array(self._state())
        speed = np.clip(1.5 * state[0:3], -0.8, 0.8)  # [m/s] wanted ahead, to the left and up
        push = 4.0 * (speed - state[3:6])  # [m/s^2] wanted
        lean = np.clip(push[:2] / GRAVITY_M_S2, -0.3, 0.3)
        tip = 12.0 * (lean - state[6:8])  # [rad/s] wanted ahead and to the left
        thrust_n = MASS_KG * (GRAVITY_M_S2 + push[2])
        wanted = [thrust_n, -tip[1], tip[0], -4.0 * self.measures["heading_rad"]]
        nearest = np.abs(self._commands - np.array(wanted)[:, None]).argmin(axis=1)
        return np.asarray(nearest, dtype=np.int64)


def _turned(x: float, y: float, heading_rad: float) -> tuple[float, float]:
    """Return a horizontal vector as what is ahead and what is to the left."""
    c, s = cos(heading_rad), sin(heading_rad)
    return c * x + s * y, c * y - s * x
