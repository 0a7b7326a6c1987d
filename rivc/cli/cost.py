"""`rivc cost`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from rivc.cli.output import emit_json, json_option, note, policy_option, refuse_policy, table, verb
from rivc.cli.progress import working
from rivc.errors import MissingError
from rivc.neurochip.cost import measure_cost
from rivc.neurochip.energy import CHIP, FLOATS, INTEGERS, PAPER, modelled, scaled
from rivc.neurochip.export import is_export, load_export
from rivc.neurochip.states import random_states
from rivc.snn_convert import SpikingProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rivc.neurochip.cost import Cost, ProgramCost
    from rivc.neurochip.energy import Estimate
    from rivc.train.policy import Which


@dataclass(frozen=True)
class Subject:
    """What is to be counted.

    Attributes:
        program: the program.
        counts: states to count in.
        origin: where these come from, "greedy episodes" or "random".
    """

    program: SpikingProgram
    counts: NDArray[np.uint8]
    origin: str


@verb(example="rivc cost runs/quickstart-seed1 --states 500")
@click.argument("what", metavar="RUN_OR_EXPORT_OR_PROGRAM", type=click.Path(path_type=Path))
@click.option(
    "--states",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="States to count in.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the states."
)
@policy_option
@json_option
def command(what: Path, states: int, seed: int, policy: Which | None, *, as_json: bool) -> None:
    """Count operations, bytes and energy of a decision.

    A run is counted in states of greedy episodes; an export or a program.npz, which knows no task,
    in random ones. Operations and bytes are counted; energy is modelled from published constants;
    times are modelled or measured, and each row says which. What the paper measured stands apart:
    no row here is comparable with it.
    """
    with working(f"counting in {what}"):  # not while time is measured, which it would disturb
        subject = open_subject(what, states, seed, policy)
        cost = measure_cost(subject.program, subject.counts)
    estimates = [*modelled(subject.program, cost), *measured(subject)]
    if as_json:
        emit_json(facts(subject, cost, estimates))
    else:
        click.echo(report(subject, cost, estimates))


def open_subject(what: Path, states: int, seed: int, which: Which | None) -> Subject:
    """Read a run, an export or a program, and find states for it.

    Raises:
        MissingError: if it is none of them.
        UsageError: if a policy was named, and it is no run.
    """
    if (what / "config.yaml").is_file():
        from rivc.train.policy import load_program
        from rivc.train.run import RunFolder
        from rivc.train.visit import visited_states

        folder = RunFolder.open(what)
        _, program = load_program(folder, which)
        counts = visited_states(folder.config(), program, states, seed=seed)
        return Subject(program, counts, "greedy episodes")
    refuse_policy(what, which)
    if what.is_file():
        program = SpikingProgram.load(what)
    elif is_export(what):
        program = load_export(what).program
    else:
        raise MissingError(f"nothing to count at {what}: neither a run, an export nor a program")
    rng = np.random.default_rng(seed)
    return Subject(program, random_states(program.encoding, states, rng), "random")


def measured(subject: Subject) -> list[Estimate]:
    """Return what was measured on this machine; nothing where torch is not installed."""
    if find_spec("torch") is None:
        note("note: the fp32 network is not timed without torch: pip install 'rivc[train]'")
        return []
    from rivc.bench.fp32 import time_side_by_side

    return time_side_by_side(subject.program, subject.counts)


def facts(subject: Subject, cost: ProgramCost, estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Return everything as `--json` prints it."""
    return {
        "program_sha256": subject.program.sha256,
        "states": cost.states,
        "states_from": subject.origin,
        "layers": [_cost_facts(layer) for layer in cost.layers],
        "total": _cost_facts(cost.total),
        "estimates": [asdict(estimate) for estimate in estimates],
        "reported": asdict(PAPER),
    }


def _cost_facts(cost: Cost) -> dict[str, Any]:
    return {
        **asdict(cost),
        "synops": cost.synops,
        "footprint": cost.footprint,
        "traffic": cost.traffic,
        "connection_sparsity": cost.connection_sparsity,
        "activation_sparsity": cost.activation_sparsity,
    }


def report(subject: Subject, cost: ProgramCost, estimates: Sequence[Estimate]) -> str:
    """Return everything for people."""
    title = (
        f"program {subject.program.sha256[:12]}, a decision, mean over {cost.states:,} states "
        f"({subject.origin})"
    )
    return "\n\n".join([title, _counted(cost), _estimated(estimates), _compared(estimates)])


def _counted(cost: ProgramCost) -> str:
    head = ["layer", "events", "ACs", "MACs", "dense", "spikes", "updates", "silent", "zeros"]
    head += ["parameters", "traffic"]
    rows = [
        [
            part.kind,
            f"{part.events:,.1f}",
            f"{part.acs:,.0f}",
            f"{part.macs:,.0f}",
            f"{part.dense:,}",
            f"{part.spikes:,.1f}",
            f"{part.membrane_updates:,}",
            _percent(part.activation_sparsity),
            _percent(part.connection_sparsity),
            f"{part.footprint:,} B",
            f"{part.traffic:,.0f} B",
        ]
        for part in (*cost.layers, cost.total)
    ]
    return table(head, rows, right=head[1:])


def _estimated(estimates: Sequence[Estimate]) -> str:
    head = ["a decision", "kind", "on", "covers", "energy", "time", "quartiles"]
    rows = [
        [
            e.name,
            e.kind,
            e.node,
            e.covers,
            scaled(e.energy, "J"),
            scaled(e.latency, "s"),
            "" if e.spread is None else " to ".join(scaled(s, "s") for s in e.spread),
        ]
        for e in estimates
    ]
    constants = {c.name: c for e in estimates for c in e.constants}
    basis = [
        f"  {c.name}: {c.value:g}{'' if c.unit == '1' else f' {c.unit}'} ({c.source}; {c.basis})"
        for c in constants.values()
    ]
    return "\n".join([table(head, rows, right=head[4:]), "", "modelled from", *basis])


def _compared(estimates: Sequence[Estimate]) -> str:
    """The modelled ratio and the paper's measured one, each in a row of its own."""
    energy = {e.name: e.energy or 0.0 for e in estimates if e.covers == CHIP}
    ratio = energy[FLOATS] / energy[INTEGERS] if energy[INTEGERS] else 0.0
    ours = [f"{INTEGERS} against {FLOATS}, {CHIP}", "modelled here", f"energy 1/{ratio:,.0f}"]
    power = f"power 1/{1 / PAPER.power_ratio:.0f}, speed {PAPER.speed_ratio:g}x"
    rows = [ours, [PAPER.name, "measured by the paper", power]]
    return f"{table(['compared', 'kind', 'ratio'], rows)}\n{PAPER.source}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
