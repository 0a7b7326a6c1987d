"""`rivc verify`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from rivc.cli.eval import form_title
from rivc.cli.output import (
    emit_json,
    json_option,
    note,
    policy_option,
    refuse_policy,
    run_argument,
    table,
    verb,
)
from rivc.cli.progress import working
from rivc.errors import MismatchError, MissingError
from rivc.neurochip.compare import compare_all, program_forms, run_in_batches
from rivc.neurochip.export import Golden, is_export, load_export, make_golden
from rivc.neurochip.states import random_states
from rivc.snn_convert import reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.neurochip.compare import Difference, Form, FormResult
    from rivc.snn_convert import SpikingProgram
    from rivc.train.policy import Which


@dataclass(frozen=True)
class Subject:
    """What is to be verified.

    Attributes:
        program: the program as it is on disk.
        golden: vectors, of the export or, for a run, made here.
        forms: what gives those that only this subject has, the FPNN of a run or the files of an
            export; they may be built in a folder. One may be missing without the others.
        sha256: the hash that the program should have.
    """

    program: SpikingProgram
    golden: Golden
    forms: tuple[Callable[[Path], dict[str, Form]], ...]
    sha256: str


@verb(example="rivc verify deploy --backend snntorch --states 1000")
@run_argument("folder")
@click.option("--backend", metavar="NAME", help="A chip to ask beside the others.")
@click.option(
    "--states",
    type=click.IntRange(0, 1_000_000),
    default=256,
    show_default=True,
    help="Random states.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these states."
)
@policy_option
@json_option
def command(
    folder: Path, backend: str | None, states: int, seed: int, policy: Which | None, as_json: bool
) -> None:
    """Compare every form of a policy, integer by integer.

    FOLDER is an export or a run. Golden vectors and random states go through the int64 reference,
    the emulator, snnTorch neurons if they are installed, the named chip, and through the FPNN of a
    run or the files of an export.
    Leaves with 1 if a single integer differs.
    """
    subject = open_subject(folder, policy)
    with working("comparing every form"):
        results = verify(subject, backend, states, np.random.default_rng(seed))
    failure = first_failure(subject, results)
    if as_json:
        emit_json(facts(subject, results, ok=failure is None))
    else:
        rows = [
            [form_title(name), f"{r.states:,}", f"{r.mismatches:,}"] for name, r in results.items()
        ]
        click.echo(table(["form", "states", "mismatches"], rows, right=["states", "mismatches"]))
    if failure is not None:
        raise MismatchError(failure)
    if not as_json:
        click.echo(f"\nprogram {subject.program.sha256[:12]}: every integer equal")


def open_subject(folder: Path, which: Which | None) -> Subject:
    """Read an export or a run.

    Raises:
        MissingError: if the folder is neither.
        UsageError: if a policy of an export was named, which holds one program.
    """
    if is_export(folder):
        refuse_policy(folder, which)
        export = load_export(folder)
        sha256 = export.manifest["program_sha256"]
        forms = (lambda _: export.compressed_form(), export.format_forms)
        return Subject(export.program, export.golden, forms, sha256)
    if not (folder / "config.yaml").is_file():
        raise MissingError(f"nothing to verify at {folder}: neither an export nor a run")
    from rivc.train.audit import network_form
    from rivc.train.policy import load_policy
    from rivc.train.run import RunFolder

    policy = load_policy(RunFolder.open(folder), which)
    fpnn = {"fpnn": network_form(policy.net)}
    golden = make_golden(policy.program)
    return Subject(policy.program, golden, (lambda _: fpnn,), policy.program.sha256)


def verify(
    subject: Subject, backend: str | None, states: int, rng: np.random.Generator
) -> dict[str, FormResult]:
    """Run golden vectors and random states through every form; the vectors come first.

    Files that nothing here can run are told of in a warning, and left out.
    """
    program = subject.program
    drawn = random_states(program.encoding, states, rng)
    counts = np.concatenate([subject.golden.inputs, drawn])
    readout = run_in_batches(partial(reference.run, program), drawn)
    expected = np.concatenate([subject.golden.readout, readout])
    with TemporaryDirectory() as scratch, program_forms(program, backend) as forms:
        return compare_all(_own_forms(subject, Path(scratch)) | forms, counts, expected)


def _own_forms(subject: Subject, scratch: Path) -> dict[str, Form]:
    forms: dict[str, Form] = {}
    for give in subject.forms:
        try:
            forms |= give(scratch)
        except MissingError as error:
            note(f"warning: not every form is compared: {error}")
    return forms


def first_failure(subject: Subject, results: dict[str, FormResult]) -> str | None:
    """Return what is wrong first, in one line; None if nothing is."""
    found = _first_difference(results)
    if found is not None:
        form, first = found
        result = results[form]
        return f"{form} differs in {result.mismatches:,} of {result.states:,} states; {first}"
    if subject.program.sha256 != subject.sha256:
        return (
            f"program.npz is not the program of the manifest: hash {subject.program.sha256[:12]}, "
            f"expected {subject.sha256[:12]}"
        )
    return None


def facts(subject: Subject, results: dict[str, FormResult], *, ok: bool) -> dict[str, Any]:
    """Return the comparison as `--json` prints it."""
    found = _first_difference(results)
    return {
        "ok": ok,
        "program_sha256": subject.program.sha256,
        "golden_states": len(subject.golden.inputs),
        "forms": {
            name: {"states": r.states, "mismatches": r.mismatches} for name, r in results.items()
        },
        "first_difference": found and {"form": found[0], **asdict(found[1])},
    }


def _first_difference(results: dict[str, FormResult]) -> tuple[str, Difference] | None:
    return next(((name, r.first) for name, r in results.items() if r.first is not None), None)
