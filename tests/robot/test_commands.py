"""Commands: within bounds whatever is wanted, and the tables that say what is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.envs.factory import make
from rivc.errors import ConfigError, QuantError
from rivc.robot import ActionTable, CommandLimits

real = st.floats(-1e6, 1e6)


@st.composite
def limits(draw: st.DrawFn, size: int = 3) -> CommandLimits:
    rest = np.array(draw(st.lists(real, min_size=size, max_size=size)))
    below, above = (
        np.array(draw(st.lists(st.floats(0, 1e6), min_size=size, max_size=size))) for _ in range(2)
    )
    rate = draw(st.lists(st.floats(1e-3, 1e6), min_size=size, max_size=size) | st.just([]))
    bounds: list[Any] = [tuple(v.tolist()) for v in (rest - below, rest + above)]
    return CommandLimits(*bounds, tuple(rate), tuple(rest.tolist()))


@given(
    limits=limits(),
    wanted=st.lists(st.tuples(*[st.floats(allow_nan=False)] * 3), min_size=1, max_size=10),
    dt_s=st.floats(0, 1),
)
def test_commands_stay_within_bounds_and_change_no_faster_than_allowed(
    limits: CommandLimits, wanted: list[tuple[float, ...]], dt_s: float
) -> None:
    held = np.array(limits.rest)
    for target in wanted:
        bounded = limits.bound(target, held, dt_s)
        assert (np.array(limits.low) <= bounded).all()
        assert (bounded <= np.array(limits.high)).all()
        if limits.rate:
            reach = np.array(limits.rate) * dt_s
            assert (bounded >= held - reach).all()
            assert (bounded <= held + reach).all()
        held = bounded


def test_a_command_within_reach_is_left_alone() -> None:
    limits = CommandLimits((-1.0, -1.0), (1.0, 1.0), rate=(10.0, 10.0))
    assert limits.bound([0.25, -0.5], [0.0, 0.0], 0.1).tolist() == [0.25, -0.5]


@pytest.mark.parametrize("target", [[0.0], [0.0, float("nan")], [[0.0, 0.0]]])
def test_a_command_of_another_shape_or_of_nan_is_refused(target: list[Any]) -> None:
    with pytest.raises(QuantError, match="2 numbers"):
        CommandLimits((-1.0, -1.0), (1.0, 1.0)).bound(target, [0.0, 0.0], 0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": (), "high": ()},
        {"low": (0.0, 0.0)},
        {"low": (-np.inf,)},
        {"low": (2.0,), "high": (1.0,)},
        {"low": (0.5,)},
        {"rate": (0.0,)},
        {"rate": (np.nan,)},
        {"rate": (np.inf,)},
        {"rate": (1.0, 1.0)},
        {"rest": (3.0,)},
        {"rest": (np.nan,)},
        {"high": 1.0},
        {"high": None},
        {"low": ("slow",)},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CommandLimits(**({"low": (-1.0,), "high": (1.0,)} | wrong))


def test_limits_may_be_lists_or_arrays() -> None:
    plain = CommandLimits((-1.0, -2.0), (1.0, 2.0), rate=(3.0, 4.0))
    assert CommandLimits([-1, -2], np.array([1, 2]), rate=[3, 4]) == plain  # type: ignore[arg-type]


def test_a_rest_of_another_length_than_the_actions_is_refused() -> None:
    with pytest.raises(ConfigError, match="rest of 3 numbers, actions of 2"):
        ActionTable.rows([[0.0, 0.0], [1.0, 0.0]]).limits(rest=(0.0, 0.0, 0.0))


@given(st.data())
def test_a_command_is_the_sum_of_what_each_group_chose(data: st.DataObject) -> None:
    d, n, m = (data.draw(st.integers(1, 4)) for _ in range(3))
    vectors = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-9, 9, (d, n, m))
    chosen = data.draw(st.lists(st.integers(0, n - 1), min_size=d, max_size=d))
    table = ActionTable(vectors.astype(np.float64))
    assert (
        table.command(chosen).tolist() == sum(vectors[j, a] for j, a in enumerate(chosen)).tolist()
    )
    fitting = table.limits()
    assert table.layout == (d, n)
    assert (fitting.bound(table.command(chosen), fitting.rest, 1) == table.command(chosen)).all()


@pytest.mark.parametrize("bins", [2, 3, 5])
def test_bins_are_the_levels_that_binned_actions_train(bins: int) -> None:
    task = make("Pendulum-v1", bins=bins)
    trained = [np.ravel(task.env.action(np.int64(i))) for i in range(bins)]  # type: ignore[attr-defined]
    task.env.close()
    table = ActionTable.bins(-2.0, 2.0, bins)
    assert [table.command([i]).tolist() for i in range(bins)] == [t.tolist() for t in trained]


@pytest.mark.parametrize(
    "build",
    [
        lambda: ActionTable.rows([]),
        lambda: ActionTable.rows([[1.0], [1.0, 2.0]]),
        lambda: ActionTable.rows([["fast"]]),
        lambda: ActionTable.rows([[float("inf")]]),
        lambda: ActionTable.levels([1.0, 2.0]),
        lambda: ActionTable.levels([["x"]]),
        lambda: ActionTable.bins(-1.0, 1.0, 1),
    ],
)
def test_tables_that_make_no_sense_are_refused(build: Any) -> None:
    with pytest.raises(ConfigError):
        build()


def test_a_table_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        ActionTable.rows([[1.0]]).vectors[0, 0, 0] = 2.0
