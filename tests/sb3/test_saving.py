"""Models of `RIVC` are saved, loaded, and learn on."""

from __future__ import annotations

import copy
import zipfile
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import RecordEpisodeStatistics, TransformObservation

from rivc.envs.wrappers import BinnedAction
from rivc.errors import ConfigError, DamagedFileError, MissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rivc.train.config import Config

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from rivc.sb3 import RIVC, learning, storage
from rivc.train.config import load_config, overridden
from rivc.train.fused import FusedLearner
from rivc.train.learner import Learner
from rivc.train.learners import make_learner
from rivc.train.policy import load_policy
from rivc.train.run import RunFolder
from rivc.train.setup import make_tasks
from rivc.train.tradeoff import student_config
from rivc.train.trainer import Trainer
from tests.sb3_models import Strange, model, observations, vec_env

SHORT: dict[str, Any] = {
    "train.env_steps": 300,
    "train.warmup_env_steps": 100,
    "net.hidden": [8],
    "env.count": 2,
}


def test_a_model_that_a_callback_saves_has_made_the_steps_of_its_name(tmp_path: Path) -> None:
    one = model().learn(160, CheckpointCallback(save_freq=10, save_path=str(tmp_path)))
    found = {n: RIVC.load(tmp_path / f"rl_model_{n}_steps") for n in range(20, 161, 20)}
    counted = {n: (again.num_timesteps, again.progress.env_steps) for n, again in found.items()}
    assert counted == {n: (n, n) if n > 64 else (0, 0) for n in found}  # 64: the warm-up
    assert one.progress.env_steps == 160
    refilled = found[120]
    refilled.set_env(vec_env())
    refilled.learn(40, CheckpointCallback(20, str(tmp_path / "on")), reset_num_timesteps=False)
    again = RIVC.load(tmp_path / "on" / "rl_model_160_steps").progress
    assert (again.env_steps, again.refill_env_steps) == (160, 40)


def test_a_name_is_that_of_what_was_saved_and_not_of_what_it_was_unpacked_to(
    tmp_path: Path,
) -> None:
    one = model().learn(96)
    one.save(tmp_path / "one")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path / "one")
    one.learn(96, reset_num_timesteps=False).save(tmp_path / "one")
    assert RIVC.load(tmp_path / "one").num_timesteps == 192


def test_a_model_comes_back_whole_without_pickle(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {
            "yaml",
            "json",
            "npz",
            "safetensors",
        }
    again = RIVC.load(tmp_path / "model")
    assert again.program.sha256 == trained.program.sha256
    x = observations()
    assert np.array_equal(
        again.predict(x, deterministic=True)[0], trained.predict(x, deterministic=True)[0]
    )
    assert again.num_timesteps == trained.num_timesteps
    assert again.get_env() is None
    with pytest.raises(UsageError, match="set_env"):
        again.learn(10)


def test_an_unpacked_model_is_a_run(trained: RIVC, tmp_path: Path) -> None:
    policy = load_policy(unpacked(trained, tmp_path))
    assert policy.program.sha256 == trained.program.sha256


def unpacked(one: RIVC, folder: Path) -> RunFolder:
    """The run that a saved model is."""
    one.save(folder / "model.zip")
    with zipfile.ZipFile(folder / "model.zip") as archive:
        archive.extractall(folder / "run")
    return RunFolder.open(folder / "run")


REWARDED: dict[str, Any] = {"sutton_barto_reward": True}  # -1 for the fall, and else nothing
SAME_STEP = {"autoreset_mode": AutoresetMode.SAME_STEP}
MAKERS: dict[str, Callable[[], Any]] = {
    "one": lambda: gym.make("CartPole-v1", render_mode="rgb_array", **REWARDED),
    "copies of SB3": lambda: make_vec_env("CartPole-v1", 2, env_kwargs=REWARDED),
    "copies of Gymnasium": lambda: gym.make_vec(
        "CartPole-v1", 2, "sync", vector_kwargs=SAME_STEP, max_episode_steps=9, **REWARDED
    ),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_saved_model_plays_the_task_it_was_made_for(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    config = unpacked(model(make()), tmp_path).config()
    assert (config.env.id, config.env.kwargs) == ("CartPole-v1", REWARDED)
    [task] = make_tasks(config, 1)
    task.env.reset(seed=0)
    assert task.env.step(0)[1] == 0


def test_options_of_a_configuration_are_kept_by_what_was_built_from_it(tmp_path: Path) -> None:
    named = {"env.id": "gymnasium.envs.classic_control:CartPole-v1", "env.kwargs": REWARDED}
    config = load_config("quickstart", {**named, "env.count": 2})
    own, given = RIVC(config=config), model(vec_env(), config=config)
    assert env_of(own, tmp_path / "own") == tuple(named.values())
    assert env_of(given, tmp_path / "given") == (named["env.id"], {})
    own.set_env(vec_env())
    assert env_of(own, tmp_path / "another") == (named["env.id"], {})


def env_of(one: RIVC, folder: Path) -> tuple[str, dict[str, Any]]:
    """The task of a saved model, by id and options."""
    config: Config = unpacked(one, folder).config()
    return config.env.id, config.env.kwargs


def test_a_loaded_model_learns_on_after_refilling_its_replay(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    again = RIVC.load(tmp_path / "model", env=vec_env(4))
    again.learn(128, reset_num_timesteps=False)
    assert again.num_timesteps == 288
    assert again.learner.updates == int((288 - 2 * 64) * 0.125)
    assert again.program.encoding == trained.program.encoding


def test_another_pace_holds_from_where_a_model_was_saved(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    before = trained.learner.updates
    for pace in (1.0, 0.0625):
        again = RIVC.load(tmp_path / "model", vec_env(4), updates_per_env_step=pace)
        again.learn(128, reset_num_timesteps=False)
        assert again.learner.updates == before + int((128 - 64) * pace)
        again.save(tmp_path / "again")
        assert RIVC.load(tmp_path / "again").learner.updates == again.learner.updates


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hidden": [16]}, r"net\.hidden=\(8,\), not \(16,\)"),
        ({"quant.weight_bits": 2}, r"quant\.weight_bits=4, not 2"),
        ({"quant.enabled": False}, r"quant\.enabled=True, not False"),
    ],
)
def test_a_loaded_model_does_not_become_another_network(
    settings: dict[str, Any], says: str, trained: RIVC, tmp_path: Path
) -> None:
    trained.save(tmp_path / "model")
    with pytest.raises(ConfigError, match=says):
        RIVC.load(tmp_path / "model", **settings)


def test_after_learning_again_adam_steps_as_that_of_torch(tmp_path: Path) -> None:
    """It corrects its moments by the updates there were, so none may be forgotten."""
    one = model(learner="fused").learn(160)
    theirs = Learner(one.config, copy.deepcopy(one.policy))
    theirs.restore(copy.deepcopy(one.learner.state()))
    one.learn(2)  # new counters, and no update yet
    theirs.config = one.config
    for learner in (one.learner, theirs):
        learner.update(one._model.replay, np.random.default_rng(0), env_steps=0)
    for found, expected in zip(one.policy.parameters(), theirs.net.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert one.learner.updates == theirs.updates
    one.save(tmp_path / "model")
    again = RIVC.load(tmp_path / "model")
    assert again.progress.updates_before == int((160 - 64) * 0.125)
    assert again.learner.state()["optimizer"].keys() == theirs.state()["optimizer"].keys()


def test_damaged_models_are_told(trained: RIVC, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no model"):
        RIVC.load(tmp_path / "nothing")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DamagedFileError, match="not a model"):
        RIVC.load(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "sb3.zip", "w") as archive:
        archive.writestr("../policy.pth", b"")
    with pytest.raises(DamagedFileError, match="no model has"):
        RIVC.load(tmp_path / "sb3.zip")
    trained.save(tmp_path / "model.zip")
    data = bytearray((tmp_path / "model.zip").read_bytes())
    at = data.index(b'"updates":') + 11
    data[at : at + 1] = b"9"
    (tmp_path / "model.zip").write_bytes(data)
    with pytest.raises(DamagedFileError):
        RIVC.load(tmp_path / "model.zip")


def test_a_loaded_model_is_shown_what_its_environment_showed(tmp_path: Path) -> None:
    """As by `enjoy` of rl-zoo3: statistics in their own file, no environment in the model."""
    env = VecNormalize(vec_env())
    one = model(env).learn(160)
    raw = observations()
    shown = env.normalize_obs(raw)
    expected, _ = one.predict(shown, deterministic=True)
    one.save(tmp_path / "model")
    alone = RIVC.load(tmp_path / "model")
    assert np.array_equal(alone.predict(shown, deterministic=True)[0], expected)
    alone.save(tmp_path / "again")
    twice = RIVC.load(tmp_path / "again")
    assert np.array_equal(twice.predict(shown, deterministic=True)[0], expected)
    twice.set_env(vec_env())  # which shows raw ones
    assert np.array_equal(
        twice.predict(env.unnormalize_obs(shown), deterministic=True)[0], expected
    )


def test_a_loaded_model_may_take_another_configuration(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    other = {"gamma": 0.9, "gap_coef": 0.5, "margin": 4.0, "n_step": 3, "warmup_env_steps": 64}
    again = RIVC.load(tmp_path / "model", config="quickstart", hidden=[8], **other)
    assert again.config.train.discount == 0.9
    assert again.config.train.batch_size == 64
    again.set_env(vec_env())
    again.learn(96)
    learner, fresh = again.learner, make_learner(again.config, copy.deepcopy(again.policy))
    assert isinstance(learner, FusedLearner)
    assert isinstance(fresh, FusedLearner)
    assert learner._task == fresh._task
    assert len(learner._bench.slots) == len(fresh._bench.slots) == 2 * 64


def test_a_learner_made_anew_keeps_what_it_has_learnt(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    kept = storage.load(tmp_path / "model")
    old, state = kept.learner, copy.deepcopy(kept.learner.state())
    kept.config = overridden(kept.config, {"train.env_steps": 7})
    learning._follow(kept)
    assert kept.learner is old
    kept.config = overridden(kept.config, {"train.batch_size": 64})
    learning._follow(kept)
    assert kept.learner is not old
    for part in ("net", "target_net"):
        assert all(torch.equal(kept.learner.state()[part][k], v) for k, v in state[part].items())
    moments = kept.learner.state()["optimizer"]
    assert all(
        torch.equal(moments[i][k], v) for i, m in state["optimizer"].items() for k, v in m.items()
    )
    assert kept.learner.updates == state["updates"] > 0


BINNED: dict[str, Callable[[], Any]] = {
    "bins": lambda: BinnedAction(gym.make("Pendulum-v1"), 5),
    "bins, watched": lambda: RecordEpisodeStatistics(BinnedAction(gym.make("Pendulum-v1"), 5)),
}


@pytest.mark.parametrize("make", BINNED.values(), ids=BINNED)
def test_wrappers_of_rivc_are_options_of_a_saved_model(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    config = unpacked(model(make()), tmp_path).config()
    assert (config.env.id, config.env.kwargs, config.env.bins) == ("Pendulum-v1", {}, 5)
    [task] = make_tasks(config, 1)
    assert task.action_layout == (1, 5)


def turned_around(env: Any) -> Any:
    return TransformObservation(env, lambda x: -x, env.observation_space)


STRANGE: dict[str, Callable[[], Any]] = {
    "one": lambda: turned_around(gym.make("CartPole-v1")),
    "vector": lambda: gym.make_vec(
        "CartPole-v1", 2, "sync", vector_kwargs=SAME_STEP, wrappers=[turned_around]
    ),
    "processes": lambda: SubprocVecEnv([lambda: turned_around(gym.make("CartPole-v1"))]),
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE)
def test_a_task_behind_a_strangers_wrapper_has_no_name(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    one = model(make())
    assert env_of(one, tmp_path) == ("unregistered", {})
    assert one.learn(80).num_timesteps >= 80
    one.get_env().close()


def test_a_task_is_found_again_by_the_package_that_registers_it(tmp_path: Path) -> None:
    gym.register("Strange-v0", "tests.sb3_models:Strange")
    try:
        assert env_of(model(gym.make("Strange-v0")), tmp_path) == ("tests:Strange-v0", {})
    finally:
        del gym.registry["Strange-v0"]


def test_one_dimension_of_actions_is_one_in_a_loaded_model_too(tmp_path: Path) -> None:
    one = model(Strange())
    one.save(tmp_path / "model")
    again = RIVC.load(tmp_path / "model")
    x = observations(3)
    assert again.predict(x)[0].shape == one.predict(x)[0].shape == (3, 1)
    assert model().predict(x)[0].shape == (3,)


def test_a_model_makes_no_room_for_a_replay_that_it_has_not(
    trained: RIVC, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.save(tmp_path / "model")
    made: list[int] = []
    room = storage.Replay
    monkeypatch.setattr(storage, "Replay", lambda n, *_: made.append(n) or room(n, *_))
    RIVC.load(tmp_path / "model")
    assert made == [1]


@pytest.mark.parametrize("size", [64, 1000])
def test_a_kept_replay_gets_the_size_that_is_wanted(tmp_path: Path, size: int) -> None:
    Trainer(load_config("quickstart", SHORT), tmp_path / "run").run()
    before = storage.load(tmp_path / "run").replay
    again = RIVC.load(tmp_path / "run", vec_env(), buffer_size=size)
    replay = again._model.replay
    assert before is not None
    assert replay is not None
    assert replay.capacity == size
    kept = np.arange(max(before.tail, before.head - size), before.head)
    for name, array in before.rows(kept[0], before.head).items():
        assert np.array_equal(replay.rows(kept[0], before.head)[name], array)
    made = again.num_timesteps
    assert again.learn(64, reset_num_timesteps=False).num_timesteps == made + 64


def test_no_steps_change_nothing(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    again = RIVC.load(tmp_path / "model", vec_env()).learn(0, reset_num_timesteps=False)
    assert again.num_timesteps == 160
    assert again.program.sha256 == trained.program.sha256


def test_a_run_that_imitated_acts_but_does_not_learn_on(tmp_path: Path) -> None:
    config = load_config("quickstart", SHORT)
    folder = tmp_path / "run"
    Trainer(config, folder).run()
    told = overridden(config, {"explore.expert_start": 0.5})
    (folder / "config.yaml").write_text(told.to_yaml())
    again = RIVC.load(folder, vec_env())
    assert again.predict(observations(3))[0].shape == (3,)
    with pytest.raises(ConfigError, match="no expert"):
        again.learn(32)


def test_a_student_counts_as_its_teacher_does(tmp_path: Path) -> None:
    Trainer(load_config("quickstart", SHORT), tmp_path / "teacher").run()
    teacher = RunFolder.open(tmp_path / "teacher")
    one = RIVC("MlpPolicy", vec_env(), student_config(teacher, {"weight_rate": 1.0}, 128))
    assert one.learn(128).program.encoding == load_policy(teacher).program.encoding


def test_a_loaded_model_does_not_become_a_student(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    again = RIVC.load(tmp_path / "model", vec_env(), **{"distill.parent": "teacher"})
    with pytest.raises(ConfigError, match=r"distill\.parent"):
        again.learn(96)


def test_a_short_lesson_ends_while_the_replay_fills_again(trained: RIVC, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    again = RIVC.load(tmp_path / "model", env=vec_env(4))
    before = again.num_timesteps
    again.learn(40, reset_num_timesteps=False)
    assert again.num_timesteps == before + 40
    again.learn(40, reset_num_timesteps=False)
    assert again.progress.refill_env_steps == 60  # and four slots that the second lesson opened
