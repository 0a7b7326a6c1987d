"""A small world with a view, runs whose networks were never trained, and a scene to draw."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rivc.report.scene import LayerCells, Moment, Scene
from rivc.snn_convert import convert
from rivc.train.config import parse_config
from rivc.train.run import RunFolder
from rivc.train.setup import make_encoding, make_network, make_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

torch.set_num_threads(1)
WINDOW = (64, 96, 3)


class Drift(gymnasium.Env["NDArray[np.float32]", Any]):
    """A state that drifts for six steps; its world is a plain colour that brightens."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self, *, joints: int = 0, view: str = "rgb", render_mode: str | None = None
    ) -> None:
        self.observation_space = spaces.Box(-1, 1, (5,), np.float32)
        self.action_space = spaces.MultiDiscrete([3] * joints) if joints else spaces.Discrete(3)
        self.view, self.render_mode = view, render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-0.5, 0.5, 5).astype(np.float32)
        self.age = 0
        return self.state, {}

    def step(self, action: object) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.age += 1
        self.state = np.clip(self.state + 0.1 * (np.sum(action) - 1), -1, 1).astype(np.float32)
        return self.state, 1.5, self.age == 6, False, {}

    def render(self) -> object:
        return {"rgb": self._window, "broken": self._break, "text": lambda: "a world"}[self.view]()

    def _window(self) -> NDArray[np.uint8]:
        return np.full(WINDOW, 40 * self.age, np.uint8)

    def _break(self) -> None:
        raise OSError("the window is stuck\nsecond line")


class Unseen(Drift):
    """The same without any notion of a view."""

    def __init__(self) -> None:
        super().__init__()


@pytest.fixture(scope="session", autouse=True)
def _worlds() -> Iterator[None]:
    """Register the test worlds, and a tracker whose episodes are short."""
    gymnasium.register("test/Drift-v0", entry_point=Drift)
    gymnasium.register("test/Unseen-v0", entry_point=Unseen)
    gymnasium.register(
        "test/Tracker-v0", entry_point="rivc.envs.tracker:VisualTracker", max_episode_steps=3
    )
    gymnasium.register(
        "test/CartPole-v0",
        entry_point="gymnasium.envs.classic_control:CartPoleEnv",
        max_episode_steps=5,
    )
    yield
    for name in ("Drift", "Unseen", "Tracker", "CartPole"):
        del gymnasium.registry[f"test/{name}-v0"]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Return what makes a run folder with the program of a network that was never trained."""

    def make(env_id: str, *, seed: int = 0, net: object = None, **env: object) -> RunFolder:
        tree = {"seed": seed, "env": {"id": env_id, **env}, "net": net or {"hidden": [16, 16]}}
        config = parse_config(tree, "test")
        folder = RunFolder.create(tmp_path / f"run-{seed}", config)
        (task,) = make_tasks(config, 1)
        seen = np.stack([task.env.reset(seed=i)[0] for i in range(4)])
        encoding = make_encoding(task, seen, "ideal")
        network = make_network(config, encoding, task.action_layout, "ideal")
        folder.save_program(convert(network))
        task.env.close()
        return folder

    return make


@dataclass(frozen=True)
class Video:
    """What a player finds in a video file."""

    stream: str
    frames: NDArray[np.uint8]


@pytest.fixture
def play_video() -> Callable[[Path], Video]:
    """Return what decodes a film with ffmpeg; skips where there is none."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()

    def decode(path: Path) -> Video:
        command = [ffmpeg, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        stream = next(line for line in done.stderr.decode().splitlines() if " Video: " in line)
        width, height = map(int, re.search(r", (\d+)x(\d+)", stream).groups())
        return Video(stream, np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3))

    return decode


@pytest.fixture
def scene() -> Scene:
    """A robot with a camera and four actions."""
    return Scene(
        title="test/Robot-v0",
        subtitle="4-bit weights  ·  emulator",
        input_shape=(16, 16, 3),
        input_levels=255,
        layers=(LayerCells("conv 8", 8), LayerCells("dense 32", 32)),
        group_names=("",),
        action_names=("stop", "forward", "turn left", "turn right"),
        value_step=0.01,
        value_range=(-1.0, 1.0),
        world_size=(96, 64),
    )


@pytest.fixture
def make_moment() -> Callable[..., Moment]:
    """Return what makes a moment of a scene, random where nothing is said."""

    def make(scene: Scene, **said: object) -> Moment:
        rng = np.random.default_rng(7)
        window = None
        if scene.world_size is not None:
            window = np.full((*scene.world_size[::-1], 3), 90, np.uint8)
        facts: dict[str, Any] = {
            "episode": 1,
            "step": 3,
            "episode_return": 2.5,
            "counts": rng.integers(0, 256, scene.input_shape, np.uint8),
            "rates": tuple(rng.uniform(size=layer.cells) for layer in scene.layers),
            "spike_count": 123,
            "readout": rng.integers(-99, 99, scene.action_layout),
            "world": window,
        }
        return Moment(**{**facts, **said})

    return make
