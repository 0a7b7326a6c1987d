"""`rivc export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rivc.cli.output import (
    emit_json,
    json_option,
    pairs,
    policy_option,
    refuse_policy,
    run_argument,
    verb,
)
from rivc.cli.progress import working

if TYPE_CHECKING:
    from rivc.snn_convert import SpikingProgram
    from rivc.train.policy import Which


@verb(example="rivc export runs/quickstart-seed1 --format program --out deploy")
@run_argument()
@click.option(
    "--format",
    "format_name",
    default="program",
    show_default=True,
    help="What to write: program, c99, onnx, nir or akida.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="A new or empty folder, or an earlier export to replace.",
)
@click.option(
    "--prefix",
    default="rivc_policy",
    show_default=True,
    help="Begins every name of generated source code, so that two policies link.",
)
@click.option(
    "--compress", is_flag=True, help="Write the program in its smallest form as well, program.rvw."
)
@policy_option
@json_option
def command(
    run: Path, format_name: str, out: Path, policy: Which | None, as_json: bool, **how: Any
) -> None:
    """Write deployment files, golden vectors and a manifest.

    RUN is the folder of a run, or the file of a program, as the halves of a split are. The golden
    vectors hold inputs and the integers that every form of the program must answer with: random
    states, saturation, threshold boundaries, ties.
    """
    from rivc.neurochip.export import ExportOptions, export_program, find_format

    find_format(format_name)
    program, origin = _of_file(run, policy) if run.is_file() else _of_run(run, policy)
    options = ExportOptions(**how)
    with working("writing files and golden vectors"):
        export = export_program(program, out, format=format_name, options=options, origin=origin)
    manifest = export.manifest
    if as_json:
        emit_json({"out": str(out), **manifest})
        return
    golden = dict(manifest["golden"])
    states = golden.pop("states")
    kinds = ", ".join(f"{count} {kind}" for kind, count in golden.items() if count)
    rows = [
        ("program", f"{program.sha256[:12]}, {_named(origin)}{run}"),
        ("golden", f"{states} vectors: {kinds}"),
        ("files", ", ".join([*manifest["files"], "manifest.json"])),
        ("next", f"rivc verify {out}"),
    ]
    if "compression" in manifest:
        rows.insert(2, ("compressed", _compression(manifest["compression"])))
    click.echo(pairs(rows))


def _of_run(run: Path, policy: Which | None) -> tuple[SpikingProgram, dict[str, Any]]:
    """The program of a run, and where it comes from."""
    from rivc.train.policy import load_program
    from rivc.train.run import RunFolder
    from rivc.train.task_world import known_rate_hz

    folder = RunFolder.open(run)
    config = folder.config()
    which, program = load_program(folder, policy)
    return program, {
        "name": config.name,
        "env_id": config.env.id,
        "seed": config.seed,
        "policy": which,
        "rate_hz": known_rate_hz(config),
        "trained_with": folder.read_manifest().get("versions"),
    }


def _of_file(path: Path, policy: Which | None) -> tuple[SpikingProgram, dict[str, Any]]:
    """The program of a file, which tells nothing else."""
    from rivc.snn_convert import SpikingProgram

    refuse_policy(path, policy)
    return SpikingProgram.load(path), {"name": path.stem}


def _named(origin: dict[str, Any]) -> str:
    return f"the {origin['policy']} policy of " if "policy" in origin else ""


def _compression(found: dict[str, Any]) -> str:
    coded, ideal = found["bits_per_weight"], found["entropy"]
    text = f"{found['weights']:,} weights, {coded:.3f} bits each (entropy {ideal:.3f})"
    return f"{text}; {found['file_bytes']:,} bytes in all"
