"""What every robot task on MuJoCo shares: clocks, observations, exact state, films.

A task is one file: a subclass of `MujocoTask` with its MJCF, and a row in `rivc.envs.registry`. The
subclass fills in the hooks; the control loop stands once, in `MujocoTask.step`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces

from rivc.envs.cameras import open_camera
from rivc.envs.options import check_options
from rivc.envs.picture import to_grey
from rivc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rivc.envs.cameras import Camera
    from rivc.envs.options import CameraKind, ObsMode


ActionT = TypeVar("ActionT")
_STATE: Final = mujoco.mjtState.mjSTATE_INTEGRATION


class StateRow(NamedTuple):
    """One number of a state observation: what it is, its unit, and the range it is clipped to."""

    name: str
    unit: str
    low: float
    high: float


class Verdict(NamedTuple):
    """What one control step was worth; the reward is the sum of the terms."""

    reward_terms: dict[str, float]
    terminated: bool
    is_success: bool


class MujocoTask(gym.Env["NDArray[Any]", ActionT], ABC):
    """A robot task with a camera, a fixed control rate and a state that can be saved exactly.

    An observation is a picture for ``obs_mode="rgb"``, uint8, [size, size, 3], and for ``"grey"``,
    uint8, [size, size, 1], or a vector for ``"state"``, float32, [rows of `state_rows`].

    The `info` of a step holds what the task measures and

    - ``reward_terms``: the reward by term; it is the sum of their values, in their order;
    - ``is_success``: the goal is met now;
    - ``success_once``: it was met in this or an earlier step of the episode;
    - ``success_at_end``: what the episode's success would be, were this its last step.

    Args:
        obs_mode: what an observation is.
        camera: ``"gl"`` draws with OpenGL, ``"ray"`` casts rays on the CPU, ``"auto"`` takes OpenGL
            if it works.
        size: side of the square picture in pixels.
        render_mode: ``"rgb_array"`` lets `render` return frames of a film.
        video_size: width and height of a frame in pixels, multiples of 16 for video coders.

    Attributes:
        asset: the task's MJCF file in ``rivc/envs/assets``.
        control_dt_s: seconds from one action to the next.
        physics_dt_s: seconds of one simulation step; divides `control_dt_s`.
        state_rows: the state observation, row by row.
        eye: name of the robot's camera in the MJCF.
        group_names: a word for each group of actions, for films; empty if there is one group.
        action_names: a word for each action, or for each choice of a group, for films.
        measures: what reward, success and expert are made of, at this moment.
        episode: the task's own memory of the running episode, a dataclass of plain numbers.

    Raises:
        ConfigError: an option has a value that it cannot have.
        MissingError: ``camera="gl"`` and OpenGL does not work.
    """

    asset: ClassVar[str]
    control_dt_s: ClassVar[float]
    physics_dt_s: ClassVar[float]
    state_rows: ClassVar[tuple[StateRow, ...]]
    group_names: ClassVar[tuple[str, ...]] = ()
    episode_type: ClassVar[type]

    eye: str = "eye"
    action_names: tuple[str, ...]
    measures: dict[str, float]
    episode: Any

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / cls.control_dt_s)}

    def __init__(
        self,
        *,
        obs_mode: ObsMode = "rgb",
        camera: CameraKind = "auto",
        size: int = 32,
        render_mode: str | None = None,
        video_size: tuple[int, int] = (640, 480),
    ) -> None:
        check_options(
            {
                "obs_mode": obs_mode,
                "camera": camera,
                "size": size,
                "render_mode": render_mode,
                "video_size": video_size,
            }
        )
        self.obs_mode, self.camera, self.size = obs_mode, camera, size
        self.render_mode, self.video_size = render_mode, (video_size[0], video_size[1])
        self._substeps = count_substeps(self.control_dt_s, self.physics_dt_s)
        self.model = _load(self.asset)
        self.model.opt.timestep = self.physics_dt_s
        self.data = mujoco.MjData(self.model)
        self._state_bounds = (
            np.array([row.low for row in self.state_rows], dtype=np.float32),
            np.array([row.high for row in self.state_rows], dtype=np.float32),
        )
        self.observation_space = self._observation_space()
        self._eye: Camera | None = None
        self._film: Camera | None = None

    # What a task fills in.

    @abstractmethod
    def _begin(self) -> object:
        """Place everything by `self.np_random`; return an `episode_type`."""

    @abstractmethod
    def _command(self, action: ActionT) -> None:
        """Write the command of an action into `self.data.ctrl`."""

    @abstractmethod
    def _advance(self) -> None:
        """Move what moves without physics, once a control step."""

    @abstractmethod
    def _measure(self) -> dict[str, float]:
        """Return the measures, with the SI unit as suffix of the name; no side effects."""

    @abstractmethod
    def _judge(self) -> Verdict:
        """Return what the control step was worth; may count in `self.episode`."""

    @abstractmethod
    def _state(self) -> Sequence[float]:
        """Return the state observation, a number for each of `state_rows`."""

    @abstractmethod
    def expert_action(self) -> ActionT:
        """Return the scripted expert's choice in the present state."""

    # What is the same for all tasks.

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode; a seed fixes it and all that follow."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.episode = self._begin()
        self._has_succeeded = False
        mujoco.mj_forward(self.model, self.data)
        self.measures = self._measure()
        return self.observe(), dict(self.measures)

    def step(self, action: ActionT) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Hold a command for `control_dt_s` and judge where it led; it never truncates."""
        if not self.action_space.contains(action):
            raise UsageError(f"action {action!r} is not in {self.action_space}")
        self._command(action)
        mujoco.mj_step(self.model, self.data, self._substeps)
        self._advance()
        self._settle()
        terms, terminated, is_success = self._judge()
        self._has_succeeded = self._has_succeeded or is_success
        info = {
            **self.measures,
            "reward_terms": terms,
            "is_success": is_success,
            "success_once": self._has_succeeded,
            "success_at_end": is_success,
        }
        return self.observe(), sum(terms.values()), terminated, False, info

    def observe(self) -> NDArray[Any]:
        """Return the observation of the present state."""
        if self.obs_mode == "state":
            low, high = self._state_bounds
            state = np.array(self._state(), dtype=np.float32)
            return np.minimum(np.maximum(state, low), high)
        if self._eye is None:
            self._eye = open_camera(self.camera, self.model, self.eye, size=(self.size, self.size))
        picture = self._eye(self.data)
        return to_grey(picture) if self.obs_mode == "grey" else picture

    def render(self) -> NDArray[np.uint8]:
        """Return a frame of the film of the world, uint8, [height, width, 3].

        OpenGL draws it, whatever the robot's own camera is; where OpenGL does not work, rays do.
        """
        if self.render_mode is None:
            raise UsageError("render() needs an environment made with render_mode='rgb_array'")
        if self._film is None:
            self._film = open_camera("auto", self.model, "film", size=self.video_size, film=True)
        return self._film(self.data)

    def close(self) -> None:
        """Free the cameras; a later picture opens them again."""
        for camera in (self._eye, self._film):
            if camera is not None:
                camera.close()
        self._eye = self._film = None

    def action_commands(self) -> NDArray[np.float64]:
        """Return what each action, or choice of every group, makes of `data.ctrl`, [n, motors]."""
        space: Any = self.action_space
        is_single, ctrl, rows = isinstance(space, spaces.Discrete), self.data.ctrl.copy(), []
        for i in range(int(space.n if is_single else space.nvec[0])):
            choice: Any = np.int64(i) if is_single else np.full(space.shape, i)
            self._command(choice)
            rows.append(self.data.ctrl.copy())
        self.data.ctrl[:] = ctrl
        return np.array(rows)

    def get_state(self) -> dict[str, Any]:
        """Return all that the future depends on, as a dict of arrays and of values that JSON holds.

        An environment made with the same options continues from it bit-identically.
        """
        physics = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, physics, _STATE)
        return {
            "task": type(self).__name__,
            "physics": physics,
            "episode": asdict(self.episode),
            "has_succeeded": self._has_succeeded,
            "rng": dict(self.np_random.bit_generator.state),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from what `get_state` returned, here or in another process.

        Raises:
            ConfigError: the state is that of another task.
        """
        if state["task"] != type(self).__name__:
            raise ConfigError(f"this is a {type(self).__name__}, the state is of {state['task']}")
        mujoco.mj_resetData(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, np.asarray(state["physics"]), _STATE)
        self.episode = self.episode_type(**state["episode"])
        self._has_succeeded = bool(state["has_succeeded"])
        self.np_random = np.random.Generator(np.random.PCG64())
        self.np_random.bit_generator.state = state["rng"]
        self._settle()

    def _settle(self) -> None:
        """Bring poses and measures up to date with the positions, and leave the dynamics alone."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.measures = self._measure()

    def _observation_space(self) -> spaces.Box:
        if self.obs_mode == "state":
            low, high = self._state_bounds
            return spaces.Box(low, high, dtype=np.float32)
        channels = 1 if self.obs_mode == "grey" else 3
        return spaces.Box(0, 255, (self.size, self.size, channels), np.uint8)


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


def _load(asset: str) -> mujoco.MjModel:
    with as_file(files("rivc.envs") / "assets") as folder:  # MJCF files include each other
        return mujoco.MjModel.from_xml_path(str(folder / asset))
