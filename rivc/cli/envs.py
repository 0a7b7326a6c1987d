"""`rivc envs`."""

from __future__ import annotations

from dataclasses import asdict

import click

from rivc.cli.output import emit_json, json_option, table, verb


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
    rows = [
        [
            spec.id,
            ", ".join(spec.obs_modes),
            " x ".join(map(str, spec.action_layout)),
            f"{spec.random_return:.1f}",
            f"{spec.expert_return:.1f}",
            spec.description,
        ]
        for spec in specs
    ]
    head = ["id", "observes", "actions", "random", "expert", "task"]
    click.echo(table(head, rows, right=["actions", "random", "expert"]))
    click.echo("\nand any Gymnasium id, for example CartPole-v1, or module:id")
