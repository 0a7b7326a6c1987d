"""`rivc eval`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from rivc.cli.output import (
    emit_json,
    json_option,
    policy_option,
    run_argument,
    table,
    verb,
    widths,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.train.appraise import Appraisal
    from rivc.train.policy import Policy, Which


FORM_TITLES: Final = {
    "fpnn": "FPNN",
    "reference": "program (int64 reference)",
    "emulator": "program (emulator)",
    "snntorch": "spiking chip (snntorch)",
    "c99": "C99, compiled here",
    "onnx": "ONNX model",
    "compressed": "program, compressed",
}


@dataclass(frozen=True)
class Evaluation:
    """Every form of a policy, judged on the same episodes.

    Attributes:
        env_id: of the task.
        policy: what was judged.
        backend: the form that the run's own back end, or the one that was named, stands for.
        seed: of the episodes.
        results: FPNN first, the chosen back end last.
    """

    env_id: str
    policy: Policy
    backend: str
    seed: int
    results: list[Appraisal]


@verb(example="rivc eval runs/quickstart-seed1 --episodes 20 --backend snntorch")
@run_argument()
@click.option(
    "--episodes", type=click.IntRange(min=1), default=10, show_default=True, help="How many."
)
@click.option("--backend", metavar="NAME", help="The chip.  [the run's own]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the episodes."
)
@policy_option
@json_option
def command(
    run: Path, episodes: int, backend: str | None, seed: int, policy: Which | None, as_json: bool
) -> None:
    """Play greedy episodes: FPNN and program side by side.

    RUN is the folder of a run. The FPNN (the network as it was trained), the program on the
    emulator and the program on the chosen chip each play the same episodes, which training has
    never seen. Agreement and mismatches compare actions and integers with the FPNN's in every
    state on the way.
    """
    found = evaluate(run, episodes, backend=backend, seed=seed, which=policy)
    if as_json:
        emit_json(facts(found))
    else:
        click.echo(report(found))


def evaluate(
    run: Path, episodes: int, *, backend: str | None, seed: int, which: Which | None
) -> Evaluation:
    """Let every form of a run's policy play."""
    from rivc.neurochip import load_backend
    from rivc.train.appraise import appraisal_seeds, appraise
    from rivc.train.policy import load_policy
    from rivc.train.run import RunFolder
    from rivc.train.setup import make_tasks
    from rivc.train.threads import one_thread

    folder = RunFolder.open(run)
    config = folder.config()
    chosen = backend or config.backend.name
    chips = {name: load_backend(name) for name in ["emulator"] if name != chosen}
    chips[chosen] = load_backend(chosen, **config.backend.options_of(chosen))
    policy = load_policy(folder, which)
    tasks = make_tasks(config, min(config.env.count, episodes))
    try:
        with one_thread():
            results = appraise(policy, tasks, chips, appraisal_seeds(seed, episodes))
    finally:
        for task in tasks:
            task.env.close()
    return Evaluation(config.env.id, policy, chosen, seed, results)


def facts(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as `--json` prints it: the chosen back end, then every form."""
    fpnn, chip = found.results[0], found.results[-1]
    success = {} if chip.score.success_rate is None else {"success_rate": chip.score.success_rate}
    return {
        "env_id": found.env_id,
        "episodes": len(chip.score.episodes),
        "backend": found.backend,
        "policy": found.policy.which,
        "seed": found.seed,
        "return_mean": chip.score.return_mean,
        "return_std": chip.score.return_std,
        **success,
        "fpnn_return_mean": fpnn.score.return_mean,
        "fpnn_return_std": fpnn.score.return_std,
        "action_agreement": chip.action_agreement,
        "readout_mismatches": chip.readout_mismatches,
        "states": chip.states,
        "spikes_per_decision": chip.spikes_per_decision,
        "synops_per_decision": chip.synops_per_decision,
        "program_sha256": found.policy.program.sha256,
        "forms": {
            result.form: {
                "return_mean": result.score.return_mean,
                "return_std": result.score.return_std,
                "success_rate": result.score.success_rate,
                "action_agreement": result.action_agreement,
                "readout_mismatches": result.readout_mismatches,
                "states": result.states,
            }
            for result in found.results
        },
    }


def report(found: Evaluation) -> str:
    """Return an evaluation for people."""
    chip = found.results[-1]
    title = (
        f"{found.env_id}, {found.policy.which} policy, program {found.policy.program.sha256[:12]}, "
        f"{len(chip.score.episodes)} episodes, seed {found.seed}; {widths(found.policy.program)}"
    )
    cost = (
        f"{chip.spikes_per_decision:,.1f} spikes and "
        f"{chip.synops_per_decision:,.0f} synaptic operations a decision"
    )
    return f"{title}\n\n{comparison(found.results)}\n\n{cost}"


def comparison(results: list[Appraisal]) -> str:
    """Return the forms side by side."""
    rows = [
        [
            form_title(r.form),
            f"{r.score.return_mean:.1f} ± {r.score.return_std:.1f}",
            _percent(r.score.success_rate),
            "" if r.form == "fpnn" else _percent(r.action_agreement, 2),
            "" if r.form == "fpnn" else f"{r.readout_mismatches:,}",
            f"{r.states:,}",
        ]
        for r in results
    ]
    head = ["form", "return", "success", "agreement", "mismatches", "states"]
    return table(head, rows, right=head[1:])


def form_title(form: str) -> str:
    """Return what people call a form."""
    return FORM_TITLES.get(form, f"chip ({form})")


def _percent(share: float | None, digits: int = 0) -> str:
    return "" if share is None else f"{100 * share:.{digits}f} %"
