"""Draws the disturbances of an episode, applies them, and takes them back."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

import mujoco
import numpy as np

from rivc.envs.disturb import scene
from rivc.envs.disturb.channel import Channel
from rivc.envs.disturb.extents import bounds
from rivc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rivc.envs.disturb.extents import Disturbances, Extent

    Drawing = Callable[[np.random.Generator, Any, mujoco.MjModel], Any]

Draw = dict[str, Any]  # plain values, as JSON holds them


class Row(NamedTuple):
    """One disturbance: `draw` takes a stream, the extent and the scene; `apply` what was drawn."""

    name: str
    draw: Drawing
    apply: Callable[[Disturber, Any], None]


class Disturber:
    """The disturbances of the present episode of one scene.

    Args:
        model: the compiled scene in its nominal form; only this object changes it.
        extents: the most that an episode may get.

    Attributes:
        is_on: there is anything to draw.
        difficulty: of the episode.
        drawn: what the episode got, by the names of `Disturbances`; plain values.
        channel: what lies between policy and robot.
    """

    def __init__(self, model: mujoco.MjModel, extents: Disturbances) -> None:
        self.model, self._extents = model, extents
        self.is_on = bool(extents.extents())
        self.difficulty = 0.0
        self.drawn: Draw = {}
        self.channel = Channel()
        self._nominal: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._control_reach = _control_reach(model)

    def begin(self, difficulty: tuple[float, float], seed: int) -> None:
        """Draw a difficulty between two, and the disturbances of an episode; apply them.

        Each has a stream of its own, so that what one draws does not depend on the others; an
        extent scales what is drawn and does not change the stream.
        """
        self.difficulty = _stream(seed, "difficulty").uniform(*difficulty)
        wanted = self._extents.scaled(self.difficulty).extents()
        drawn = {
            row.name: row.draw(_stream(seed, row.name), wanted[row.name], self.model)
            for row in ROWS
            if row.name in wanted
        }
        self._apply(drawn)
        self.channel.rng = _stream(seed, "channel")

    def move(self, data: mujoco.MjData) -> None:
        """Put what distracts to where it is now."""
        scene.move_distractors(self.model, data, self.drawn.get("distractors_count", []))

    def control_noise(self) -> NDArray[np.float64] | None:
        """Return noise for the controls of this step, [nu]; None if the episode has none."""
        has_noise = self.channel.actuator_noise_share > 0
        return self.channel.jitter(self._control_reach) if has_noise else None

    def info(self) -> dict[str, Any]:
        """Return what is told of the episode: its difficulty and what was drawn."""
        if not self.is_on:
            return {}
        return {"difficulty": self.difficulty, "disturbances": dict(self.drawn)}

    def get_state(self) -> dict[str, Any]:
        """Return what was drawn and what is on its way."""
        return {"difficulty": self.difficulty, "drawn": self.drawn, **self.channel.get_state()}

    def set_state(self, state: dict[str, Any] | None, action_type: Any) -> None:
        """Continue from what `get_state` returned; None for a task without disturbances.

        Raises:
            ConfigError: it was not drawn from these extents.
        """
        if not self._may_have_drawn(state):
            raise ConfigError(
                "the state was drawn from other disturbances; make the task with the same"
            )
        if state is not None:
            self.difficulty = float(state["difficulty"])
            self._apply(state["drawn"])
            self.channel.set_state(state, action_type)

    def _may_have_drawn(self, state: dict[str, Any] | None) -> bool:
        if state is None or not self.is_on:
            return state is None and not self.is_on
        extents, drawn = self._extents.extents(), state["drawn"]
        room: int = ceil(extents.get("distractors_count", 0))  # as many as the scene has bodies for
        return drawn.keys() <= extents.keys() and len(drawn.get("distractors_count", [])) <= room

    def _apply(self, drawn: Draw) -> None:
        """Bring the scene back to its nominal form, then change it."""
        self._nominal = self._nominal or [(now, now.copy()) for now in _touched(self.model)]
        mass = self.model.body_mass.copy()
        for now, nominal in self._nominal:
            now[:] = nominal
        self.drawn, self.channel = drawn, Channel()
        for row in ROWS:
            if row.name in drawn:
                row.apply(self, drawn[row.name])
        if not np.array_equal(mass, self.model.body_mass):
            mujoco.mj_setConst(self.model, mujoco.MjData(self.model))


def _control_reach(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Return half the range of each control, or 1 where it has none, [nu]."""
    low, high = model.actuator_ctrlrange.T
    return np.asarray(np.where(model.actuator_ctrllimited, (high - low) / 2, 1.0))


def _touched(model: mujoco.MjModel) -> list[NDArray[Any]]:
    """Return everything of a scene that a disturbance may change, as it lies in memory."""
    return [
        model.vis.headlight.ambient,
        model.vis.headlight.diffuse,
        model.light_ambient,
        model.light_diffuse,
        model.light_dir,
        model.geom_rgba,
        model.mat_rgba,
        model.tex_data,
        model.cam_pos,
        model.cam_quat,
        model.cam_fovy,
        model.body_mass,
        model.body_inertia,
        model.geom_friction,
        model.actuator_gainprm,
    ]


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(crc32(name.encode()),)))


def _either_way(rng: np.random.Generator, extent: float, model: mujoco.MjModel) -> float:
    return extent * rng.uniform(-1, 1)


def _between(rng: np.random.Generator, extent: Extent, model: mujoco.MjModel) -> float:
    low, high = bounds(extent)
    return low + (high - low) * rng.uniform()


def _whole(rng: np.random.Generator, extent: Extent, model: mujoco.MjModel) -> int:
    return round(_between(rng, extent, model))


def _each(
    shape: Callable[[mujoco.MjModel], tuple[int, ...]],
) -> Drawing:
    """Return the draw of an array of numbers, either way."""

    def draw(rng: np.random.Generator, extent: float, model: mujoco.MjModel) -> Any:
        return (extent * rng.uniform(-1, 1, shape(model))).tolist()

    return draw


def _on_model(change: Callable[[mujoco.MjModel, Any], None]) -> Callable[[Disturber, Any], None]:
    return lambda disturber, value: change(disturber.model, value)


def _set(name: str, disturber: Disturber, value: float) -> None:
    setattr(disturber.channel, name, value)


def _on_channel(name: str, draw: Drawing) -> Row:
    return Row(name, draw, partial(_set, name))


_AXES: Final = _each(lambda model: (3,))
ROWS: Final = (
    Row("light_share", _either_way, _on_model(scene.brighten)),
    Row("light_angle_deg", _AXES, _on_model(scene.turn_lamps)),
    Row(
        "colour_share",
        _each(lambda model: (model.nmat + model.ngeom, 3)),
        _on_model(scene.recolour),
    ),
    Row("camera_angle_deg", _AXES, _on_model(scene.turn_cameras)),
    Row("camera_shift_m", _AXES, _on_model(scene.shift_cameras)),
    Row("view_angle_deg", _either_way, _on_model(scene.widen_view)),
    Row("texture_share", _each(lambda model: (model.ntex, 4)), _on_model(scene.retouch)),
    Row("distractors_count", scene.draw_distractors, _on_model(scene.show_distractors)),
    Row("mass_share", _each(lambda model: (model.nbody,)), _on_model(scene.reweigh)),
    Row("friction_share", _either_way, _on_model(scene.smooth_or_roughen)),
    Row("motor_gain_share", _each(lambda model: (model.nu,)), _on_model(scene.retune_motors)),
    _on_channel("action_delay_steps", _whole),
    _on_channel("observation_delay_steps", _whole),
    _on_channel("picture_noise_levels", _between),
    _on_channel("state_noise_share", _between),
    _on_channel("actuator_noise_share", _between),
    _on_channel("dropped_frames_share", _between),
)
