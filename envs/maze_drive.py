"""MazeDrive: a robot on two wheels drives to a column past obstacles."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, hypot, pi
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np

from rivc.envs.base import StateRow, Verdict
from rivc.envs.rover import TARGET_ROWS, RoverTask
from rivc.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.envs.options import TaskOptions

START_X_M: Final = -1.6
GOAL_X_M: Final = 1.4
HALF_WIDTH_M: Final = 0.8  # start and goal stand up to this much to either side
FIELD_M: Final = ((-0.95, -1.0), (0.85, 1.0))  # corners of the obstacles' field
MAX_OBSTACLES: Final = 6
OBSTACLE_RADIUS_M: Final = 0.145  # of the circle around the largest
PASSAGE_M: Final = 0.36  # between any two obstacles; the robot's circle is 0.25 across
REACHED_M: Final = 0.35  # from the robot's middle to the column's axis
TOP_STEP_M: Final = 0.04  # the way of wheels that turn at 8 rad/s in one control step
FAR_M: Final = 3.0

MARGIN_M: Final = 0.14  # half of the lane that the expert wants free
LOOK_AHEAD_M: Final = 0.8


@dataclass
class Drive:
    """What the physics does not remember of a running episode."""

    distance_m: float


class MazeDrive(RoverTask):
    r"""Drive to an orange column, past blue obstacles that are lower than the camera.

    A robot on two wheels, 20 cm long, carries a camera 20 cm above the floor, with 75 degrees of
    view both ways, in a hall of 4 by 3 m. Posts and crates, 14 cm high, stand in its way, so that
    the column is seen above them. Actions come at 10 Hz, physics runs at 100 Hz.

    **Actions**, ``Discrete(6)``: the speeds that the wheels are driven to. A wheel has a radius of
    5 cm, the two are 18 cm apart.

    ===  =============  ==================  ===================
    a    name           left wheel [rad/s]  right wheel [rad/s]
    ===  =============  ==================  ===================
    0    forward        8                   8
    1    back           -6                  -6
    2    turn left      -4                  4
    3    turn right     4                   -4
    4    forward left   4                   8
    5    forward right  8                   4
    ===  =============  ==================  ===================

    **Observations** are pictures of the on-board camera, or the numbers below, clipped to their
    range, for ``obs_mode="state"``. To the left is positive; bearing and distance are the column's.
    Depth spans 0 to 4 m. Segmentation shows the sky as 0, floor, walls, obstacles and column as 64,
    128, 191 and 255.

    ===  ===============  ====  ====  =====
    row  name             min   max   unit
    ===  ===============  ====  ====  =====
    0    cos bearing      -1    1     1
    1    sin bearing      -1    1     1
    2    distance         0     4     m
    3    forward speed    -0.5  0.5   m/s
    4    sideways speed   -0.2  0.2   m/s
    5    turning speed    -2.5  2.5   rad/s
    6    nearest ahead    -3    3     m
    7    nearest left     -3    3     m
    8    second ahead     -3    3     m
    9    second left      -3    3     m
    ===  ===============  ====  ====  =====

    The last four rows are the middles of the two obstacles nearest to the robot; one that does not
    exist is 3 m ahead and 3 m to the left.

    **Reward**, for the distance `d` [m] of the column before and after the control step:

    .. math:: r = (d_{t-1} - d_t) / 0.04 + 10 \, [d_t < 0.35] - 0.5 \, [\text{contact}]

    split in ``info["reward_terms"]`` into ``progress``, at most 1 for wheels that do not slip,
    ``arrival`` and ``contact``, with an obstacle or a wall 5 mm away or less at the end of the
    control step. The robot can slide along what it touches, but not drive through.

    **Start**: the robot stands at one end of the hall, 0.8 m or less from the middle line, and
    faces the column up to 0.5 rad off. The column stands likewise at the other end. One obstacle
    stands in between, the others anywhere; the gap between any two is 36 cm or more.

    **End**: terminated with success when the column is closer than 35 cm; the registered time limit
    is 200 control steps.

    Args:
        obstacles: how many, 0 to 6.
        options: the options of `rivc.envs.base.MujocoTask`.

    Raises:
        ConfigError: there cannot be so many obstacles.

    Version history:
        v0: the scripted expert returns 78.1, random actions 11.4, the mean of seeds 0 to 9.
    """

    asset = "maze_drive.xml"
    episode_type = Drive
    segments = ("floor", "wall", "obstacle", "goal")
    action_names = ("forward", "back", "turn left", "turn right", "forward left", "forward right")
    state_rows = (
        *TARGET_ROWS,
        StateRow("nearest ahead", "m", -FAR_M, FAR_M),
        StateRow("nearest left", "m", -FAR_M, FAR_M),
        StateRow("second ahead", "m", -FAR_M, FAR_M),
        StateRow("second left", "m", -FAR_M, FAR_M),
    )

    episode: Drive

    def __init__(self, *, obstacles: int = 5, **options: Unpack[TaskOptions]) -> None:
        if obstacles not in range(MAX_OBSTACLES + 1):
            raise ConfigError(f"obstacles={obstacles!r} is not from 0 to {MAX_OBSTACLES}")
        super().__init__(**options)
        self.obstacles = int(obstacles)
        self._used = slice(1, 1 + self.obstacles)  # of the mocap bodies; the first is the column
        self._floor = self.model.geom("floor").id

    def _begin(self) -> Drive:
        rng = self.np_random
        start = np.array([START_X_M, rng.uniform(-HALF_WIDTH_M, HALF_WIDTH_M)])
        goal = np.array([GOAL_X_M, rng.uniform(-HALF_WIDTH_M, HALF_WIDTH_M)])
        ahead_m, left_m = (goal - start).tolist()
        self._stand(start, atan2(left_m, ahead_m) + rng.uniform(-0.5, 0.5))
        self.data.mocap_pos[0, :2] = goal
        if self.obstacles:
            places = self.data.mocap_pos[self._used]
            places[:, :2], places[:, 2] = self._scatter(start, goal), 0.0
            half_rad = rng.uniform(0, pi, self.obstacles) / 2
            turns = self.data.mocap_quat[self._used]
            turns[:, 0], turns[:, 3] = np.cos(half_rad), np.sin(half_rad)
        return Drive(hypot(ahead_m, left_m))

    def _scatter(
        self, start: NDArray[np.float64], goal: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return places of obstacles, [obstacles, 2], the first in the way, with passable gaps."""
        rng = self.np_random
        while True:
            darts = rng.uniform(*FIELD_M, size=(8 * self.obstacles, 2))
            darts[0] = start + rng.uniform(0.35, 0.7) * (goal - start)
            darts[0, 1] += rng.uniform(-0.1, 0.1)
            places = darts[:1]
            for dart in darts[1:]:
                apart_m = np.hypot(*(places - dart).T).min()
                if apart_m >= 2 * OBSTACLE_RADIUS_M + PASSAGE_M:
                    places = np.vstack([places, dart])
            if len(places) >= self.obstacles:
                return places[: self.obstacles]

    def _advance(self) -> None:
        """Nothing moves by itself."""

    def _judge(self) -> Verdict:
        distance_m = self.measures["distance_m"]
        progress_m = self.episode.distance_m - distance_m
        self.episode.distance_m = distance_m
        has_arrived = distance_m < REACHED_M
        terms = {
            "progress": progress_m / TOP_STEP_M,
            "arrival": 10.0 if has_arrived else 0.0,
            "contact": -0.5 if self._touches() else 0.0,
        }
        return Verdict(terms, terminated=has_arrived, is_success=has_arrived)

    def _touches(self) -> bool:
        """Return whether the robot is in contact with anything but the floor."""
        return bool((self.data.contact.geom != self._floor).all(axis=1).any())

    def _state(self) -> list[float]:
        near = np.full((2, 2), FAR_M)
        nearest = self._obstacles()[:2]
        near[: len(nearest)] = nearest
        return [*self._target_state(), *near.ravel().tolist()]

    def _obstacles(self) -> NDArray[np.float64]:
        """Return how far ahead and to the left the obstacles are, the nearest first, [N, 2]."""
        places = self._from_robot(self.data.mocap_pos[self._used])[:, :2]
        return places[np.argsort(np.hypot(*places.T))]

    def expert_action(self) -> np.int64:
        """Return the scripted expert's choice: the free lane that leads best to the column."""
        return np.int64(self.action_names.index(self._expert()))

    def _expert(self) -> str:
        heading_rad = self._free_heading()
        side = "left" if heading_rad > 0 else "right"
        if abs(heading_rad) > 0.5:
            return f"turn {side}"
        return f"forward {side}" if abs(heading_rad) > 0.08 else "forward"

    def _free_heading(self) -> float:
        """Return the heading [rad] whose lane is free, close to the column's and to the present."""
        bearing_rad = self.measures["bearing_rad"]
        reach_m = min(LOOK_AHEAD_M, self.measures["distance_m"])
        headings = bearing_rad + np.linspace(-pi / 2, pi / 2, 63)
        ahead, left = self._obstacles().T[..., None]
        along = ahead * np.cos(headings) + left * np.sin(headings)
        across = left * np.cos(headings) - ahead * np.sin(headings)
        blocks = (along > 0) & (along < reach_m) & (abs(across) < OBSTACLE_RADIUS_M + MARGIN_M)
        cost = abs(headings - bearing_rad) + 0.3 * abs(headings) + 10 * blocks.any(axis=0)
        return float(headings[np.argmin(cost)])
