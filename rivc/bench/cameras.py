"""`rivc bench cameras`: what robots see with, against MuJoCo's own renderer, on the same scenes.

Every picture is drawn anew, of states along an episode of the scripted expert. Both draw the same
geoms through the same camera at the same size, each with a renderer that was made once. The stock
renderer has MuJoCo's default quality, or the same without shadows and reflections.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.bench.timing import Race, Report, race, versions
from rivc.envs import gl_status, make, task_specs
from rivc.envs.cameras import GlCamera, RayCamera
from rivc.envs.cameras.groups import ROBOT_GROUPS
from rivc.errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import mujoco
    from numpy.typing import NDArray

    from rivc.bench.timing import Work
    from rivc.envs.cameras import Camera

SIZES: Final = (32, 64)
STATES: Final = 16
STEPS_BETWEEN: Final = 3  # of these states
EFFORT: Final = {"stock": (7, 3), "no shadows": (40, 25)}  # peer: rounds, calls of a round
NEAR_ENOUGH: Final = 12.0  # mean difference of a pixel from the stock picture, which has shadows


class Scene(NamedTuple):
    """What is drawn: a model through one of its cameras, in some states, at one size."""

    name: str
    model: mujoco.MjModel
    eye: str
    states: list[mujoco.MjData]
    size: int


def run() -> Report:
    """Compare and time the cameras of every task; see the module."""
    races: list[Race] = []
    facts = {"OpenGL": gl_status().renderer}
    for spec in task_specs():
        for scene in scenes(spec.id):
            laps = _races(scene)
            rates = {"gl": laps[2].ours_us, "ray": laps[3].ours_us, "stock": laps[0].peer_us}
            words = ", ".join(f"{kind} {1e6 / us:,.0f}" for kind, us in rates.items())
            facts[scene.name] = f"{words} frames/s"
            races += laps
    return Report(tuple(races), facts, versions("mujoco"))


def scenes(env_id: str) -> Iterator[Scene]:
    """Yield states along an episode of a task's expert, for each size."""
    env: Any = make(env_id, obs_mode="state").env.unwrapped
    env.reset(seed=0)
    states = []
    for step in range(STATES * STEPS_BETWEEN):
        if step % STEPS_BETWEEN == 0:
            states.append(copy.copy(env.data))
        if env.step(env.expert_action())[2]:
            env.reset()
    for size in SIZES:
        name = f"{env_id.partition('/')[2]} {size}x{size}"
        yield Scene(name, env.model, env.eye, states, size)


@contextmanager
def stock(scene: Scene, *, shadows: bool = True) -> Iterator[Work]:
    """Give MuJoCo's renderer as a function of a state, drawing what robots see."""
    import mujoco  # after rivc.envs, which settles the OpenGL library that it loads

    flags = mujoco.mjtRndFlag
    options = mujoco.MjvOption()
    options.geomgroup[:] = ROBOT_GROUPS
    picture = np.empty((scene.size, scene.size, 3), dtype=np.uint8)
    with mujoco.Renderer(scene.model, scene.size, scene.size) as renderer:
        renderer.scene.flags[[flags.mjRND_SHADOW.value, flags.mjRND_REFLECTION.value]] = shadows

        def draw(data: mujoco.MjData) -> NDArray[np.uint8]:
            renderer.update_scene(data, scene.eye, options)
            return np.asarray(renderer.render(out=picture))

        yield draw


def _races(scene: Scene) -> list[Race]:
    """Return the races of both cameras against the stock renderer, then against the lean one."""
    size = (scene.size, scene.size)
    by_gl = GlCamera(scene.model, scene.eye, size=size)
    by_rays = RayCamera(scene.model, scene.eye, size=size)
    ours: dict[str, Camera[mujoco.MjData]] = {"gl": by_gl, "ray": by_rays}
    races = []
    for peer, (rounds, calls) in EFFORT.items():
        with stock(scene, shadows=peer == "stock") as draw:
            for kind, camera in ours.items():
                name = f"{scene.name}, {kind}"
                _require_alike(name, camera, draw, scene.states)
                works = _over(camera, scene.states), _over(draw, scene.states)
                races.append(race(name, peer, *works, rounds=rounds, calls=calls))
    by_gl.close()
    return races


def _over(draw: Work, states: list[mujoco.MjData]) -> Work:
    return lambda i: draw(states[i % len(states)])


def _require_alike(
    name: str, camera: Camera[mujoco.MjData], draw: Any, states: list[mujoco.MjData]
) -> None:
    """Raise unless a camera shows what the stock renderer shows."""
    for data in states:
        difference = float(np.abs(camera(data).astype(float) - draw(data)).mean())
        if difference > NEAR_ENOUGH:
            msg = f"{name}: pixels differ by {difference:.1f} levels from the stock picture"
            raise MismatchError(msg)
