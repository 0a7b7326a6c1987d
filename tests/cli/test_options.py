"""Settings as options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest

from rivc.cli.options import OVERRIDES, ConfigCommand
from rivc.train.config import config_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


def overrides(*words: str) -> dict[str, Any]:
    """What a command line sets."""

    @click.command(cls=ConfigCommand)
    @click.pass_context
    def command(ctx: click.Context) -> dict[str, Any]:
        return dict(ctx.meta[OVERRIDES])

    result: dict[str, Any] = command.main(list(words), standalone_mode=False)
    return result


@pytest.mark.parametrize("key", config_keys())
def test_every_setting_is_an_option_with_a_description(
    key: str, rivc: Callable[..., Result]
) -> None:
    text = rivc("train", "--help").stdout
    [start] = [i for i, line in enumerate(text.splitlines()) if f"  --{key} VALUE" in line]
    assert "".join(text.splitlines()[start : start + 2]).partition("VALUE")[2].strip()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("--seed", "3"), {"seed": 3}),
        (("--train.gap_coef=0.5",), {"train.gap_coef": 0.5}),
        (("--train.gap_clip", "-.inf"), {"train.gap_clip": float("-inf")}),
        (("--quant.enabled", "false"), {"quant.enabled": False}),
        (("--env.bins", "null"), {"env.bins": None}),
        (("--net.hidden", "[64, 32]"), {"net.hidden": [64, 32]}),
        (("--name", "2024"), {"name": "2024"}),
        (("--env.kwargs.size", "64"), {"env.kwargs.size": 64}),
        (("--env.kwargs.size=64",), {"env.kwargs.size": 64}),
        (("--backend.options.a.b", "x"), {"backend.options.a.b": "x"}),
        (
            ("--env.kwargs.size", "64", "--env.kwargs", "{camera: ray}"),
            {"env.kwargs": {"camera": "ray"}, "env.kwargs.size": 64},
        ),
    ],
)
def test_values_are_read_as_yaml(words: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert overrides(*words) == expected
    assert list(overrides(*words)) == list(expected)  # a whole mapping comes before its keys
