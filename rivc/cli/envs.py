"""`rivc envs`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rivc.cli.output import emit_json, json_option, table, verb
from rivc.errors import FailedError

if TYPE_CHECKING:
    from rivc.envs import TaskSpec, Variant
    from rivc.envs.options import CameraKind


@verb(example="rivc train tracker --env.id rivc/PoleBalance-v0 --env.kwargs {}")
@click.option(
    "--check",
    "checking",
    is_flag=True,
    help="Measure how much of their pictures is black or white.",
)
@json_option
def command(checking: bool, as_json: bool) -> None:
    """List the robot tasks.

    Besides these, any Gymnasium id can be trained, and module:id for one that a module registers.
    """
    from rivc.envs import task_specs

    if checking:
        _check(as_json)
        return
    specs = task_specs()
    if as_json:
        emit_json({"envs": [asdict(spec) for spec in specs]})
        return
    rows = [_row(spec, variant) for spec in specs for variant in spec.all_variants()]
    head = ["id", "observes", "actions", "random", "expert", "task"]
    click.echo(table(head, rows, right=["actions", "random", "expert"]))
    click.echo("\nand any Gymnasium id, for example CartPole-v1, or module:id")


def _check(as_json: bool) -> None:
    """Measure the pictures of every task, with each camera that works here."""
    from rivc.envs import gl_status, task_specs
    from rivc.envs.exposure import LIMIT, expose

    cameras: list[CameraKind] = ["ray", "gl"] if gl_status().backend else ["ray"]
    found = [expose(spec.id, camera) for spec in task_specs() for camera in cameras]
    if as_json:
        emit_json({"limit": LIMIT, "exposures": [asdict(e) | {"ok": e.ok} for e in found]})
    else:
        rows = [[e.env_id, e.camera, f"{e.black:.2%}", f"{e.white:.2%}"] for e in found]
        click.echo(table(["id", "camera", "black", "white"], rows, right=["black", "white"]))
    bad = [f"{e.env_id} ({e.camera})" for e in found if not e.ok]
    if bad:
        raise FailedError(
            f"more than {LIMIT:.0%} of the pictures is black or white: {', '.join(bad)}"
        )


def _row(spec: TaskSpec, variant: Variant) -> list[str]:
    """Describe one way to act; what all of a task's ways share stands with the first."""
    options = " ".join(f"{name}={value}" for name, value in variant.options.items())
    return [
        f"  {options}" if options else spec.id,
        "" if options else ", ".join(spec.obs_modes),
        " x ".join(map(str, variant.action_layout)),
        f"{variant.random_return:.1f}",
        f"{variant.expert_return:.1f}",
        "" if options else spec.description,
    ]
