"""`rivc certify`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np

from rivc.cli.eval import form_title
from rivc.cli.output import emit_json, json_option, policy_option, table, verb
from rivc.cli.progress import working
from rivc.errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rivc.snn_convert.certify.guarantees import Guarantees
    from rivc.train.policy import Policy, Which

NOISE_LEVELS: Final = "0.02,0.1,0.25,0.5"


def _numbers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[float, ...]:
    """The numbers between the commas of an option."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        message = f"{text!r} is not numbers between commas"
        raise click.BadParameter(message, ctx, param) from error


@dataclass(frozen=True)
class Bounds:
    """What the chips may do wrong, and how much is looked at.

    Attributes:
        noise: bounds, for one disturbance each.
        weight_error: of all of them.
        membrane_bits: of all of them.
        delta: of the calibrated guarantee.
        states: to judge, and as many others to calibrate on.
        seed: of episodes and draws.
    """

    noise: tuple[float, ...]
    weight_error: float
    membrane_bits: int | None
    delta: float
    states: int
    seed: int


@dataclass(frozen=True)
class Report:
    """Everything about one run.

    Attributes:
        run: its folder.
        sha256: of its program.
        bits: of weights and activations.
        states: that were judged.
        compared: states in which all forms gave equal integers.
        forms: their names.
        guarantees: one a disturbance.
    """

    run: Path
    sha256: str
    bits: tuple[int, int]
    states: int
    compared: int
    forms: list[str]
    guarantees: list[Guarantees]


@verb(example="rivc certify runs/bits2 runs/bits4 runs/bits8 --noise 0.02,0.1")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--noise",
    callback=_numbers,
    default=NOISE_LEVELS,
    show_default=True,
    metavar="E,E,...",
    help="Bounds on the error of a membrane, in thresholds.",
)
@click.option(
    "--weight-error",
    type=float,
    default=0.0,
    show_default=True,
    metavar="E",
    help="Bound on the error of a weight, as a share of it.",
)
@click.option(
    "--membrane-bits",
    type=int,
    metavar="W",
    help="Width of membranes that saturate, sign included; only the certificate heeds it."
    "  [wide enough]",
)
@click.option(
    "--delta",
    type=float,
    default=0.005,
    show_default=True,
    help="Of the calibrated guarantee, which holds with probability 1 - delta.",
)
@click.option(
    "--states",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Visited states to judge; as many others calibrate.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the episodes and the draws.",
)
@policy_option
@json_option
def command(runs: tuple[Path, ...], policy: Which | None, *, as_json: bool, **bounds: Any) -> None:
    """Tell what can be promised about a policy on a chip that errs.

    RUN is the folder of a run. In states that its policy visits: the share of decisions that are
    certified (no error within the bounds changes them) and calibrated (kept with probability
    1 - delta under random noise in such states), beside the share that was kept in 20 random draws
    and under an attack. On a chip that does not err every form is exact, which is checked too.
    Runs of one bit width share a table.
    """
    reports = []
    for run in runs:
        with working(f"judging {run}"):
            reports.append(certify_run(run, Bounds(**bounds), policy))
    if as_json:
        chosen = {"delta": bounds["delta"], "seed": bounds["seed"]}
        emit_json({**chosen, "runs": [facts(report) for report in reports]})
    else:
        click.echo("\n\n".join(tables(reports)))


def certify_run(run: Path, bounds: Bounds, which: Which | None) -> Report:
    """Judge the policy of a run.

    Raises:
        ConfigError: if a bound is out of range, or the states are too few for delta.
        MismatchError: if two forms of the policy differ: then nothing else can be promised.
    """
    from rivc.snn_convert.certify import Disturbance, Lattice
    from rivc.snn_convert.certify.conformal import rank
    from rivc.snn_convert.certify.guarantees import assess
    from rivc.train.policy import load_policy
    from rivc.train.run import RunFolder
    from rivc.train.visit import CALIBRATE, JUDGE, visited_states

    rank(bounds.states, bounds.delta)  # before anything is played; fewer states may be visited
    disturbances = [Disturbance(e, bounds.weight_error, bounds.membrane_bits) for e in bounds.noise]
    folder = RunFolder.open(run)
    config, policy = folder.config(), load_policy(folder, which)
    states, others = (
        visited_states(config, policy.program, bounds.states, seed=bounds.seed, stream=stream)
        for stream in (JUDGE, CALIBRATE)
    )
    forms, compared = _compare(policy, states)
    lattice, rng = Lattice(policy.program), np.random.default_rng(bounds.seed)
    guarantees = [
        assess(lattice, states, others, disturbance, bounds.delta, rng)
        for disturbance in disturbances
    ]
    bits = config.quant.weight_bits, config.quant.activation_bits
    return Report(run, policy.program.sha256, bits, len(states), compared, forms, guarantees)


def _compare(policy: Policy, states: NDArray[np.uint8]) -> tuple[list[str], int]:
    """Run golden vectors and visited states through every form; return the forms and how many."""
    from rivc.neurochip.compare import compare_all, program_forms, run_in_batches
    from rivc.neurochip.export import make_golden
    from rivc.snn_convert import reference
    from rivc.train.audit import network_form

    golden = make_golden(policy.program)
    counts = np.concatenate([golden.inputs, states])
    readout = run_in_batches(partial(reference.run, policy.program), states)
    expected = np.concatenate([golden.readout, readout])
    with program_forms(policy.program) as forms:
        results = compare_all({**forms, "fpnn": network_form(policy.net)}, counts, expected)
    for name, result in results.items():
        if result.first is not None:
            raise MismatchError(f"{name} is not exact, so nothing is promised; {result.first}")
    return list(results), len(counts)


def facts(report: Report) -> dict[str, Any]:
    """Return the guarantees of a run as `--json` prints them."""
    return {
        "run": str(report.run),
        "program_sha256": report.sha256,
        "weight_bits": report.bits[0],
        "activation_bits": report.bits[1],
        "states": report.states,
        "exact": {"states": report.compared, "forms": report.forms, "mismatches": 0},
        "guarantees": [
            {
                **asdict(g.disturbance),
                "certified": g.certified,
                "certified_lead_steps": g.lead_steps,
                "calibrated": g.calibrated,
                "calibrated_bound_steps": g.calibration.bound,
                "calibrated_level": g.calibration.level,
                "kept_in_draws": g.kept_in_draws,
                "kept_in_attack": g.kept_in_attack,
            }
            for g in report.guarantees
        ],
    }


def tables(reports: Sequence[Report]) -> Iterator[str]:
    """Return one table a bit width for people."""
    for bits, group in groupby(sorted(reports, key=lambda r: r.bits), key=lambda r: r.bits):
        members = list(group)
        title = click.style(f"{bits[0]}-bit weights, {bits[1]}-bit counts", bold=True)
        exact = "\n".join(
            f"exact: {', '.join(form_title(form) for form in r.forms)}: every integer equal in "
            f"{r.compared:,} states of {r.run}"
            for r in members
        )
        rows = [_row(r, g, named=len(members) > 1) for r in members for g in r.guarantees]
        yield f"{title}\n{exact}\n{table(_head(members[0]), rows, right=_head(members[0])[1:])}"


def _head(report: Report) -> list[str]:
    level = report.guarantees[0].calibration.level
    names = ["certified", f"calibrated {100 * level:.1f} %", "kept in draws", "kept in attack"]
    return ["run", "noise", "weight error", "membrane", *names, "certain lead"]


def _row(report: Report, g: Guarantees, *, named: bool) -> list[str]:
    bounds = g.disturbance
    shares = (g.certified, g.calibrated, g.kept_in_draws, g.kept_in_attack)
    return [
        str(report.run) if named else "",
        f"{bounds.noise:g} th",
        f"{100 * bounds.weight_error:g} %" if bounds.weight_error else "",
        f"{bounds.membrane_bits} bits" if bounds.membrane_bits else "",
        *(f"{100 * share:.1f} %" for share in shares),
        f"{g.lead_steps:,.0f} steps",
    ]
