"""`rivc envs`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rivc.cli.output import emit_json, json_option, table, verb

if TYPE_CHECKING:
    from rivc.envs import TaskSpec, Variant


@verb(example="rivc train quickstart --env.id rivc/VisualTracker-v0")
@json_option
def command(as_json: bool) -> None:
    """List the robot tasks.

    Besides these, any Gymnasium id can be trained, and module:id for one that a module registers.
    """
    from rivc.envs import task_specs

    specs = task_specs()
    if as_json:
        emit_json({"envs": [asdict(spec) for spec in specs]})
        return
    rows = [_row(spec, variant) for spec in specs for variant in spec.all_variants()]
    head = ["id", "observes", "actions", "random", "expert", "task"]
    click.echo(table(head, rows, right=["actions", "random", "expert"]))
    click.echo("\nand any Gymnasium id, for example CartPole-v1, or module:id")


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
