"""VisualTracker: a robot on two wheels keeps a wandering ball in the middle of its camera."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, exp, pi, radians, sin
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np

from rivc.envs.base import Verdict
from rivc.envs.rover import TARGET_ROWS, RoverTask

if TYPE_CHECKING:
    from rivc.envs.options import TaskOptions

WANTED_DISTANCE_M: Final = 0.8
HALF_VIEW_RAD: Final = radians(30)  # half of the camera's field of view
PATIENCE_STEPS: Final = 15  # control steps out of view that end the episode
ARENA_M: Final = 2.5  # the ball stays within this much of the middle, along both axes
BALL_HEIGHT_M: Final = 0.1

STOP, FORWARD, BACK, TURN_LEFT, TURN_RIGHT, FORWARD_LEFT, FORWARD_RIGHT = range(7)


@dataclass
class Chase:
    """What the physics does not remember of a running episode."""

    ball_heading_rad: float
    ball_speed_m_s: float
    steps_out_of_view: int = 0


class VisualTracker(RoverTask):
    r"""Keep a wandering red ball in the middle of the on-board camera, 0.8 m away.

    A robot on two wheels, 20 cm long, carries a camera 20 cm above the floor, with 60 degrees of
    view both ways, in an arena of 6 by 6 m. Actions come at 10 Hz, physics runs at 100 Hz.

    **Actions**, ``Discrete(7)``: the speeds that the wheels are driven to. A wheel has a radius of
    5 cm, the two are 18 cm apart.

    ===  =============  ==================  ===================
    a    name           left wheel [rad/s]  right wheel [rad/s]
    ===  =============  ==================  ===================
    0    stop           0                   0
    1    forward        8                   8
    2    back           -6                  -6
    3    turn left      -4                  4
    4    turn right     4                   -4
    5    forward left   4                   8
    6    forward right  8                   4
    ===  =============  ==================  ===================

    **Observations** are pictures of the on-board camera, or the numbers below, clipped to their
    range, for ``obs_mode="state"``. Depth spans 0 to 4 m. Segmentation shows walls and sky as 0,
    the floor as 128 and the ball as 255. A bearing to the left is positive.

    ===  ===============  ====  ====  =====
    row  name             min   max   unit
    ===  ===============  ====  ====  =====
    0    cos bearing      -1    1     1
    1    sin bearing      -1    1     1
    2    distance         0     4     m
    3    forward speed    -0.5  0.5   m/s
    4    sideways speed   -0.2  0.2   m/s
    5    turning speed    -2.5  2.5   rad/s
    ===  ===============  ====  ====  =====

    **Reward**, in 0 to 1, for the bearing `b` [rad] and the distance `d` [m] of the ball:

    .. math:: r = \max(0, 1 - |b| / (\pi/6)) \, e^{-2 (d - 0.8)^2}

    split in ``info["reward_terms"]`` into ``centring``, the first factor, and ``distance``, what
    the second takes away. `is_success` holds within 0.15 rad and 0.15 m. Bearing and distance are
    in `info` as ``bearing_rad`` and ``distance_m``.

    **Start**: the robot stands in the middle with any heading, the ball 0.6 to 1.6 m away and up to
    0.4 rad off the camera's axis. It walks at 0.1 to 0.3 m/s and changes its heading at random.

    **End**: terminated after 15 control steps in a row with the ball out of view; the registered
    time limit is 200 control steps.

    Args:
        moving: whether the ball walks.
        options: the options of `rivc.envs.base.MujocoTask`.

    Version history:
        v0: the scripted expert returns 166.7, random actions 17.3, the mean of seeds 0 to 9.
    """

    asset = "tracker.xml"
    episode_type = Chase
    state_rows = TARGET_ROWS
    segments = ("floor", "target")

    episode: Chase

    def __init__(self, *, moving: bool = True, **options: Unpack[TaskOptions]) -> None:
        super().__init__(**options)
        self.moving = moving

    def _begin(self) -> Chase:
        rng = self.np_random
        bearing_rad, distance_m = rng.uniform(-0.4, 0.4), rng.uniform(0.6, 1.6)
        yaw_rad = rng.uniform(-pi, pi)
        self._stand((0.0, 0.0), yaw_rad)
        ball_rad = yaw_rad + bearing_rad
        self.data.mocap_pos[0] = (
            distance_m * cos(ball_rad),
            distance_m * sin(ball_rad),
            BALL_HEIGHT_M,
        )
        heading_rad, speed_m_s = rng.uniform(0, 2 * pi), rng.uniform(0.1, 0.3)
        return Chase(heading_rad, speed_m_s if self.moving else 0.0)

    def _advance(self) -> None:
        """Walk the ball; at the edge of its arena it turns by a right angle."""
        chase = self.episode
        chase.ball_heading_rad += self.np_random.normal(0, 0.15)
        step_m = chase.ball_speed_m_s * self.control_dt_s
        x, y, _ = self.data.mocap_pos[0].tolist()
        x += step_m * cos(chase.ball_heading_rad)
        y += step_m * sin(chase.ball_heading_rad)
        if max(abs(x), abs(y)) > ARENA_M:
            chase.ball_heading_rad += pi / 2
            x, y = (min(max(value, -ARENA_M), ARENA_M) for value in (x, y))
        self.data.mocap_pos[0, :2] = x, y

    def _judge(self) -> Verdict:
        bearing_rad, distance_m = self.measures["bearing_rad"], self.measures["distance_m"]
        is_in_view = abs(bearing_rad) <= HALF_VIEW_RAD
        self.episode.steps_out_of_view = 0 if is_in_view else self.episode.steps_out_of_view + 1
        error_m = distance_m - WANTED_DISTANCE_M
        centring = max(0.0, 1 - abs(bearing_rad) / HALF_VIEW_RAD)
        terms = {"centring": centring, "distance": centring * (exp(-2 * error_m**2) - 1)}
        return Verdict(
            terms,
            terminated=self.episode.steps_out_of_view >= PATIENCE_STEPS,
            is_success=abs(bearing_rad) < 0.15 and abs(error_m) < 0.15,
        )

    def _state(self) -> list[float]:
        return self._target_state()

    def expert_action(self) -> np.int64:
        """Return the scripted expert's choice: turn towards the ball, then mend the distance."""
        return np.int64(self._expert())

    def _expert(self) -> int:
        bearing_rad = self.measures["bearing_rad"]
        error_m = self.measures["distance_m"] - WANTED_DISTANCE_M
        if bearing_rad > 0.12:
            return FORWARD_LEFT if error_m > 0.1 else TURN_LEFT
        if bearing_rad < -0.12:
            return FORWARD_RIGHT if error_m > 0.1 else TURN_RIGHT
        if error_m > 0.08:
            return FORWARD
        return BACK if error_m < -0.08 else STOP
