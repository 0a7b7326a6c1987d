"""RIVC where an algorithm of Stable-Baselines3 is expected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rivc.errors import ConfigError, UsageError
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecCheckNan, VecNormalize, VecTransposeImage
from threadpoolctl import threadpool_info, threadpool_limits

from rivc.sb3 import RIVC
from rivc.train.fused import FusedLearner
from rivc.train.learner import Learner
from tests.sb3_models import model, observations, vec_env


class Watched(BaseCallback):
    """Counts calls, and stops after some."""

    def __init__(self, most: int = 10**9) -> None:
        super().__init__()
        self.most, self.seen = most, []

    def _on_step(self) -> bool:
        assert len(self.locals["dones"]) == len(self.locals["infos"]) == self.model.n_envs
        self.seen.append(self.num_timesteps)
        return self.num_timesteps < self.most


def test_it_is_an_algorithm_of_sb3(trained: RIVC) -> None:
    assert isinstance(trained, BaseAlgorithm)
    assert trained.num_timesteps == 160
    assert trained.learner.updates == int((160 - 64) * 0.125)


def test_it_learns_in_one_thread() -> None:
    seen = []

    def watch(*_: Any) -> bool:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return True

    with threadpool_limits(2, user_api="blas"):
        model().learn(120, callback=watch)
    assert set(seen) == {1}


def test_predict_answers_with_the_program_and_not_the_network(trained: RIVC) -> None:
    """Network and chip agree after training, so the network is changed to tell them apart."""
    x = observations()
    expected = greedy(reference.run(trained.program, trained.program.encode(x)))[:, 0]
    before = {k: v.clone() for k, v in trained.policy.state_dict().items()}
    for tensor in trained.policy.parameters():
        tensor.data.neg_()
    actions, state = trained.predict(x, deterministic=True)
    trained.policy.load_state_dict(before)
    assert np.array_equal(actions, expected)
    assert state is None
    one, _ = trained.predict(x[0], deterministic=True)
    assert one == expected[0]
    assert np.shape(one) == ()


@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (8,), (2, 3, 4), (0,)])
def test_observations_of_another_shape_are_told(trained: RIVC, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"the policy takes \(4,\) or a batch of them") as error:
        trained.predict(np.zeros(shape, np.float32), deterministic=True)
    assert str(shape) in str(error.value)
    assert "\n" not in str(error.value)


def test_one_observation_and_a_batch_of_none_are_answered(trained: RIVC) -> None:
    assert trained.predict(np.zeros(4, np.float32))[0].shape == ()
    assert trained.predict(np.zeros((1, 4), np.float32))[0].shape == (1,)
    assert trained.predict(np.zeros((0, 4), np.float32))[0].shape == (0,)


def test_exploration_is_drawn_for_each_environment(trained: RIVC) -> None:
    x = np.repeat(observations(1), 400, axis=0)
    assert len(set(trained.predict(x)[0])) == 2
    assert len(set(trained.predict(x, deterministic=True)[0])) == 1


def test_imitation_is_refused() -> None:
    with pytest.raises(ConfigError, match="no expert"):
        model(expert_start=0.5)


def test_equal_seeds_give_equal_programs(trained: RIVC) -> None:
    assert model().learn(160).program.sha256 == trained.program.sha256
    assert model(seed=1).learn(160).program.sha256 != trained.program.sha256


def test_callbacks_see_every_step_and_can_stop() -> None:
    watched = Watched(most=100)
    stopped = model().learn(1000, callback=watched)
    assert watched.seen == list(range(2, 101, 2))  # the warm-up as well
    assert stopped.num_timesteps == 100


def test_an_evaluation_saves_the_best_and_may_stop(tmp_path: Path) -> None:
    stop = StopTrainingOnRewardThreshold(reward_threshold=1.0)
    look = EvalCallback(
        vec_env(1),
        callback_on_new_best=stop,
        eval_freq=40,
        n_eval_episodes=1,
        best_model_save_path=str(tmp_path),
        verbose=0,
    )
    keep = CheckpointCallback(save_freq=40, save_path=str(tmp_path / "all"))
    one = model().learn(1000, callback=CallbackList([look, keep]))
    assert one.num_timesteps == 80
    best = RIVC.load(tmp_path / "best_model")
    assert np.isfinite(look.best_mean_reward)
    assert best.program.encoding == one.program.encoding
    assert (tmp_path / "all" / "rl_model_80_steps.zip").exists()


def test_evaluate_policy_plays_the_chip(trained: RIVC) -> None:
    mean, _ = evaluate_policy(trained, vec_env(1), n_eval_episodes=2)
    assert mean >= 8


def test_learning_again_begins_the_counters_and_keeps_the_network() -> None:
    one = model().learn(96)
    encoding = one.program.encoding
    one.learn(96)
    assert one.num_timesteps == 96
    assert one.program.encoding == encoding
    assert one.learner.updates == 2 * int((96 - 64) * 0.125)  # the optimizer stays as well


def test_parameters_go_out_and_in(trained: RIVC) -> None:
    other = model(seed=3).learn(96)
    other.set_parameters(trained.get_parameters())
    assert all(
        np.array_equal(a.weight, b.weight)
        for a, b in zip(other.program.layers, trained.program.layers, strict=True)
    )


@pytest.mark.parametrize("kind", ["torch", "fused"])
def test_parameters_that_come_in_are_those_of_the_target_as_well(trained: RIVC, kind: str) -> None:
    other = model(seed=3, learner=kind)
    other.set_parameters(trained.get_parameters())
    assert isinstance(other.learner, Learner | FusedLearner)
    target = other.learner.target_net
    assert all(torch.equal(target.state_dict()[k], v) for k, v in other.policy.state_dict().items())
    x = torch.zeros((1, 4), dtype=torch.uint8)
    assert torch.equal(target(x), trained.policy(x))


def test_parameters_of_a_model_that_has_not_learnt_outlast_its_warm_up(trained: RIVC) -> None:
    other = model(seed=3, updates_per_env_step=1e-9)
    other.set_parameters(trained.get_parameters())
    assert other.program.sha256 == trained.program.sha256
    assert other.learn(96).program.sha256 == trained.program.sha256


def test_ranges_that_come_in_end_a_replay_that_was_counted_by_others(trained: RIVC) -> None:
    other = model(seed=3).learn(96)
    other.set_parameters(other.get_parameters())
    assert other._model.replay is not None
    other.set_parameters(trained.get_parameters())
    assert other._model.replay is None
    assert other.program.encoding == trained.program.encoding
    assert other.learn(32, reset_num_timesteps=False).progress.refill_env_steps == 32


@pytest.mark.parametrize("encoding", [None, {"low": torch.zeros(3), "step": torch.ones(3)}])
def test_parameters_without_their_ranges_are_refused(trained: RIVC, encoding: Any) -> None:
    given = trained.get_parameters() | {"encoding": encoding}
    with pytest.raises(UsageError, match="parameters need 'encoding'"):
        model().set_parameters({name: part for name, part in given.items() if part})


def test_statistics_of_vec_normalize_become_part_of_the_program() -> None:
    env = VecNormalize(vec_env(), gamma=0.99)
    one = model(env).learn(160)
    raw = env.get_original_obs()
    shown = env.normalize_obs(raw)
    counts = one.program.encode(raw)
    assert np.array_equal(one.program.encode(env.unnormalize_obs(shown)), counts)
    assert counts.max() > counts.min()
    expected = greedy(reference.run(one.program, counts))[:, 0]
    assert np.array_equal(one.predict(shown, deterministic=True)[0], expected)
    assert one.program.encoding != model().learn(160).program.encoding


def test_pictures_may_come_with_their_channels_first() -> None:
    config = {"conv": [[4, 3, 3]], "hidden": [8], "warmup_env_steps": 64}
    task = make_vec_env("rivc/PanServo-v0", 2, seed=0)
    one = RIVC("MlpPolicy", VecTransposeImage(task), **config).learn(80)
    pictures = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    expected, _ = one.predict(pictures, deterministic=True)
    turned = pictures.transpose(0, 3, 1, 2)
    assert np.array_equal(one.predict(turned, deterministic=True)[0], expected)
    assert one.predict(turned[0], deterministic=True)[0] == expected[0]
    look = EvalCallback(VecTransposeImage(task), eval_freq=20, n_eval_episodes=1, verbose=0)
    assert np.isfinite(one.learn(80, look) and look.best_mean_reward)


def test_turned_pictures_teach_the_same() -> None:
    config = {"conv": [[4, 3, 3]], "hidden": [8], "warmup_env_steps": 64, "seed": 0}

    def learnt(wrap: Any) -> str:
        task = wrap(make_vec_env("rivc/PanServo-v0", 2, seed=0))
        return RIVC("MlpPolicy", task, **config).learn(240).program.sha256

    upright = learnt(lambda task: task)
    assert learnt(VecTransposeImage) == upright
    plain = learnt(lambda task: VecNormalize(task, norm_obs=False))
    assert plain == upright == learnt(lambda t: VecTransposeImage(VecNormalize(t, norm_obs=False)))


def test_the_logger_is_told_under_the_names_of_sb3(tmp_path: Path) -> None:
    one = model()
    one.set_logger(configure(str(tmp_path), ["json"]))
    one.learn(160, log_interval=1)
    one.logger.close()
    lines = (tmp_path / "progress.json").read_text().splitlines()
    last = json.loads(lines[-1])
    names = {"rollout/ep_rew_mean", "rollout/ep_len_mean", "rollout/exploration_rate"}
    assert names | {"time/fps", "train/n_updates", "train/conversions"} <= set(last)
    assert 0 < len(lines) <= last["time/episodes"]


def test_a_configuration_brings_its_environment() -> None:
    one = RIVC(config="pan_servo", **{"env.count": 2, "conv": [[4, 3, 3]], "hidden": [8]})
    assert one.n_envs == 2
    picture = one.get_env().reset()
    assert one.predict(picture, deterministic=True)[0].shape == (2,)


def test_what_it_cannot_take_is_told() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gap_coef'"):
        model(gap_cof=1)
    with pytest.raises(ConfigError, match="env_steps_per_conversion"):
        model(train_freq=4)
    with pytest.raises(ConfigError, match="known: MlpPolicy, CnnPolicy"):
        RIVC("MultiInputPolicy", "CartPole-v1")
    with pytest.raises(ConfigError, match="net_arch"):
        model(policy_kwargs={"activation_fn": None})
    with pytest.raises(ConfigError, match="put VecNormalize outside"):
        RIVC("MlpPolicy", Outer(VecNormalize(vec_env())))
    with pytest.raises(ConfigError, match="norm_obs=False"):
        RIVC("MlpPolicy", VecNormalize(make_vec_env("rivc/PanServo-v0", 1)))
    with pytest.raises(ConfigError, match="continuous"):
        RIVC("MlpPolicy", gym.make("Pendulum-v1"))


class Outer(VecCheckNan):
    """Any wrapper around another."""

    def __init__(self, venv: Any) -> None:
        self.venv = venv
        self.num_envs = venv.num_envs


def test_more_copies_than_a_replay_can_hold_are_refused_later_too() -> None:
    small = model(buffer_size=64).learn(128)
    small.set_env(vec_env(40))
    with pytest.raises(ConfigError, match="it must hold 4 observations of each of the 40 copies"):
        small.learn(80, reset_num_timesteps=False)
