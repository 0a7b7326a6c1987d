"""How long from the start of a process until CartPole is solved: rivc's quickstart and SB3's DQN.

``python -m tests.learning.time_to_solved [TABLE]`` runs each seed of each side in a process of its
own, in turn, and prints the medians. A row a run is kept in TABLE, ``runs/solved.jsonl`` unless
named, so that what was interrupted goes on, and what is there is only printed.

The rule is the same for both: every 1,000 env steps, 20 greedy episodes on fixed seeds, eight side
by side; solved is the first mean of at least 475. SB3 is judged by its own `evaluate_policy`, rivc
through its chip at 4 bits. SB3 has the settings of its zoo for CartPole-v1:
https://github.com/DLR-RM/rl-baselines3-zoo/blob/ce95481b041fe5314c1b2f1a53940d169b9253fc/hyperparams/dqn.yml

Everything counts: imports, evaluations and, with rivc, audits and the files of a run. What numba
compiles does not: a run that is not counted comes first, and leaves it in the cache on the disk.
A run that never solves counts as one that takes for ever.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Row = dict[str, Any]

TABLE: Final = "runs/solved.jsonl"
SEEDS: Final = 10
EVERY, EPISODES, COPIES, BAR = 1_000, 20, 8, 475.0
RESAMPLES: Final = 10_000
ZOO: Final[dict[str, Any]] = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "gamma": 0.99,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
    "policy_kwargs": {"net_arch": [256, 256]},
}
ZOO_ENV_STEPS: Final = 50_000


def rivc(seed: int) -> Row:
    """Train the quickstart until it is solved."""
    from rivc.train import Trainer, load_config

    found: Row = {"solved": False}

    def look(record: Row) -> None:
        found["env_steps"] = record["env_steps"]
        if record.get("eval_return", 0.0) >= BAR:
            found["solved"] = trainer.stop_requested = True

    cadence = {"eval.every_env_steps": EVERY, "log.every_env_steps": EVERY}
    config = load_config("quickstart", {"seed": seed, "eval.episodes": EPISODES, **cadence})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder) / "run", [look])
        trainer.run()
    return found


def sb3(seed: int) -> Row:
    """Train SB3's DQN, as its zoo does, until it is solved."""
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)  # the faster for it, too
    copies = make_vec_env("CartPole-v1", COPIES)
    found: Row = {"solved": False}

    def look(local: Row, _: Row) -> bool:
        """Tell, after every env step, whether to go on."""
        model = local["self"]
        if model.num_timesteps % EVERY == 0:
            copies.seed(100_000 + seed)
            mean, _ = evaluate_policy(model, copies, EPISODES)
            found.update(env_steps=model.num_timesteps, solved=bool(mean >= BAR))
        return not found["solved"]

    model = DQN("MlpPolicy", make_vec_env("CartPole-v1"), seed=seed, device="cpu", **ZOO)
    model.learn(ZOO_ENV_STEPS, callback=look)
    return found


SIDES: Final[dict[str, Callable[[int], Row]]] = {"rivc": rivc, "sb3": sb3}


def measure(side: str, seed: int) -> Row:
    """Run a seed in a new process, one thread; return what it found and what it took."""
    command = [sys.executable, "-m", "tests.learning.time_to_solved", side, str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        said = process.stdout.read() if process.stdout else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    wall, cpu = time.perf_counter() - before, used.ru_utime + used.ru_stime
    return {"side": side, "seed": seed, **json.loads(said), "cpu_seconds": cpu, "seconds": wall}


def measured(kept: Path) -> list[Row]:
    """Return a row for each side and seed, and measure those that are not there, in turn."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(x) for x in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["side"], row["seed"]) for row in rows}
    missing = [at for at in ((s, k) for k in range(SEEDS) for s in SIDES) if at not in done]
    if missing:
        measure("rivc", SEEDS)  # not counted: see above
    for side, seed in missing:
        rows.append(measure(side, seed))
        with kept.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    return rows


def table(rows: Iterable[Row]) -> str:
    """Return medians with ranges, and the ratio of medians with its bootstrapped 95 % interval."""
    rows = list(rows)
    lines = ["| | rivc, 4 bits, on the chip | SB3 DQN, zoo | SB3 / rivc |", "|---|---|---|---|"]
    for name, unit in (("cpu_seconds", "CPU s"), ("seconds", "wall s"), ("env_steps", "env steps")):
        ours, theirs = (_values(rows, side, name) for side in SIDES)
        cells = " | ".join(
            f"{np.median(x):,.1f} ({min(x):,.1f} to {max(x):,.1f})" for x in (ours, theirs)
        )
        low, high = _interval(ours, theirs)
        ratio = np.median(theirs) / np.median(ours)
        lines.append(f"| {unit} | {cells} | {ratio:.2f} ({low:.2f} to {high:.2f}) |")
    solved = [[r["solved"] for r in rows if r["side"] == side] for side in SIDES]
    counts = " | ".join(f"{sum(marks)} of {len(marks)}" for marks in solved)
    return "\n".join([*lines, f"| solved | {counts} | |"])


def _values(rows: list[Row], side: str, name: str) -> NDArray[np.float64]:
    return np.array(
        [row[name] if row["solved"] else np.inf for row in rows if row["side"] == side], np.float64
    )


def _interval(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    medians = [np.median(rng.choice(x, (RESAMPLES, len(x))), axis=1) for x in (theirs, ours)]
    return np.asarray(np.percentile(medians[0] / medians[1], (2.5, 97.5)))


def main() -> None:
    """Be one of the processes, or print the table."""
    match sys.argv[1:]:
        case [side, seed]:
            sys.stdout.write(json.dumps(SIDES[side](int(seed))))
        case kept:
            sys.stdout.write(table(measured(Path(*kept or [TABLE]))) + "\n")


if __name__ == "__main__":
    main()
