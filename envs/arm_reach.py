"""ArmReach: a planar arm of three joints brings its tip over a coloured disc."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, inf, sin
from typing import TYPE_CHECKING, Final, Literal, Unpack

import numpy as np
from gymnasium import spaces

from rivc.envs.base import MujocoTask, StateRow, Verdict
from rivc.envs.options import require_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.envs.options import TaskOptions

LINKS_M: Final = (0.22, 0.18, 0.12)  # upper arm, lower arm, hand
JOINT_SPEED_RAD_S: Final = 1.0
NEAR_M: Final = 0.04  # the tip is on the disc
CONTENT_M: Final = 0.02  # where the expert is content
EVEN_RAD: Final = 0.04  # what the expert leaves to turn, less than half a control step
WRIST_STEPS: Final = 21  # wrist angles that the expert tries
START_RAD: Final = ((-1.6, 0.2), (0.8, 2.0), (-0.4, 0.4))  # shoulder, elbow, wrist

DEPTHS_M: Final = {"top": (2.5, 2.7), "wrist": (0.0, 0.4)}  # that each view tells apart
JOINT_DIRECTIONS: Final = {  # shoulder, elbow, wrist; left is counter-clockwise, seen from above
    "stay": (0, 0, 0),
    "shoulder left": (1, 0, 0),
    "shoulder right": (-1, 0, 0),
    "elbow left": (0, 1, 0),
    "elbow right": (0, -1, 0),
    "wrist left": (0, 0, 1),
    "wrist right": (0, 0, -1),
}
GROUP_DIRECTIONS: Final = {"right": -1, "stay": 0, "left": 1}


@dataclass
class Reach:
    """The physics remembers all of a running episode."""


class ArmReach(MujocoTask["np.int64 | NDArray[np.int64]"]):
    r"""Bring the tip of a planar arm over a red disc on the table, and hold it there.

    The arm has links of 22, 18 and 12 cm, all turning about vertical axes: the shoulder from -2.5
    to 0.8 rad, the elbow from 0.3 to 2.5, the wrist from -1 to 1. Actions come at 10 Hz, physics
    runs at 100 Hz. The elbow bends to the left only: were both sides allowed, a disc would be
    reached in two postures far apart, and half-way between them nearly equal pictures would call
    for opposite actions.

    **Actions** turn joints at 1 rad/s; left is counter-clockwise, seen from above. For
    ``actions="joints"`` one joint at a time, ``Discrete(7)``:

    ===  ==============  ================  =============  =============
    a    name            shoulder [rad/s]  elbow [rad/s]  wrist [rad/s]
    ===  ==============  ================  =============  =============
    0    stay            0                 0              0
    1    shoulder left   1                 0              0
    2    shoulder right  -1                0              0
    3    elbow left      0                 1              0
    4    elbow right     0                 -1             0
    5    wrist left      0                 0              1
    6    wrist right     0                 0              -1
    ===  ==============  ================  =============  =============

    For ``actions="groups"`` each joint has a choice of its own, ``MultiDiscrete([3, 3, 3])`` in the
    order shoulder, elbow, wrist:

    ===  =====  =============
    a    name   speed [rad/s]
    ===  =====  =============
    0    right  -1
    1    stay   0
    2    left   1
    ===  =====  =============

    **Observations** are pictures: for ``view="top"`` of a camera above the table, whose depth spans
    2.5 to 2.7 m, for ``view="wrist"`` of one on the hand that looks down, 0 to 0.4 m. Segmentation
    shows the table as 0, upper arm, lower arm, hand, tip and disc as 51, 102, 153, 204 and 255. For
    ``obs_mode="state"`` they are the numbers below, clipped to their range; the target is seen from
    the tip, `x` ahead of the base and `y` to its left.

    ===  ==============  ====  ===  =====
    row  name            min   max  unit
    ===  ==============  ====  ===  =====
    0    cos shoulder    -1    1    1
    1    sin shoulder    -1    1    1
    2    cos elbow       -1    1    1
    3    sin elbow       -1    1    1
    4    cos wrist       -1    1    1
    5    sin wrist       -1    1    1
    6    shoulder speed  -2    2    rad/s
    7    elbow speed     -2    2    rad/s
    8    wrist speed     -2    2    rad/s
    9    target x        -1    1    m
    10   target y        -1    1    m
    ===  ==============  ====  ===  =====

    **Reward** for the distance `d` [m] from the tip to the middle of the disc:

    .. math:: r = -d + [d < 0.04]

    split in ``info["reward_terms"]`` into ``distance``, the first summand, and ``inside``, the
    second. `is_success` holds inside 4 cm. The distance is in `info` as ``distance_m``.

    **Start**: the shoulder at -1.6 to 0.2 rad, the elbow at 0.8 to 2, the wrist at -0.4 to 0.4; the
    disc 0.24 to 0.44 m from the shoulder, up to 1 rad to either side.

    **End**: never terminated; the registered time limit is 100 control steps.

    Args:
        actions: ``"joints"`` or ``"groups"``.
        view: ``"top"`` or ``"wrist"``.
        options: the options of `rivc.envs.base.MujocoTask`.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Version history:
        v0: the scripted expert returns 88.1 with joints and 90.6 with groups, random actions -29.6
        and -26.4, the mean of seeds 0 to 9.
    """

    asset = "arm_reach.xml"
    control_dt_s = 0.1
    physics_dt_s = 0.01
    episode_type = Reach
    segments = ("upper", "lower", "hand", "tip", "target")
    group_names = ("shoulder", "elbow", "wrist")
    state_rows = (
        StateRow("cos shoulder", "1", -1.0, 1.0),
        StateRow("sin shoulder", "1", -1.0, 1.0),
        StateRow("cos elbow", "1", -1.0, 1.0),
        StateRow("sin elbow", "1", -1.0, 1.0),
        StateRow("cos wrist", "1", -1.0, 1.0),
        StateRow("sin wrist", "1", -1.0, 1.0),
        StateRow("shoulder speed", "rad/s", -2.0, 2.0),
        StateRow("elbow speed", "rad/s", -2.0, 2.0),
        StateRow("wrist speed", "rad/s", -2.0, 2.0),
        StateRow("target x", "m", -1.0, 1.0),
        StateRow("target y", "m", -1.0, 1.0),
    )

    episode: Reach

    def __init__(
        self,
        *,
        actions: Literal["joints", "groups"] = "joints",
        view: Literal["top", "wrist"] = "top",
        **options: Unpack[TaskOptions],
    ) -> None:
        require_choice("actions", actions, ("joints", "groups"))
        require_choice("view", view, ("top", "wrist"))
        super().__init__(**options)
        self.actions, self.eye = actions, view
        self.depth_range_m = DEPTHS_M[view]
        self._tip = self.model.site("tip").id
        names = JOINT_DIRECTIONS if actions == "joints" else GROUP_DIRECTIONS
        self.action_names = tuple(names)
        self._directions = np.array(list(names.values()))
        self.action_space = (
            spaces.Discrete(len(names))
            if actions == "joints"
            else spaces.MultiDiscrete([len(names)] * len(LINKS_M))
        )

    def _begin(self) -> Reach:
        rng = self.np_random
        self.data.qpos[:] = [rng.uniform(low, high) for low, high in START_RAD]
        bearing_rad, distance_m = rng.uniform(-1.0, 1.0), rng.uniform(0.24, 0.44)
        self.data.mocap_pos[0, :2] = distance_m * cos(bearing_rad), distance_m * sin(bearing_rad)
        return Reach()

    def _command(self, action: np.int64 | NDArray[np.int64]) -> None:
        self.data.ctrl[:] = JOINT_SPEED_RAD_S * self._directions[action]

    def _advance(self) -> None:
        """Move nothing: the disc lies still."""

    def _target_from_tip(self) -> tuple[float, float]:
        x, y, _ = (self.data.mocap_pos[0] - self.data.site_xpos[self._tip]).tolist()
        return x, y

    def _measure(self) -> dict[str, float]:
        """Return how far the tip is from the middle of the disc."""
        return {"distance_m": hypot(*self._target_from_tip())}

    def _judge(self) -> Verdict:
        distance_m = self.measures["distance_m"]
        is_inside = distance_m < NEAR_M
        terms = {"distance": -distance_m, "inside": float(is_inside)}
        return Verdict(terms, terminated=False, is_success=is_inside)

    def _state(self) -> list[float]:
        angles = [turn(angle) for angle in self.data.qpos.tolist() for turn in (cos, sin)]
        return [*angles, *self.data.qvel.tolist(), *self._target_from_tip()]

    def expert_action(self) -> np.int64 | NDArray[np.int64]:
        """Return the scripted expert's choice: towards the nearest angles that reach the disc.

        One joint at a time, the joint with the most left to turn; in groups, all that have some.
        """
        turn_rad = self._turn_to_reach()
        directions = np.sign(turn_rad).astype(np.int64)
        if self.actions == "groups":
            return 1 + directions * (np.abs(turn_rad) > EVEN_RAD)
        is_widest = np.arange(len(turn_rad)) == np.argmax(np.abs(turn_rad))
        return np.int64((self._directions == directions * is_widest).all(axis=1).argmax())

    def _turn_to_reach(self) -> NDArray[np.float64]:
        """Return the least turn of the joints that brings the tip over the disc, [3]."""
        if self.measures["distance_m"] < CONTENT_M:
            return np.zeros(len(LINKS_M))
        x, y, _ = self.data.mocap_pos[0].tolist()
        angles_rad = self.data.qpos
        turns_rad = solve_reach(x, y, self.model.jnt_range, angles_rad[2]) - angles_rad
        least = 1 if self.actions == "joints" else inf  # turns add up, or go on together
        return np.asarray(turns_rad[np.linalg.norm(turns_rad, ord=least, axis=1).argmin()])


def solve_reach(
    x_m: float, y_m: float, limits_rad: NDArray[np.float64], wrist_rad: float
) -> NDArray[np.float64]:
    r"""Return joint angles within their limits that bring the tip over a point, [N, 3].

    One joint more than needed: the wrist is tried where it is and at even steps of its range. With
    it fixed, lower arm and hand are one link of length `b`, and the law of cosines gives the bend
    `\gamma` between it and the upper arm of length `a`, to either side:

    .. math:: \cos \gamma = (x^2 + y^2 - a^2 - b^2) / (2 a b)

    Args:
        x_m: the point, ahead of the shoulder.
        y_m: the point, to the left of the shoulder.
        limits_rad: lowest and highest angle of each joint, [3, 2].
        wrist_rad: the present wrist angle.

    Example:
        >>> limits_rad = np.array([[-2.5, 0.8], [0.3, 2.5], [-1.0, 1.0]])
        >>> solve_reach(0.3, 0.0, limits_rad, 0.0).shape[1]
        3
        >>> len(solve_reach(0.6, 0.0, limits_rad, 0.0))  # out of reach
        0
    """
    upper_m, lower_m, hand_m = LINKS_M
    low, high = limits_rad.T
    wrist = np.append(np.linspace(low[2], high[2], WRIST_STEPS), wrist_rad)
    ahead_m, aside_m = lower_m + hand_m * np.cos(wrist), hand_m * np.sin(wrist)
    length_m = np.hypot(ahead_m, aside_m)
    cosine = (x_m**2 + y_m**2 - upper_m**2 - length_m**2) / (2 * upper_m * length_m)
    is_near = np.abs(cosine) <= 1
    bend = np.outer([1, -1], np.arccos(np.where(is_near, cosine, 1.0)))
    across, along = length_m * np.sin(bend), upper_m + length_m * np.cos(bend)
    shoulder = np.arctan2(y_m, x_m) - np.arctan2(across, along)
    elbow = bend - np.arctan2(aside_m, ahead_m)
    angles = np.stack(np.broadcast_arrays(shoulder, elbow, wrist), axis=-1)  # [sides, wrists, 3]
    is_allowed = ((angles >= low) & (angles <= high)).all(axis=-1) & is_near
    return np.asarray(angles[is_allowed])
