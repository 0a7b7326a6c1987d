"""Where the command line starts and where every error ends.

A verb either returns, leaves with a code of its own, or raises; what it raises becomes one line on
stderr here and nowhere else. `RIVC_DEBUG=1` puts the traceback in front of that line.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from rivc import __version__
from rivc.cli.packages import remedy
from rivc.errors import MissingError, RivcError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

VERBS: Final = {
    "train": "Train a policy through the chip.",
    "resume": "Go on with a run that was stopped.",
    "eval": "Play greedy episodes: FPNN and program side by side.",
    "export": "Write deployment files, golden vectors and a manifest.",
    "publish": "Make a folder for a model hub: program, golden vectors and card.",
    "verify": "Compare every form of a policy, integer by integer.",
    "certify": "Tell what can be promised about a policy on a chip that errs.",
    "cost": "Count operations, bytes and energy of a decision.",
    "compare": "Compare variants over seeds: train a suite, or judge runs.",
    "report": "Write a page about a run, or about the results of a suite.",
    "tune": "Search settings with which a configuration learns well.",
    "stress": "Tell what each disturbance by itself costs a policy.",
    "codec": "Fit and use a feature codec; train what codes to less.",
    "video": "Film a policy at work.",
    "drive": "Drive a robot in closed loop at a fixed rate.",
    "split": "Hold the first layers on the robot and the rest on a server.",
    "demo": "Train, evaluate, verify and film the visual tracker.",
    "bench": "Time rivc against a peer, side by side in one process.",
    "envs": "List the robot tasks.",
    "backends": "List the chips, and what installs a missing one; or prove one of them.",
    "doctor": "Tell what is installed, what is missing, and the remedy.",
}
INTERRUPTED: Final = 130
# Small networks run slower on more threads than one; read by numpy and torch when they are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
UNEXPECTED: Final = 1


class Rivc(click.Group):
    """The group of verbs; knows their names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the verbs, in the order of use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"rivc.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that was asked for, or name the nearest."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"no verb {args[0]!r}{nearest(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with their summaries."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command line and leave with its exit code."""
        settings = {"prog_name": "rivc", **kwargs, "standalone_mode": False}
        _look_here()
        sys.exit(exit_code(partial(super().main, *args, **settings)))


def _look_here() -> None:
    """Let `module:name` be found in the folder that the command is given in, after all others."""
    with suppress(OSError):  # a folder that is gone holds none
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)


def exit_code(work: Callable[[], Any]) -> int:
    """Run something to its end, tell in one line what stopped it, and return the exit code."""
    try:
        code = work()
    except (Exception, KeyboardInterrupt) as error:
        return _tell(*_words(error))
    return code if isinstance(code, int) else 0


def _words(error: BaseException) -> tuple[str, int]:
    """What is told of an error, and the exit code."""
    match error:
        case click.Abort() | KeyboardInterrupt():
            return "interrupted", INTERRUPTED
        case click.UsageError():
            return _usage(error), error.exit_code
        case RivcError():
            return str(error), error.exit_code
        case ModuleNotFoundError(name=str(name)) if remedy(name):
            return f"{name} is not installed: {remedy(name)}", MissingError.exit_code
    hint = "" if _debugging() else "; RIVC_DEBUG=1 shows where"  # a defect, of ours or below
    return f"unexpected {type(error).__name__}: {error}{hint}", UNEXPECTED


def _tell(message: str, code: int) -> int:
    if _debugging():
        traceback.print_exc()
    click.echo(f"rivc: {' '.join(message.split())}", err=True)
    return code


def _debugging() -> bool:
    return os.environ.get("RIVC_DEBUG", "") not in {"", "0"}


def _usage(error: click.UsageError) -> str:
    """What click complains of, in our words."""
    verb = error.ctx.info_name if error.ctx and error.ctx.parent else None
    if isinstance(error, click.NoSuchOption) and error.ctx:
        options = [name for p in error.ctx.command.get_params(error.ctx) for name in p.opts]
        name = error.option_name
        return f"{verb or 'rivc'} has no option {name!r}{nearest(name, options)}"
    message = error.format_message().rstrip(".")
    where = f"{verb}: " if verb else ""
    path = error.ctx.command_path if error.ctx else "rivc"
    return f"{where}{message[:1].lower()}{message[1:]}; see `{path} --help`"


@click.group(
    cls=Rivc,
    name="rivc",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  rivc train quickstart --seed 1",
)
@click.version_option(__version__, message="rivc %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Train robot policies in a neurochip's own integers, and ship them as spiking programs."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Run the command line of this process."""
    cli()


if __name__ == "__main__":
    main()
