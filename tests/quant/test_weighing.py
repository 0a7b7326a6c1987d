"""Weighted sums of bytes and floats are those of numpy, and so is the gradient of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from numba import njit
from numba.core.errors import TypingError

from rivc.quant import lanes as registers
from rivc.quant import weighing
from rivc.quant.lanes import LANES
from rivc.quant.windows import gather, pad, windows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers = NDArray[Any]

GUARD = -7  # what lies behind the sums must stay
KINDS = {"bytes": np.uint8, "floats": np.float32}


class Case(NamedTuple):
    """Pictures, what describes their windows, these as rows, and integer weights, [C, I]."""

    x: Numbers
    windows: Any
    rows: Numbers
    weight: NDArray[np.int8]


def numbers(seed: int, *shape: int) -> tuple[NDArray[np.uint8], np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, shape).astype(np.uint8), rng


def packed(weight: NDArray[np.int8], lines: int, kind: str) -> Numbers:
    """Weights as sums over such numbers take them; beyond the last unit may be anything."""
    each = 4 if kind == "bytes" else 1
    shape = weighing.packed_shape(lines, weight.shape[1] // lines, len(weight), each)
    if kind == "floats":
        words = np.full(shape, np.nan, np.float32)
        words[:, : len(weight)] = weight.T
        return words
    words = np.full(shape, -1, np.int32)
    weighing.pack(weight.astype(np.float32), lines, words)
    return words


def guarded(*shape: int, kind: str) -> tuple[Numbers, Numbers]:
    """Return room for sums with a guard behind it, and the guard."""
    size = int(np.prod(shape))
    room = np.full(size + LANES, GUARD, kind)
    return room[:size].reshape(shape), room[size:]


@st.composite
def dense_cases(draw: Callable[..., Any]) -> Case:
    rows, inputs, units = (draw(st.integers(*ends)) for ends in ((0, 19), (1, 70), (1, 70)))
    x, rng = numbers(rows, rows, inputs)
    return Case(x, windows_of((inputs,)), x, weights(rng, units, inputs))


@st.composite
def picture_cases(draw: Callable[..., Any]) -> Case:
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    planes, units = draw(st.sampled_from([1, 2, 3, 16, 20])), draw(st.integers(1, 40))
    high, wide = draw(st.integers(kernel, 11)), draw(st.integers(kernel, 25))
    top, left, bottom, right = (draw(st.integers(0, kernel - 1)) for _ in range(4))
    x, rng = numbers(high, draw(st.integers(1, 3)), high, wide, planes)
    around = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    every = np.lib.stride_tricks.sliding_window_view(around, (kernel, kernel), (1, 2))
    rows = every[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    rows = rows.reshape(-1, kernel * kernel * planes)
    windows = windows_of((high, wide, planes), (kernel, kernel), stride, (top, left, bottom, right))
    return Case(x, windows, rows, weights(rng, units, rows.shape[1]))


def weights(rng: np.random.Generator, units: int, inputs: int) -> NDArray[np.int8]:
    return rng.integers(-127, 128, (units, inputs)).astype(np.int8)


def padded(case: Case, kind: str) -> Numbers:
    """The pictures of a case as sums take them, with nothing but the slack behind."""
    size = len(case.x) * int(case.windows["padded_lines"] * case.windows["padded_length"])
    room = np.full(size + (weighing.SLACK if kind == "bytes" else 0), 255, KINDS[kind])
    pad(case.x.ravel().astype(KINDS[kind]), case.windows, room)
    assert (room[size:] == 255).all()
    return room


@pytest.mark.parametrize(
    ("kind", "sums_kind"), [("bytes", "int32"), ("bytes", "float32"), ("floats", "float32")]
)
@settings(max_examples=60, deadline=None)
@given(case=st.one_of(dense_cases(), picture_cases()))
def test_sums_are_those_of_integers(kind: str, sums_kind: str, case: Case) -> None:
    sums, guard = guarded(len(case.rows), len(case.weight), kind=sums_kind)
    words = packed(case.weight, int(case.windows["kernel"]), kind)
    weighing.weigh(padded(case, kind), case.windows, words, sums)
    np.testing.assert_array_equal(sums, case.rows.astype(np.int64) @ case.weight.T.astype(np.int64))
    assert (guard == GUARD).all()


@settings(max_examples=30, deadline=None)
@given(case=picture_cases())
def test_windows_are_gathered_in_the_order_of_weights(case: Case) -> None:
    gathered = np.zeros_like(case.rows)
    gather(case.x.ravel(), case.windows, gathered)
    np.testing.assert_array_equal(gathered, case.rows)


@pytest.mark.parametrize("units", [5, 16, 33, 70])
def test_a_row_of_floats_has_the_same_sums_in_any_company(units: int) -> None:
    """Bit for bit, which lets a learner keep what its target network said of a state."""
    rng = np.random.default_rng(units)
    x = rng.standard_normal((23, 40)).astype(np.float32)
    words = np.zeros(weighing.packed_shape(1, 40, units, 1), np.float32)
    words[:, :units] = rng.standard_normal((40, units))
    windows, together = windows_of((40,)), np.empty((len(x), units), np.float32)
    weighing.weigh(x.ravel(), windows, words, together)
    np.testing.assert_allclose(together, x @ words[:, :units], rtol=1e-4, atol=1e-4)
    for first, count in ((0, 1), (3, 1), (5, 4), (9, 8), (13, 9)):
        sums = np.empty((count, units), np.float32)
        weighing.weigh(x[first : first + count].ravel(), windows, words, sums)
        np.testing.assert_array_equal(sums, together[first : first + count])


@settings(max_examples=60, deadline=None)
@given(case=st.one_of(dense_cases(), picture_cases()))
def test_the_gradient_of_weights_is_a_product_with_windows(case: Case) -> None:
    rng = np.random.default_rng(len(case.rows))
    of_sums = rng.integers(-4, 5, (len(case.rows), len(case.weight))).astype(np.float32)
    grad, guard = guarded(*case.weight.shape, kind="float32")
    grad[:] = case.weight
    weighing.add_outer(of_sums, padded(case, "floats"), case.windows, grad)
    expected = case.weight + of_sums.T.astype(np.int64) @ case.rows.astype(np.int64)
    np.testing.assert_array_equal(grad, expected)
    assert (guard == GUARD).all()


@pytest.mark.parametrize(
    "lanes",
    sorted({0, registers.instruction_lanes()} | ({8} if weighing.BYTES_ARE_FAST else set())),
)
def test_sums_are_the_same_with_each_instruction(
    lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registers, "instruction_lanes", lambda: lanes)

    @njit(error_model="numpy")
    def add(x: Any, words: Any, sums: Any) -> None:
        total = registers.zeros(words)
        for k in range(len(x) // 4):
            four, some = registers.spread(x, 4 * k), registers.weights(words, k * LANES)
            total = registers.dot(total, four, some)
        registers.store(total, sums, 0, len(sums))

    x = np.array([255, 255, 255, 255, 1, 2, 3, 0], np.uint8)
    weight = np.random.default_rng(0).integers(-128, 128, (2, LANES, 4)).astype(np.int8)
    weight[0] = -128  # sums beyond int16
    sums = np.full(11, GUARD, np.int32)
    add(x, weight.view(np.int32).ravel(), sums)
    expected = np.einsum("wk,wuk->u", x.reshape(2, 4).astype(np.int64), weight.astype(np.int64))
    np.testing.assert_array_equal(sums, expected[:11])
    assert ("vpdpbusd" in next(iter(add.inspect_asm().values()))) == (lanes > 0)


@pytest.mark.parametrize("sums", [np.zeros((1, 2)), np.zeros((1, 4), np.int32)[:, ::2]])
def test_arrays_that_would_be_read_wrongly_are_refused(sums: Numbers) -> None:
    x, words = np.zeros(2 + weighing.SLACK, np.uint8), np.zeros((1, weighing.WIDE), np.int32)
    with pytest.raises(TypingError):
        weighing.weigh(x, windows_of((2,)), words, sums)


@pytest.mark.parametrize("features", [{"avx512vnni": True}, {"avxvnni": True}, {}])
def test_the_instruction_is_that_of_the_processor(
    features: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registers.binding, "get_host_cpu_features", lambda: features)
    for name, value in {"CPU_NAME": None, "CPU_FEATURES": None, "ENABLE_AVX": 1}.items():
        monkeypatch.setattr(registers.config, name, value)
    lanes = 16 if "avx512vnni" in features else 8 if features else 0
    assert registers.instruction_lanes() == lanes
    monkeypatch.setattr(registers.config, "CPU_NAME", "generic")
    assert registers.instruction_lanes() == 0
