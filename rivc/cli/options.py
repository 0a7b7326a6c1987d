"""Every setting of a run as an option, made from the configuration itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import click
import yaml
from click.core import ParameterSource

from rivc.train.config import config_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

OVERRIDES: Final = "rivc.overrides"


class ConfigCommand(click.Command):
    """A command with one option for every field of the configuration.

    What was given stands in ``ctx.meta[OVERRIDES]``, by dotted key. A field that holds a mapping
    also takes its keys one by one: ``--env.kwargs.size 64``.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the verb's own parameters and the settings."""
        return [*super().get_params(ctx), *config_options()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the keys of mappings out, and let click parse the rest."""
        rest, below = _split(ctx, args)
        ctx.meta[OVERRIDES] = {}
        unparsed = super().parse_args(ctx, rest)
        ctx.meta[OVERRIDES] |= below
        return unparsed

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verb's own options first, then the settings section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(_section(param), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


@cache
def config_options() -> tuple[click.Option, ...]:
    """Return an option for every setting."""
    return tuple(_option(key, field) for key, field in config_fields().items())


def _split(ctx: click.Context, args: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The words that are for click, and the values given for keys of mappings."""
    mappings = tuple(
        f"--{key}." for key, field in config_fields().items() if field.default_factory is dict
    )
    rest: list[str] = []
    below: dict[str, Any] = {}
    words = iter(args)
    for word in words:
        if not word.startswith(mappings):
            rest.append(word)
            continue
        option, has_value, value = word.partition("=")
        text = value if has_value else next(words, None)
        if text is None:
            raise click.BadOptionUsage(option, f"Option {option!r} requires an argument.", ctx)
        below[option.removeprefix("--")] = parse_value(text, option, ctx)
    return rest, below


def _section(option: click.Option) -> str:
    if option not in config_options():
        return "Options"
    section = option.opts[0].removeprefix("--").rpartition(".")[0]
    return f"Settings of {section or 'the run'}"


def _option(key: str, field: FieldInfo) -> click.Option:
    description = (field.description or "").rstrip(".")
    default = yaml.safe_dump(
        field.get_default(call_default_factory=True), default_flow_style=True, allow_unicode=True
    )
    return click.Option(
        [key.replace(".", "__"), f"--{key}"],
        type=str,
        metavar="VALUE",
        help=f"{description}.  [{default.partition(chr(10))[0]}]",
        expose_value=False,
        callback=_remember(key, is_text=field.annotation is str),
    )


def _remember(key: str, *, is_text: bool) -> Callable[[click.Context, click.Parameter, str], None]:
    """The callback that notes a value that was given."""

    def callback(ctx: click.Context, param: click.Parameter, value: str) -> None:
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
            ctx.meta[OVERRIDES][key] = value if is_text else parse_value(value, f"--{key}", ctx)

    return callback


def parse_value(text: str, option: str, ctx: click.Context) -> object:
    """Return a value as YAML reads it: ``3``, ``0.5``, ``.inf``, ``false``, ``[64, 64]``."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", error)
        raise click.BadParameter(f"{text!r} is not YAML: {problem}", ctx, None, option) from error
