"""Reinforcement learning whose every sample is gathered by the converted, spiking policy."""

from typing import TYPE_CHECKING, Any

from rivc.train.config import Config, config_names, load_config

if TYPE_CHECKING:
    from rivc.train.trainer import Trainer

__all__ = ["Config", "Trainer", "config_names", "load_config"]


def __getattr__(name: str) -> Any:
    if name == "Trainer":
        from rivc.train.trainer import Trainer

        return Trainer
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
