"""What every robot task on MuJoCo shares: the control loop, exact state, films.

A task is one file: a subclass of `MujocoTask` with its MJCF, and a row in `rivc.envs.registry`. The
subclass fills in the hooks; the control loop stands once, in `MujocoTask.step`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces

from rivc.envs.cameras.segments import segment_levels
from rivc.envs.disturb import Disturbances, read_difficulty, read_disturbances
from rivc.envs.disturb.disturber import Disturber
from rivc.envs.options import check_options
from rivc.envs.physics import (
    count_substeps,
    load_scene,
    restore_physics,
    save_physics,
    step_physics,
)
from rivc.envs.sight import Cameras, clip_state, develop, observation_space
from rivc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from rivc.envs.cameras import Camera
    from rivc.envs.options import CameraKind, ObsMode


ActionT = TypeVar("ActionT")
SourceT = TypeVar("SourceT")


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

    An observation is a vector for ``obs_mode="state"``, float32, [rows of `state_rows`], and a
    picture otherwise, uint8, [size, size, 3] for ``"rgb"`` and [size, size, 1] for the others:

    - ``"grey"``: the luma of ``"rgb"``;
    - ``"depth"``: 255 at the near end of `depth_range_m` and nearer, 0 at its far end, beyond it
      and where there is nothing, linear in metres along the camera's axis between;
    - ``"segmentation"``: 0 for background; the k-th of K `segments` is ``round(255 k / K)``.

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
        disturbances: what differs from the nominal task, drawn anew every episode: `Disturbances`,
            a name or a mapping of names; see `rivc.envs.disturb.read_disturbances`. What was drawn
            is in the `info` of `reset` as ``disturbances``, how much of it as ``difficulty``.
        difficulty: factor from 0 to 1 on all of them, or two between which every episode draws
            one; for one episode, ``reset(options={"difficulty": 0.5})``.

    Attributes:
        asset: the task's MJCF file in ``rivc/envs/assets``.
        control_dt_s: seconds from one action to the next.
        physics_dt_s: seconds of one simulation step; divides `control_dt_s`.
        state_rows: the state observation, row by row.
        segments: what ``"segmentation"`` shows, by name; see
            `rivc.envs.cameras.segments.segment_levels`.
        eye: name of the robot's camera in the MJCF.
        depth_range_m: the nearest and the farthest metre that ``"depth"`` tells apart.
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
    segments: ClassVar[tuple[str, ...]] = ()

    eye: str = "eye"
    depth_range_m: tuple[float, float] = (0.0, 4.0)
    action_names: tuple[str, ...]
    observation_space: spaces.Box
    measures: dict[str, float]
    episode: Any

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / cls.control_dt_s)}

    def __init__(  # noqa: PLR0913 (one argument an option)
        self,
        *,
        obs_mode: ObsMode = "rgb",
        camera: CameraKind = "auto",
        size: int = 32,
        render_mode: str | None = None,
        video_size: tuple[int, int] = (640, 480),
        disturbances: Disturbances | Mapping[str, float] | str | None = None,
        difficulty: float | Sequence[float] = 1.0,
    ) -> None:
        check_options(
            {
                "obs_mode": obs_mode,
                "camera": camera,
                "size": size,
                "render_mode": render_mode,
                "video_size": video_size,
                "disturbances": disturbances,
                "difficulty": difficulty,
            }
        )
        self.obs_mode, self.camera, self.size = obs_mode, camera, size
        self.render_mode, self.video_size = render_mode, (video_size[0], video_size[1])
        self.substeps = count_substeps(self.control_dt_s, self.physics_dt_s)
        self.disturbances, self.difficulty = read_disturbances(disturbances), difficulty
        self.model = load_scene(self.asset, self.disturbances.distractors_count)
        self.model.opt.timestep = self.physics_dt_s
        self.data = mujoco.MjData(self.model)
        self._disturber = Disturber(self.model, self.disturbances)
        self._held: NDArray[np.float64] | None = None
        self._cameras = Cameras(self.model)
        self._segment_levels = segment_levels(self.model, self.segments)
        self.observation_space = observation_space(obs_mode, size, self.state_rows)

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

    # The control loop.

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode; a seed fixes it and all that follow.

        `options` may hold the ``difficulty`` of the disturbances, for this episode.
        """
        info = self.restart(seed=seed, options=options)
        return self._receive(), info

    def step(self, action: ActionT) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Hold a command for `control_dt_s` and judge where it led; it never truncates."""
        self.begin_step(action)
        step_physics(self.model, self.data, self.substeps, self._disturber.control_noise())
        reward, terminated, info = self.end_step()
        return self._receive(), reward, terminated, False, info

    def restart(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Do what `reset` does, but do not look; return the info."""
        super().reset(seed=seed)
        self._disturb(read_difficulty((options or {}).get("difficulty", self.difficulty)))
        mujoco.mj_resetData(self.model, self.data)
        self.episode = self._begin()
        self._has_succeeded, self._held = False, None
        self._disturber.move(self.data)
        mujoco.mj_forward(self.model, self.data)
        self.measures = self._measure()
        return {**self.measures, **self._disturber.info()}

    def begin_step(self, action: ActionT) -> None:
        """Do what `step` does before the physics: check the action and command it."""
        if not self.action_space.contains(action):
            raise UsageError(f"action {action!r} is not in {self.action_space}")
        if self._held is not None:
            self.data.ctrl[:], self._held = self._held, None
            self._disturber.channel.actions.clear()
            return
        for arrived in self._disturber.channel.send(action):
            self._command(arrived)

    def hold(self, controls: NDArray[np.float64]) -> None:
        """Let controls hold over the next step in place of its action, [motors].

        That is how a stop reaches a robot that has no action for it: at once, and what was on its
        way never arrives.
        """
        self._held = np.array(controls, np.float64)

    def end_step(self) -> tuple[float, bool, dict[str, Any]]:
        """Do what `step` does after the physics but for looking: reward, terminated and info."""
        self._advance()
        self._disturber.move(self.data)
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
        return sum(terms.values()), terminated, info

    def _disturb(self, difficulty: tuple[float, float]) -> None:
        """Draw what disturbs the next episode, from a stream that takes nothing from the task's."""
        if self._disturber.is_on:
            seed: int = self.np_random.bit_generator.state["state"]["state"]
            self._disturber.begin(difficulty, seed)
            self._cameras.refresh()

    def _settle(self) -> None:
        """Bring poses and measures up to date with the positions, and leave the dynamics alone."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.measures = self._measure()

    def _receive(self) -> NDArray[Any]:
        """Return the observation that reaches the policy now."""
        return self._disturber.channel.receive(self.observe, self.observation_space)

    # What robots and films see.

    def observe(self) -> NDArray[Any]:
        """Return the observation of the present state, without noise, delay or loss."""
        if self.obs_mode == "state":
            return clip_state(self._state(), self.observation_space)
        return self.develop(self.open_eye(), self.data)

    def open_eye(self) -> Camera[mujoco.MjData]:
        """Return the robot's own camera, which is opened when it is first needed."""
        return self._cameras.get(self.eye, self.camera, (self.size, self.size))

    def develop(self, camera: Camera[SourceT], source: SourceT) -> NDArray[np.uint8]:
        """Return what a camera sees in the form of `obs_mode`, uint8, [..., H, W, channels]."""
        return develop(camera, source, self.obs_mode, self.depth_range_m, self._segment_levels)

    def render(self) -> NDArray[np.uint8]:
        """Return a frame of the film of the world, uint8, [height, width, 3].

        OpenGL draws it, whatever the robot's own camera is; where OpenGL does not work, rays do.
        """
        if self.render_mode is None:
            raise UsageError("render() needs an environment made with render_mode='rgb_array'")
        return self._cameras.get("film", "auto", self.video_size, film=True)(self.data)

    def close(self) -> None:
        """Free the cameras; a later picture opens them again."""
        self._cameras.close()

    # What the future depends on.

    def get_state(self) -> dict[str, Any]:
        """Return all that the future depends on, as a dict of arrays and of values that JSON holds.

        An environment made with the same options continues from it bit-identically.
        """
        state: dict[str, Any] = {
            "task": type(self).__name__,
            "physics": save_physics(self.model, self.data),
            "episode": asdict(self.episode),
            "has_succeeded": self._has_succeeded,
            "rng": dict(self.np_random.bit_generator.state),
        }
        if self._held is not None:
            state["held"] = self._held.copy()
        if self._disturber.is_on:
            state["disturbances"] = self._disturber.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from what `get_state` returned, here or in another process.

        Raises:
            ConfigError: the state is that of another task, or of one with other disturbances.
        """
        if state["task"] != type(self).__name__:
            raise ConfigError(f"this is a {type(self).__name__}, the state is of {state['task']}")
        self._disturber.set_state(state.get("disturbances"), self.action_space.dtype)
        self._cameras.refresh()
        restore_physics(self.model, self.data, state["physics"])
        self.episode = self.episode_type(**state["episode"])
        self._has_succeeded = bool(state["has_succeeded"])
        held = state.get("held")
        self._held = None if held is None else np.array(held, np.float64)
        self.np_random = np.random.Generator(np.random.PCG64())
        self.np_random.bit_generator.state = state["rng"]
        self._settle()

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
