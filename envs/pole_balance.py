"""PoleBalance: a cart on a rail keeps the pole on it upright, in the middle of the rail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np
from gymnasium import spaces

from rivc.envs.base import MujocoTask, StateRow, Verdict

if TYPE_CHECKING:
    from rivc.envs.options import TaskOptions

FORCES_N: Final = {
    "hard left": -8.0,
    "left": -3.0,
    "coast": 0.0,
    "right": 3.0,
    "hard right": 8.0,
}
FAR_M: Final = 1.6  # from the middle of the rail, where an episode ends
FALLEN_RAD: Final = 0.35  # from upright, where an episode ends
START: Final = (0.4, 0.12, 0.15, 0.15)  # of position, angle, speed and turning speed, either way

# u = K s costs the least x^2 + 10 t^2 + (v^2 + w^2) / 10 + u^2 / 50, summed over control steps. Were
# force cheaper, the regulator would be nearly a switch, and 64 pixels too coarse for when to throw it.
EXPERT_GAINS: Final = (6.20, 58.45, 8.02, 14.27)  # of position, angle, speed, turning speed


@dataclass
class Balance:
    """The physics remembers all of a running episode."""


class PoleBalance(MujocoTask[np.int64]):
    r"""Push a cart so that the pole on it stays upright and the cart in the middle of its rail.

    The cart of 1 kg runs along `x` on a rail; a pole of 0.1 kg and 1 m turns on it without a motor.
    A camera stands 2.2 m beside the middle of the rail, in front of things that do not matter, and
    sees 1 m of it to either side. Actions come at 50 Hz, physics runs at 100 Hz. One picture
    shows no speed: let a policy see a history of them.

    **Actions** are forces on the cart, ``Discrete(5)``:

    ===  ==========  =========
    a    name        force [N]
    ===  ==========  =========
    0    hard left   -8
    1    left        -3
    2    coast       0
    3    right       3
    4    hard right  8
    ===  ==========  =========

    **Observations** are pictures of the camera, or the numbers below, clipped to their range, for
    ``obs_mode="state"``. Right is positive, and so is a lean to the right. Depth spans 1.5 to
    5.5 m. Segmentation shows the floor as 85, the cart as 170, the pole as 255 and all else as 0.

    ===  =============  ====  ===  =====
    row  name           min   max  unit
    ===  =============  ====  ===  =====
    0    position       -1.6  1.6  m
    1    angle          -0.4  0.4  rad
    2    speed          -2    2    m/s
    3    turning speed  -3    3    rad/s
    ===  =============  ====  ===  =====

    **Reward**, in 0 to 1, for the cart's position `x` [m] and the pole's angle `t` [rad]:

    .. math:: r = \max(0, 1 - |x| / 1.6) / 2 + \max(0, 1 - |t| / 0.35) / 2

    split in ``info["reward_terms"]`` into ``centring`` and ``upright``. `is_success` holds while
    the episode lasts, so that one that comes to its time limit has succeeded. Position and angle
    are in `info` as ``position_m`` and ``angle_rad``.

    **Start**: the cart up to 0.4 m beside the middle, the pole up to 0.12 rad from upright, moving
    at up to 0.15 m/s and 0.15 rad/s.

    **End**: terminated farther than 1.6 m from the middle or 0.35 rad from upright; the registered
    time limit is 300 control steps.

    Args:
        options: the options of `rivc.envs.base.MujocoTask`.

    Version history:
        v0: the scripted expert returns 282.0, random actions 18.7, the mean of seeds 0 to 9.
    """

    asset = "pole_balance.xml"
    control_dt_s = 0.02
    physics_dt_s = 0.01
    episode_type = Balance
    segments = ("floor", "cart", "pole")
    depth_range_m = (1.5, 5.5)
    action_names = tuple(FORCES_N)
    state_rows = (
        StateRow("position", "m", -1.6, 1.6),
        StateRow("angle", "rad", -0.4, 0.4),
        StateRow("speed", "m/s", -2.0, 2.0),
        StateRow("turning speed", "rad/s", -3.0, 3.0),
    )

    episode: Balance

    def __init__(self, **options: Unpack[TaskOptions]) -> None:
        super().__init__(**options)
        self.action_space = spaces.Discrete(len(FORCES_N))
        self._forces_n = np.array(list(FORCES_N.values()))

    def _begin(self) -> Balance:
        reach = np.array(START)
        state = self.np_random.uniform(-reach, reach)
        self.data.qpos[:], self.data.qvel[:] = state[:2], state[2:]
        return Balance()

    def _command(self, action: np.int64) -> None:
        self.data.ctrl[0] = self._forces_n[action]

    def _advance(self) -> None:
        """Nothing moves by itself."""

    def _measure(self) -> dict[str, float]:
        """Return where the cart is, and how far the pole leans."""
        position_m, angle_rad = self.data.qpos.tolist()
        return {"position_m": position_m, "angle_rad": angle_rad}

    def _judge(self) -> Verdict:
        off = abs(self.measures["position_m"]) / FAR_M
        lean = abs(self.measures["angle_rad"]) / FALLEN_RAD
        is_over = max(off, lean) > 1
        return Verdict(
            {"centring": max(0.0, 1 - off) / 2, "upright": max(0.0, 1 - lean) / 2},
            terminated=is_over,
            is_success=not is_over,
        )

    def _state(self) -> list[float]:
        return [*self.data.qpos.tolist(), *self.data.qvel.tolist()]

    def expert_action(self) -> np.int64:
        """Return the scripted expert's choice: the force nearest to that of a linear regulator."""
        force_n = float(np.dot(EXPERT_GAINS, self._state()))
        return np.int64(np.abs(self._forces_n - force_n).argmin())
