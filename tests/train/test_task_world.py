"""A task as the world of a mock robot."""

from __future__ import annotations

import numpy as np
import pytest

from rivc.envs.drone_hover import COMMANDS
from rivc.envs.factory import make
from rivc.envs.pan_servo import PAN_SPEEDS_RAD_S
from rivc.envs.rover import WHEEL_SPEEDS_RAD_S
from rivc.robot import ActionTable
from rivc.train.appraise import appraisal_seeds
from rivc.train.evaluate import evaluation_seeds
from rivc.train.task_world import TaskWorld, action_vectors


def test_the_tracker_is_driven_by_wheel_speeds() -> None:
    task = make("rivc/VisualTracker-v0", obs_mode="state")
    table = ActionTable(action_vectors(task))
    assert [tuple(table.command([a])) for a in range(7)] == list(WHEEL_SPEEDS_RAD_S.values())


@pytest.mark.parametrize(
    ("env_id", "bins", "layout", "last"),
    [
        ("rivc/PanServo-v0", None, (1, 3), [PAN_SPEEDS_RAD_S["right"]]),
        ("rivc/DroneHover-v0", None, (4, 3), [high for _, _, high in COMMANDS.values()]),
        ("CartPole-v1", None, (1, 2), [1.0]),
        ("Pendulum-v1", 5, (1, 5), [2.0]),
        ("Reacher-v5", 3, (2, 3), [1.0, 1.0]),
    ],
)
def test_any_task_has_commands(
    env_id: str, bins: int | None, layout: tuple[int, int], last: list[float]
) -> None:
    task = make(env_id, bins=bins)
    table = ActionTable(action_vectors(task))
    task.env.close()
    assert table.layout == layout
    assert table.command([layout[1] - 1] * layout[0]).tolist() == last


def test_commands_play_the_episodes_that_actions_play() -> None:
    world, direct = TaskWorld(make("CartPole-v1"), seed=3), make("CartPole-v1")
    twin = TaskWorld(direct, seed=3)
    rng = np.random.default_rng(0)
    for action in rng.integers(0, 2, 100):
        world.act(np.array([action + rng.uniform(-0.4, 0.4)]))
        twin.act(np.array([float(action)]))
        assert np.array_equal(world.observe(), twin.observe())
    assert world.episodes == twin.episodes
    assert len(world.episodes) > 1
    lengths = sum(episode.length for episode in world.episodes) + world.present.length
    assert lengths == 100
    world.close()
    twin.close()


def test_the_motors_get_a_command_that_no_action_asks_for() -> None:
    world = TaskWorld(make("rivc/MazeDrive-v0", obs_mode="state"))
    robot, rest = world._copy.task.env.unwrapped, np.zeros(2)
    world.act(np.array([8.0, 8.0]))
    assert robot.data.ctrl.tolist() == [8.0, 8.0]
    assert not (world.vectors == 0).all(-1).any()  # no action is rest
    world.act(rest)
    assert robot.data.ctrl.tolist() == [0.0, 0.0]
    assert world.stand_in(rest) is None
    world.close()


def test_a_stop_overtakes_the_actions_that_are_under_way() -> None:
    extents = {"action_delay_steps": (2, 2)}
    task = make("rivc/MazeDrive-v0", obs_mode="state", disturbances=extents)
    world, ctrl = TaskWorld(task), []
    for command in (*[[8.0, 8.0]] * 4, [0.0, 0.0], *[[-4.0, 4.0]] * 3):
        world.act(np.array(command))
        ctrl.append(task.env.unwrapped.data.ctrl.tolist())  # type: ignore[attr-defined]
    assert ctrl[3:] == [[8.0, 8.0], *[[0.0, 0.0]] * 3, [-4.0, 4.0]]
    world.close()


@pytest.mark.parametrize(
    ("env_id", "bins", "rest", "action"),
    [
        ("CartPole-v1", None, [0.0], [0]),
        ("Pendulum-v1", 2, [0.0], [0]),
        ("Pendulum-v1", 3, [0.0], None),
        ("rivc/PanServo-v0", None, [0.1], None),
    ],
)
def test_it_is_told_where_an_action_stands_in_for_rest(
    env_id: str, bins: int | None, rest: list[float], action: list[int] | None
) -> None:
    options = {"obs_mode": "state"} if env_id.startswith("rivc") else {}
    world = TaskWorld(make(env_id, bins=bins, **options))
    assert world.stand_in(np.array(rest)) == action
    world.close()


def test_the_episodes_are_none_that_chose_the_program() -> None:
    world = TaskWorld(make("CartPole-v1"), seed=3)
    assert world._copy.seed == appraisal_seeds(3, 1)[0]
    assert world._copy.seed != evaluation_seeds(3, 1)[0]
    world.close()


def test_an_observation_is_not_written_to_again() -> None:
    world = TaskWorld(make("CartPole-v1"))
    seen = world.observe()
    before = seen.copy()
    for _ in range(5):
        world.act(np.array([1.0]))
    assert np.array_equal(seen, before)
    world.close()
