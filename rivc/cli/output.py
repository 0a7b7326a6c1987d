"""What verbs share: options, one JSON object or an aligned table on stdout, notes on stderr."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rivc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rivc.snn_convert import SpikingProgram
    from rivc.train.policy import Which

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else."
)
policy_option = click.option(
    "--policy",
    type=click.Choice(["best", "latest"]),
    help="Which policy of the run.  [the best if there was an evaluation]",
)


backend_options_option = click.option(
    "--backend-options",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="Arguments of the chip.  [for drive, the run's if it is the run's chip]",
)


def refuse_policy(path: Path, policy: Which | None) -> None:
    """Raise UsageError if a policy was named where there is one only: in an export or a program."""
    if policy is not None:
        raise UsageError(f"{path} is one program; leave out --policy")


cut_option = click.option(
    "--layer",
    type=click.IntRange(min=1),
    required=True,
    help="How many layers stand before the cut, 1 for the first.",
)


def run_argument(name: str = "run") -> Callable[[Any], Any]:
    """Return the argument that names a run folder."""
    return click.argument(name, type=click.Path(path_type=Path))


def verb(
    *, example: str, cls: type[click.Command] = click.Command
) -> Callable[[Any], click.Command]:
    """Return the decorator that makes a function a verb, with an example at the end of its help."""
    return click.command(cls=cls, epilog=f"\b\nExample:\n  {example}")


def check_folder(path: Path) -> None:
    """Raise UsageError unless a folder is there, or can be made, and takes files.

    For verbs that work long and write last.
    """
    there = next(one for one in (path, *path.absolute().parents) if os.access(one, os.F_OK))
    if not _takes_files(there):
        raise UsageError(f"cannot write to {path}: {there} is no folder that takes files")


def check_file(path: Path) -> None:
    """Raise UsageError unless a file can be written there, in a folder that is there."""
    folder = path.absolute().parent
    if not _takes_files(folder):
        raise UsageError(f"cannot write {path}: {folder} is no folder that takes files")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")


def _takes_files(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK) and folder.is_dir()


def emit_json(facts: Mapping[str, Any]) -> None:
    """Print one object on stdout; numbers that JSON does not hold become null."""
    from rivc.snn_convert.storage import to_json

    click.echo(to_json(facts))


def widths(program: SpikingProgram) -> str:
    """Return in words what integers a program is made of.

    Widths are those of the weights, layer by layer, and of the counts, the input's first.
    """
    weights = (layer.weight_bits for layer in program.layers if layer.has_weights)
    levels = (program.encoding.levels, *(x.levels for x in program.layers if x.levels))
    return (
        f"profile {program.profile}, weights of {'-'.join(map(str, weights))} bits, "
        f"counts of {'-'.join(str(top.bit_length()) for top in levels)}"
    )


def note(text: str) -> None:
    """Print a line for people on stderr."""
    click.echo(text, err=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Return rows in aligned columns under a bold head.

    Args:
        head: names of the columns; a column whose cells are all empty is left out.
        rows: cells as text.
        right: names of the columns that are flushed right.

    Example:
        >>> print(click.unstyle(table(["name", "n"], [["a", "10"], ["bc", "9"]], right=["n"])))
        name   n
        a     10
        bc     9
    """
    columns = {
        name: cells for name, *cells in zip(head, *rows, strict=True) if not rows or any(cells)
    }

    def fit(name: str, text: str) -> str:
        width = max(map(len, [name, *columns[name]]))
        return text.rjust(width) if name in right else text.ljust(width)

    lines = ["  ".join(fit(name, name) for name in columns).rstrip()]
    for row in zip(*columns.values(), strict=True):
        lines.append("  ".join(map(fit, columns, row)).rstrip())
    return "\n".join([click.style(lines[0], bold=True), *lines[1:]])


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Return names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in rows)
