"""What SB3's logger is told of a run, under the names that its users know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from stable_baselines3.common.utils import safe_mean

from rivc.train.learner import learning_rate_at

if TYPE_CHECKING:
    from rivc.train.session import Progress

LOSSES: Final = {"td_loss": "train/loss", "margin_loss": "train/margin_loss"}


def records(model: Any, progress: Progress) -> dict[str, float]:
    """Return everything that is known now of a `RIVC` and its progress, by name."""
    losses = {LOSSES[key]: value for key, value in progress.losses.items() if key in LOSSES}
    return _counters(model, progress) | _episodes(model) | losses


def _counters(model: Any, progress: Progress) -> dict[str, float]:
    seconds = max((time.time_ns() - model.start_time) / 1e9, 1e-9)
    return {
        "time/episodes": model._episode_num,
        "time/fps": int((model.num_timesteps - model._num_timesteps_at_start) / seconds),
        "time/total_timesteps": model.num_timesteps,
        "rollout/exploration_rate": model.exploration_rate,
        "train/n_updates": model._n_updates,
        "train/learning_rate": learning_rate_at(model.config.train, model.num_timesteps),
        "train/conversions": progress.conversions,
        "train/audited_states": progress.audited_states,
    }


def _episodes(model: Any) -> dict[str, float]:
    means = {
        "rollout/ep_rew_mean": [episode["r"] for episode in model.ep_info_buffer],
        "rollout/ep_len_mean": [episode["l"] for episode in model.ep_info_buffer],
        "rollout/success_rate": model.ep_success_buffer,
    }
    return {name: float(safe_mean(values)) for name, values in means.items() if values}
