"""`rivc codec train`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rivc.cli.output import emit_json, json_option, note, run_argument, table, verb
from rivc.cli.progress import counted
from rivc.errors import UsageError

if TYPE_CHECKING:
    from rivc.train.config import Config
    from rivc.train.tradeoff import Point

LAYER: Final = 2
POINTS: Final = "points.json"
_PRICE: Final = click.FloatRange(min=0, min_open=True)


@verb(example="rivc codec train runs/tracker-seed0 --rate 0.3 --rate 1 --rate 3 --out runs/rates")
@run_argument()
@click.option(
    "--rate",
    "rates",
    type=_PRICE,
    multiple=True,
    help="Price of a thousand bits a frame; may be repeated.",
)
@click.option(
    "--weight-rate",
    "weight_rates",
    type=_PRICE,
    multiple=True,
    help="Price of a bit a weight; may be repeated.",
)
@click.option(
    "--layer",
    type=click.IntRange(min=1),
    default=LAYER,
    show_default=True,
    help="Whose counts are sent, 1 for the first.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=600, show_default=True, help="Updates."
)
@click.option(
    "--learning-rate",
    type=_PRICE,
    default=1e-3,
    show_default=True,
    help="Of Adam; lower where a student falls.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=2),
    default=32,
    show_default=True,
    help="States of an update.",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Greedy ones, that each policy is measured in.",
)
@click.option(
    "--pictures/--no-pictures",
    default=None,
    help="Measure the teacher on lossy pictures as well.  [with several prices]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the new run; with several prices, of all of them.  [RUN-priced]",
)
@json_option
def train(
    run: Path,
    rates: tuple[float, ...],
    weight_rates: tuple[float, ...],
    out: Path | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Train a student that pays for what it sends, or for its weights.

    RUN is the folder of a run; its policy is the teacher. The student is an ordinary run: `rivc
    eval`, `rivc codec fit`, `rivc split` and `rivc export` take it. Several prices make a curve:
    table and figure of what is sent against the return. Stopped, the same command goes on.
    """
    if not (rates or weight_rates):
        raise UsageError("nothing is priced; give --rate, --weight-rate or both")
    prices = list(product(rates or (0.0,), weight_rates or (0.0,)))
    out = out or run.with_name(f"{run.name}-priced")
    students = _students(run, prices, out, how)
    for folder, config in students.items():
        _train(folder, config)
    points = _measured(run, students, out, how)
    paths = _publish(points, out, f"Students of {run.name}") if len(prices) > 1 else []
    _tell(points, students, paths, as_json)


def _students(
    run: Path, prices: list[tuple[float, float]], out: Path, how: dict[str, Any]
) -> dict[Path, Config]:
    """The folder and the configuration of each student."""
    from rivc.train.run import RunFolder
    from rivc.train.tradeoff import student_config

    parent = RunFolder.open(run)

    def priced(rate: float, weight_rate: float) -> Config:
        layer = how["layer"] if rate else None
        of = {"layer": layer, "rate": rate, "weight_rate": weight_rate}
        training = {name: how[name] for name in ("learning_rate", "batch_size")}
        return student_config(parent, of, how["steps"], **training)

    if len(prices) == 1:
        return {out: priced(*prices[0])}
    return {out / _name(*pair): priced(*pair) for pair in prices}


def _name(rate: float, weight_rate: float) -> str:
    parts = (("rate", rate), ("weights", weight_rate))
    return "-".join(f"{what}{price:g}" for what, price in parts if price)


def _train(folder: Path, config: Config) -> None:
    """Train a student to the end, or go on with it."""
    from rivc.cli.main import INTERRUPTED
    from rivc.cli.training import run_to_the_end
    from rivc.train import Trainer
    from rivc.train.run import RunFolder

    if (folder / "config.yaml").exists():
        if RunFolder.open(folder).config() != config:
            raise UsageError(f"{folder} holds another run; choose another --out")
        trainer = Trainer.resume(folder)
    else:
        trainer = Trainer(config, folder)
    note(f"run: {folder}")
    if not run_to_the_end(trainer)["finished"]:
        note("stopped; the same command goes on")
        raise click.exceptions.Exit(INTERRUPTED)


def _measured(
    run: Path, students: dict[Path, Config], out: Path, how: dict[str, Any]
) -> list[Point]:
    """The teacher, its students and, beside several of them, pictures."""
    from rivc.train.run import RunFolder
    from rivc.train.tradeoff import PICTURES, Ledger, observes_pictures

    teacher = RunFolder.open(run)
    layer = next(iter(students.values())).distill.layer
    folders = [("teacher", teacher), *((path.name, RunFolder(path)) for path in students)]
    wanted = len(students) > 1 if how["pictures"] is None else how["pictures"]
    pictures = PICTURES if wanted and observes_pictures(teacher) else ()
    ledger = Ledger(out / POINTS, how["episodes"])
    with counted("measuring", len(folders) + len(pictures)) as tell:
        points = []
        for name, folder in folders:
            points.append(ledger.run(name, folder, layer))
            tell(name)
        for kind, quality in pictures:
            points.append(ledger.picture(teacher, kind, quality))
            tell(points[-1].name)
    return points


def _publish(points: list[Point], out: Path, title: str) -> list[Path]:
    """Write the curve as Markdown, CSV and, where matplotlib is installed, figures."""
    from rivc.errors import MissingError
    from rivc.report import tradeoff
    from rivc.snn_convert.storage import write_atomically

    files = {
        "md": tradeoff.markdown(points).encode(),
        "csv": tradeoff.comma_separated(points).encode(),
    }
    try:
        files |= tradeoff.figure(points, title)
    except MissingError as error:
        note(str(error))
    paths = [out / f"curve.{kind}" for kind in files]
    for path, data in zip(paths, files.values(), strict=True):
        write_atomically(path, data)
    return paths


def _tell(
    points: list[Point], students: dict[Path, Config], paths: list[Path], as_json: bool
) -> None:
    from rivc.report.tradeoff import HEAD, cells

    if as_json:
        emit_json(
            {
                "runs": [str(path) for path in students],
                "files": [str(path) for path in paths],
                "points": [asdict(point) for point in points],
            }
        )
        return
    click.echo(table(HEAD, cells(points), right=HEAD[1:]))
    for path in paths or students:
        click.echo(path)
