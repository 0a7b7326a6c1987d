"""The peer: Stable-Baselines3's DQN in floating point, and the same quantized after training.

It gets the network, the batch, the updates and the env steps of the configuration, and its
cadences; the best of its evaluations is judged, as with rivc. What differs is DQN itself: targets
in unscaled reward, Huber loss of width 1, no double Q, no gap, no margin, one draw of epsilon for
all copies, vectors in real numbers instead of counts. It cannot be resumed: killed while training,
it starts anew. What training leaves is kept under the hash of the training, and judged from there.

Reference:
    Raffin et al. (2021), Stable-Baselines3: reliable reinforcement learning implementations, JMLR.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from gymnasium.wrappers import TimeLimit

from rivc.compare.judge import SIDE_BY_SIDE, episode_seeds, judge, scored, timed
from rivc.compare.sb3_keep import keep, recall
from rivc.compare.sb3_nets import Convolutions, Peer, acting, quantized
from rivc.errors import ConfigError, MissingError
from rivc.train.appraise import FPNN
from rivc.train.evaluate import evaluation_seeds, play
from rivc.train.session import CALIBRATION_STATES
from rivc.train.setup import make_tasks, make_training_tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import gymnasium as gym
    from numpy.typing import NDArray
    from torch import Tensor

    from rivc.compare.job import Job
    from rivc.envs.factory import Task
    from rivc.train.config import Config

REMEDY: Final = "pip install 'rivc[sb3]'"


def trained_and_judged(job: Job, run: Path) -> dict[str, Any]:
    """Train a job's network with SB3, quantize it to each width, and judge all of them.

    Args:
        job: of a peer.
        run: the folder to write; what another evaluation or other widths left there is not trained
            again.

    Raises:
        MissingError: if SB3 is not installed.
        ConfigError: if it cannot train what the configuration asks for.
    """
    with ExitStack() as stack:
        tasks = make_tasks(job.config, min(SIDE_BY_SIDE, job.evaluation.episodes))
        for task in tasks:
            stack.callback(task.env.close)
        peer = _trained(job, tasks[0], run / job.training_hash)
        return {
            "env_steps": peer.env_steps,
            "updates": peer.updates,
            "cpu_seconds": round(peer.cpu_seconds, 2),
            "curve": peer.curve,
            **timed(lambda: _judged(peer, job, tasks, run)),
        }


def _trained(job: Job, task: Task, folder: Path) -> Peer:
    """What training left before, or else leaves now."""
    peer = recall(folder, lambda: _untrained(job.config, [task], buffer_size=1).q_net)
    if peer is None:
        peer = train(job.config, task)
        keep(peer, folder)
    return peer


def _judged(peer: Peer, job: Job, tasks: list[Task], run: Path) -> list[dict[str, Any]]:
    """SB3's own network first, in floating point, then the chips at every width."""
    own = play(tasks, acting(peer.q_net), episode_seeds(job.evaluation))
    results = [scored(FPNN, job.bit_width, own)]
    for width in job.widths:
        policy = quantized(peer, job.config, tasks[0], width)
        policy.program.save(run / f"program-{width.activations}bit.npz")
        _, *chips = judge(policy, job.config, job.evaluation, width.activations)
        results += chips
    return results


def train(config: Config, task: Task) -> Peer:
    """Train SB3's DQN by a configuration; the same configuration gives the same weights.

    Args:
        config: of the run.
        task: a copy of what it names; only looked at.

    Raises:
        MissingError: if SB3 is not installed.
        ConfigError: if it cannot train what the configuration asks for.
    """
    before = time.process_time()
    if task.action_layout[0] != 1:
        d, n = task.action_layout
        raise ConfigError(
            f"DQN of the peer sb3 has one choice a step; {task.env_id} has {d} of {n}"
        )
    with ExitStack() as stack:
        look = _Look(config, make_tasks(config, min(config.env.count, config.eval.episodes)))
        for played in look.tasks:
            stack.callback(played.env.close)
        copies = make_training_tasks(config)
        for copy in copies:
            stack.callback(copy.env.close)
        model = _untrained(config, copies)
        model.learn(config.train.env_steps, callback=look.if_due)
        look.now(model)
    spent = time.process_time() - before
    model.q_net.load_state_dict(look.best)
    seen = _seen(model.replay_buffer)
    drawn = np.random.default_rng(config.seed).integers(len(seen), size=CALIBRATION_STATES)
    return Peer(
        model.q_net.requires_grad_(requires_grad=False),
        seen[drawn],
        np.stack([seen.min(0), seen.max(0)]),
        model.num_timesteps,
        model._n_updates,
        spent,
        look.curve,
    )


def _untrained(config: Config, tasks: list[Task], **others: Any) -> Any:
    """SB3's DQN before its first step in copies of a task, some of its arguments being others."""
    if find_spec("stable_baselines3") is None:
        raise MissingError(f"the peer sb3 needs stable-baselines3: {REMEDY}")
    from stable_baselines3 import DQN
    from stable_baselines3.common.vec_env import DummyVecEnv

    envs = DummyVecEnv([_limited(task) for task in tasks])
    return DQN("MlpPolicy", envs, **{**arguments(config), **others})


def arguments(config: Config) -> dict[str, Any]:
    """Return the arguments of SB3's DQN that a configuration amounts to.

    Raises:
        ConfigError: if an iteration would hold a part of a vector step or of an update.

    Example:
        >>> from rivc.train import load_config
        >>> found = arguments(load_config("quickstart"))
        >>> found["train_freq"], found["gradient_steps"]  # 8 copies: 32 env steps, 16 updates
        (4, 16)
    """
    loop, explore = config.train, config.explore
    rounds = loop.env_steps_per_conversion / config.env.count
    updates = loop.env_steps_per_conversion * loop.updates_per_env_step
    if rounds % 1 or updates % 1 or not updates:
        raise ConfigError(
            f"the peer sb3 needs whole rounds of env.count and whole updates in "
            f"train.env_steps_per_conversion, not {rounds:g} and {updates:g}"
        )

    def learning_rate(left: float) -> float:
        end = loop.learning_rate_end
        return loop.learning_rate * (end + left * (1.0 - end))

    policy: dict[str, Any] = {"net_arch": list(config.net.hidden)}
    if config.net.conv:
        policy["features_extractor_class"] = Convolutions
        policy["features_extractor_kwargs"] = {"conv": config.net.conv}
    return {
        "learning_rate": learning_rate,
        "buffer_size": min(loop.replay_capacity, loop.env_steps + config.env.count),
        "learning_starts": loop.warmup_env_steps,
        "batch_size": loop.batch_size,
        "tau": loop.target_blend,
        "gamma": loop.discount,
        "train_freq": int(rounds),
        "gradient_steps": int(updates),
        "n_steps": loop.n_step,
        "target_update_interval": loop.env_steps_per_target_sync,
        "exploration_fraction": explore.epsilon_env_steps / loop.env_steps,
        "exploration_initial_eps": explore.epsilon_start,
        "exploration_final_eps": explore.epsilon_end,
        "max_grad_norm": loop.max_grad_norm,
        "policy_kwargs": policy,
        "seed": config.seed,
        "device": "cpu",
    }


@dataclass
class _Look:
    """The evaluations while SB3 trains: those that rivc would make."""

    config: Config
    tasks: list[Task]
    best_return: float = -np.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    curve: list[list[float]] = field(default_factory=list)
    done: int = 0

    def if_due(self, local: dict[str, Any], _: object) -> bool:
        """SB3's callback after every vector step; never stops it."""
        if local["self"].num_timesteps // self.config.eval.every_env_steps > self.done:
            self.now(local["self"])
        return True

    def now(self, model: Any) -> None:
        """Evaluate, and keep the weights if none were better."""
        seeds = evaluation_seeds(self.config.seed, self.config.eval.episodes)
        value = play(self.tasks, acting(model.q_net), seeds).return_mean
        if value >= self.best_return:
            self.best_return = value
            self.best = {k: v.clone() for k, v in model.q_net.state_dict().items()}
        passed = model.num_timesteps // self.config.eval.every_env_steps
        if passed > self.done:
            self.curve.append([model.num_timesteps, value])
            self.done = passed


def _limited(task: Task) -> Callable[[], gym.Env[Any, Any]]:
    """Return what makes the environment of a task, with its time limit."""
    limit = task.max_episode_steps
    return lambda: task.env if limit is None else TimeLimit(task.env, limit)


def _seen(buffer: Any) -> NDArray[Any]:
    """Return the observations of SB3's replay, [N, *shape], as rivc has them."""
    held = buffer.observations[: buffer.size()]
    flat = held.reshape(-1, *held.shape[2:])
    return np.asarray(flat.transpose(0, 2, 3, 1) if flat.ndim == 4 else flat)
