"""Any environment by its id, or one line that says why not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rivc.envs import make
from rivc.envs.factory import task_of
from rivc.errors import ConfigError, MissingError
from rivc.train.task_world import action_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG_BOX = spaces.Box(-np.arange(30, dtype=np.float32), np.arange(30, dtype=np.float32))


class Blank(gym.Env[Any, Any]):
    """An environment of given spaces that does nothing."""

    is_closed = False

    def __init__(
        self,
        observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (2,)),  # noqa: B008  # never changed
        action_space: spaces.Space[Any] = spaces.Discrete(2),  # noqa: B008
    ) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
        if self.action_space == spaces.Discrete(13):
            raise ValueError("thirteen is unlucky")

    def close(self) -> None:
        type(self).is_closed = True


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    Blank.is_closed = False
    gym.register("Blank-v0", entry_point=Blank)  # type: ignore[arg-type]
    gym.register("Absent-v0", entry_point="rivc_absent_package:Env")
    yield
    del gym.registry["Blank-v0"], gym.registry["Absent-v0"]


def complaint(kind: type[Exception], env_id: str, /, **options: object) -> str:
    """Return the one line of the error."""
    with pytest.raises(kind) as caught:
        make(env_id, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("history", [False, True])
def test_what_a_bin_stands_for_can_be_asked_of_the_task(history: bool) -> None:
    pictures, wheels = spaces.Box(0, 255, (8, 8, 3), np.uint8), spaces.Box(-2, 2, (2,))
    spaces_of_it = {"observation_space": pictures, "action_space": wheels}
    task = make("Blank-v0", bins=3, history=history, **spaces_of_it)
    assert action_vectors(task).tolist() == [[[-2, 0], [0, 0], [2, 0]], [[0, -2], [0, 0], [0, 2]]]


def test_the_flagship_is_an_image_task_without_its_time_limit() -> None:
    task = make("rivc/VisualTracker-v0", obs_mode="rgb", camera="ray", size=48)
    assert (task.observation_kind, task.observation_shape) == ("image", (48, 48, 3))
    assert (task.action_layout, task.max_episode_steps) == ((1, 7), 200)
    task.env.reset(seed=0)
    truncations = [task.env.step(task.env.unwrapped.expert_action())[3] for _ in range(205)]  # type: ignore[attr-defined]
    assert not any(truncations)


@pytest.mark.parametrize(
    ("env_id", "options", "layout", "kind", "shape"),
    [
        ("CartPole-v1", {}, (1, 2), "vector", (4,)),
        ("Pendulum-v1", {"bins": 5}, (1, 5), "vector", (3,)),
        ("Blank-v0", {"action_space": spaces.Box(-1, 1, (6,)), "bins": 3}, (6, 3), "vector", (2,)),
        ("Blank-v0", {"action_space": spaces.MultiDiscrete([4, 4])}, (2, 4), "vector", (2,)),
        (
            "Blank-v0",
            {"observation_space": spaces.Box(0, 255, (9, 7, 1), np.uint8)},
            (1, 2),
            "image",
            (9, 7, 1),
        ),
    ],
)
def test_any_environment_has_a_layout_and_a_kind(
    env_id: str, options: dict[str, Any], layout: tuple[int, int], kind: str, shape: tuple[int, ...]
) -> None:
    task = make(env_id, **options)
    assert (task.action_layout, task.observation_kind, task.observation_shape) == (
        layout,
        kind,
        shape,
    )
    task.env.close()


def test_a_history_has_three_channels_and_takes_pictures_only() -> None:
    task = make("rivc/VisualTracker-v0", history=True, obs_mode="depth", camera="ray", size=16)
    assert (task.observation_kind, task.observation_shape) == ("image", (16, 16, 3))
    message = complaint(ConfigError, "CartPole-v1", history=True)
    assert message.startswith("CartPole-v1: a history takes pictures, uint8, [H, W, 1] or")


def test_a_module_may_register_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rivc_test_lab.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('lab/Cart-v0', max_episode_steps=7,\n"
        "    entry_point='gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert make("rivc_test_lab:lab/Cart-v0").max_episode_steps == 7
    del gym.registry["lab/Cart-v0"], sys.modules["rivc_test_lab"]


def test_an_unknown_id_names_the_nearest() -> None:
    message = complaint(MissingError, "rivc/VisualTraker-v0")
    assert message.endswith("did you mean 'rivc/VisualTracker-v0'?")
    assert "CartPole-v1" in complaint(MissingError, "CartPole")
    assert "module:id" in complaint(MissingError, "%%%%")


def test_an_unknown_module_is_named() -> None:
    message = complaint(MissingError, "rivc_absent_module:Lab-v0")
    assert "rivc_absent_module" in message


def test_a_missing_package_is_named() -> None:
    message = complaint(MissingError, "Absent-v0")
    assert message.endswith(
        "No module named 'rivc_absent_package'; pip install rivc_absent_package"
    )


def test_a_setting_that_breaks_the_import_of_mujoco_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(entry_point: str) -> None:
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr("rivc.envs.gl.loads", lambda library: False)
    monkeypatch.setattr("rivc.envs.factory.load_env_creator", fail)
    message = complaint(MissingError, "rivc/VisualTracker-v0")
    assert "MUJOCO_GL=osmesa needs libOSMesa.so.8 or libOSMesa.so.6" in message
    assert message.endswith("unset MUJOCO_GL")


def test_more_choices_than_a_replay_holds_are_refused() -> None:
    env = gym.make("CartPole-v1")
    env.action_space = spaces.Discrete(32_768)
    with pytest.raises(ConfigError, match="more than 32,767 choices"):
        task_of(env)
    env.action_space = spaces.Discrete(32_767)
    assert task_of(env).action_layout == (1, 32_767)


def test_a_wrong_option_names_the_nearest() -> None:
    message = complaint(ConfigError, "rivc/VisualTracker-v0", obs_mod="state")
    assert message == "rivc/VisualTracker-v0 has no option 'obs_mod'; did you mean 'obs_mode'?"
    message = complaint(ConfigError, "rivc/VisualTracker-v0", movin=False)
    assert message.endswith("did you mean 'moving'?")
    message = complaint(ConfigError, "Blank-v0", env_id=1)
    assert message.startswith("Blank-v0 has no option 'env_id'")
    message = complaint(ConfigError, "Blank-v0", zzz=1)
    assert message.endswith("no option 'zzz'; it has observation_space, action_space")


def test_a_wrong_value_is_the_tasks_own_error() -> None:
    message = complaint(ConfigError, "rivc/VisualTracker-v0", obs_mode="rbg", camera="ray")
    assert message.startswith("obs_mode='rbg'")


def test_whatever_a_constructor_raises_is_one_configuration_error() -> None:
    message = complaint(ConfigError, "Blank-v0", action_space=spaces.Discrete(13))
    assert message == "Blank-v0: ValueError: thirteen is unlucky"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"action_space": spaces.Box(-1, 1, (2,))}, "is continuous; set bins, for example bins=3"),
        ({"action_space": spaces.MultiDiscrete([2, 3])}, "is not Discrete from 0, MultiDiscrete"),
        ({"action_space": spaces.Discrete(1)}, "Discrete(1) leaves nothing to choose"),
        ({"action_space": spaces.MultiDiscrete(np.array([[2], [2]]))}, "is not Discrete from 0"),
        ({"action_space": spaces.Discrete(3, start=-1)}, "is not Discrete from 0"),
        ({"action_space": spaces.MultiBinary(3)}, "is not Discrete from 0"),
        ({"bins": 3}, "Discrete(2) is not a Box of floats; leave bins out"),
        ({"action_space": LONG_BOX}, "set bins"),
        ({"observation_space": spaces.Discrete(4)}, "observation space Discrete(4) is neither"),
        ({"observation_space": spaces.Box(-1, 1, (2, 2))}, "is neither an image"),
        ({"observation_space": spaces.Box(0, 255, (3, 8, 8), np.uint8)}, "is neither an image"),
        ({"observation_space": spaces.Box(0, 9, (4,), np.int64)}, "nor a vector of floats"),
    ],
)
def test_spaces_that_cannot_be_driven_are_refused_and_the_environment_closed(
    options: dict[str, Any], words: str
) -> None:
    message = complaint(ConfigError, "Blank-v0", **options)
    assert message.startswith("Blank-v0: ")
    assert words in message
    assert Blank.is_closed
