"""What a row of the table says of a policy: its forms, judged on the same episodes and states."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import ConfigError, MissingError
from rivc.neurochip import load_backend
from rivc.train.appraise import FPNN, appraisal_seeds, appraise
from rivc.train.margins import chip_readout, fpnn_steps, margins
from rivc.train.setup import make_tasks
from rivc.train.visit import visited_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rivc.compare.job import Evaluation
    from rivc.neurochip import Backend
    from rivc.train.appraise import Appraisal
    from rivc.train.config import Config
    from rivc.train.evaluate import Score
    from rivc.train.policy import Policy

SIDE_BY_SIDE: Final = 50  # episodes: chips that count ticks take little longer than for eight
SEED: Final = 0  # of episodes and states: the same for every job, so that policies meet the same


def episode_seeds(evaluation: Evaluation) -> list[int]:
    """Return the seeds of the episodes that every policy plays."""
    return appraisal_seeds(SEED, evaluation.episodes)


def judge(
    policy: Policy, config: Config, evaluation: Evaluation, bit_width: int
) -> list[dict[str, Any]]:
    """Let every form of a policy play, and count its flips on the states that its program visits.

    Args:
        policy: network and program.
        config: of its run; names the task.
        evaluation: forms, episodes, states.
        bit_width: to be noted.

    Returns:
        One result a form: the FPNN first, then the chips in the order of the evaluation.

    Raises:
        ConfigError, MissingError, ChipLimitError: if a form cannot be had.
    """
    with ExitStack() as stack:
        chips = stack.enter_context(opened(evaluation))
        tasks = make_tasks(config, min(SIDE_BY_SIDE, evaluation.episodes))
        for task in tasks:
            stack.callback(task.env.close)
        fpnn, *found = appraise(policy, tasks, chips, episode_seeds(evaluation))
        counts = visited_states(config, policy.program, evaluation.states, seed=SEED)
        steps = fpnn_steps(policy.net, counts)
        results = [{**_described(fpnn, bit_width), "program_sha256": policy.program.sha256}]
        for appraisal, chip in zip(found, chips.values(), strict=True):
            counted = asdict(margins(steps, chip_readout(chip, counts)))
            results.append(
                {**_described(appraisal, bit_width), **counted}
                | {"program_sha256": policy.program.sha256}
            )
    return results


@contextmanager
def opened(evaluation: Evaluation) -> Iterator[dict[str, Backend]]:
    """Give the chips of all forms, by name, and close them.

    Raises:
        ConfigError, MissingError: if one cannot be had; names the form.
    """
    with ExitStack() as stack:
        chips = {}
        for name, form in evaluation.forms.items():
            try:
                chips[name] = load_backend(form.backend, **form.options)
            except (ConfigError, MissingError) as error:
                raise type(error)(f"evaluation.forms.{name}: {error}") from error
            stack.callback(chips[name].close)
        yield chips


def timed(judgement: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    """Return results as a row holds them, with the CPU seconds that they took."""
    before = time.process_time()
    results = judgement()
    spent = time.process_time() - before
    return {"evaluation_cpu_seconds": round(spent, 2), "results": results}


def scored(form: str, bit_width: int, score: Score) -> dict[str, Any]:
    """Return what any form's episodes say."""
    return {
        "form": form,
        "bit_width": bit_width,
        "return_mean": score.return_mean,
        "return_std": score.return_std,
        "success_rate": score.success_rate,
    }


def _described(found: Appraisal, bit_width: int) -> dict[str, Any]:
    facts = scored(found.form, bit_width, found.score) | {"states": found.states}
    if found.form == FPNN:
        return facts
    return facts | {
        "action_agreement": found.action_agreement,
        "readout_mismatches": found.readout_mismatches,
        "spikes_per_decision": found.spikes_per_decision,
        "synops_per_decision": found.synops_per_decision,
    }
