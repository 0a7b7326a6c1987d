"""`RIVC` in rl-zoo3 (extra ``zoo``): its command line with one more algorithm.

::

    python -m rivc.zoo train --env CartPole-v1
    python -m rivc.zoo enjoy --env CartPole-v1 --folder logs

``python -m rivc.zoo VERB`` is ``python -m rl_zoo3.VERB`` with ``--algo rivc`` and, to train, the
hyperparameters of this module: the defaults of rivc, whatever the task. Options given win.

Reference:
    Raffin (2020), RL Baselines3 Zoo.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from runpy import run_module
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import MissingError, RivcError, UsageError
from rivc.train.config import Config
from rivc.tune.space import DEFAULT, chosen, load_space

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGO: Final = "rivc"
VERBS: Final = {
    "train": ("--algo", ALGO, "--conf-file", "rivc.zoo"),
    "enjoy": ("--algo", ALGO),
    "record_video": ("--algo", ALGO),
}
"""Modules of rl-zoo3, and options before the user's own, which therefore win."""

hyperparams: Final[dict[str, dict[str, Any]]] = {
    "default": {
        "policy": "MlpPolicy",
        "n_envs": Config().env.count,
        "n_timesteps": Config().train.env_steps,
    }
}
"""What ``--conf-file rivc.zoo`` gives rl-zoo3."""


def register() -> None:
    """Add ``rivc`` to the algorithms of rl-zoo3, and to those whose settings it can search.

    Raises:
        MissingError: if rl-zoo3 is not installed.
    """
    if find_spec("rl_zoo3") is None:
        raise MissingError("rivc.zoo needs rl-zoo3: pip install 'rivc[zoo]'")
    import rl_zoo3
    from rl_zoo3 import hyperparams_opt

    from rivc.sb3.zoo import ZooRIVC

    rl_zoo3.ALGOS[ALGO] = ZooRIVC
    hyperparams_opt.HYPERPARAMS_SAMPLER[ALGO] = sampled
    hyperparams_opt.HYPERPARAMS_CONVERTER[ALGO] = converted


def sampled(trial: Any, *_: Any) -> dict[str, Any]:
    """Return the settings that a trial of Optuna chooses in the space of `rivc tune`."""
    return load_space(DEFAULT, Config()).draw(trial)


def converted(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a finished trial stands for.

    Args:
        params: as Optuna keeps them, choices as text.

    Example:
        >>> converted({"train.gap_coef": 0.5, "net.hidden": "[64, 64]"})
        {'train.gap_coef': 0.5, 'net.hidden': [64, 64]}
    """
    return chosen(params)


def main() -> None:
    """Run a module of rl-zoo3, by its name there, with rivc among the algorithms."""
    try:
        register()
        verb = sys.argv.pop(1) if len(sys.argv) > 1 else ""
        if verb not in VERBS:
            raise UsageError(f"rivc.zoo has no {verb!r}; known: {', '.join(VERBS)}")
        sys.argv[1:1] = VERBS[verb]
        run_module(f"rl_zoo3.{verb}", run_name="__main__")
    except RivcError as error:
        sys.stderr.write(f"rivc: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
