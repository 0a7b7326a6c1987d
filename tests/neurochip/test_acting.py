"""One call from an observation to actions: those of the definition, or it says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.neurochip import Actor
from rivc.neurochip.kernels import rows, whole
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, greedy, reference
from tests.emulators import WAYS, actor
from tests.strategies import programs, seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray


def observations(program: SpikingProgram, seed: int, count: int = 8) -> NDArray[Any]:
    """What a program may see: in its ranges, on halves between counts, far outside."""
    encoding, rng = program.encoding, np.random.default_rng(seed)
    shape = count, *encoding.shape
    if encoding.kind == "image":
        return rng.integers(0, 256, shape).astype(np.uint8)
    halves = rng.integers(-4, 2 * encoding.levels + 5, shape) / 2
    seen = np.array(encoding.low) + halves * np.array(encoding.step)
    far = rng.choice([-np.inf, -1e300, 1e300, np.inf], shape)
    return np.where(rng.random(shape) < 0.1, far, seen)


def dense(bias: list[int], layout: tuple[int, int]) -> SpikingProgram:
    """Three features straight to a readout."""
    last = Layer("dense", np.ones((len(bias), 3), np.int8), np.array(bias, np.int32), weight_bits=2)
    encoding = InputEncoding.over_range([-1] * 3, [1] * 3, bit_width=8)
    return SpikingProgram(encoding, (last,), 1.0, layout, "ideal")


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=60)
@given(programs(), seeds, st.sampled_from([np.float32, np.float64]))
def test_it_acts_as_the_definition_does(
    way: str, program: SpikingProgram, seed: int, dtype: Any
) -> None:
    seen = observations(program, seed)
    if program.encoding.kind == "vector":
        with np.errstate(over="ignore"):
            seen = seen.astype(dtype)
    wanted = greedy(reference.run(program, program.encode(seen)))
    act = actor(program, way)
    np.testing.assert_array_equal([act(one) for one in seen], wanted)


@pytest.mark.parametrize("way", WAYS)
def test_the_first_of_equal_actions_of_each_group_is_taken(way: str) -> None:
    act = actor(dense([0, 5, 5, 7, 7, 7, 1, 2, 3], (3, 3)), way)
    assert act(np.zeros(3)).tolist() == [1, 0, 2]


@pytest.mark.parametrize("way", WAYS)
def test_actions_stay_when_others_follow(way: str) -> None:
    program = SpikingProgram(
        InputEncoding.over_range([0] * 2, [1] * 2, bit_width=8),
        (Layer("dense", np.eye(2, dtype=np.int8), np.zeros(2, np.int32), weight_bits=2),),
        1.0,
        (1, 2),
        "ideal",
    )
    act = actor(program, way)
    first, second = act(np.array([1.0, 0.0])), act(np.array([0.0, 1.0]))
    assert (first.tolist(), second.tolist()) == ([0], [1])


@pytest.mark.parametrize("seen", [[1, 0, 1], [0.5, 0.1, 0.2], np.zeros(6, np.float32)[::2]])
def test_lists_integers_and_strided_arrays_are_taken(seen: Any) -> None:
    program = dense([0, 3], (1, 2))
    wanted = greedy(reference.run(program, program.encode(np.asarray(seen)[None])))[0]
    np.testing.assert_array_equal(Actor(program)(seen), wanted)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ([0.0, np.nan, 0.0], "holds NaN"),
        ([0.0, 0.0], "where .3,. was trained"),
        (np.zeros((2, 3)), "counts must be uint8"),
    ],
)
def test_what_is_wrong_with_an_observation_is_said(seen: Any, says: str, way: str) -> None:
    with pytest.raises(QuantError, match=says):
        actor(dense([0, 3], (1, 2)), way)(seen)


@pytest.mark.parametrize("way", ["bytes", "rows"])
def test_nothing_is_compiled_after_it_is_made(way: str) -> None:
    act = actor(dense([0, 3], (1, 2)), way)
    loops: list[Any] = [whole.act_on_vector, rows.act_rows]
    known = [len(loop.signatures) for loop in loops]
    still = np.zeros(3, np.float32)
    still.flags.writeable = False
    for seen in (still, np.zeros(3), np.zeros(6)[::2], [0, 1, 2]):
        act(seen)
    assert [len(loop.signatures) for loop in loops] == known


def test_a_robot_needs_no_torch_for_it() -> None:
    code = "import sys; from rivc.neurochip import Actor; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
