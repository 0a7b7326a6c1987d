"""Products of bytes are those of integers, with the processor's instruction and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from numba import njit

from rivc.quant import int8, vnni
from rivc.quant.windows import gather, pad, windows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

GUARD = -7  # what lies behind the sums must stay


def numbers(seed: int, *shape: int) -> tuple[NDArray[np.uint8], np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, shape).astype(np.uint8), rng


def packed(weight: NDArray[np.int8], lines: int, kind: type[np.generic]) -> NDArray[np.int32]:
    shape = int8.packed_shape(lines, weight.shape[1] // lines, len(weight))
    words = np.full(shape, -1, np.int32)  # units beyond the last may hold anything
    int8.pack(weight.astype(kind), lines, words)
    return words


def guarded(*shape: int, kind: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return room for sums with a guard behind it, and the guard."""
    size = int(np.prod(shape))
    room = np.full(size + vnni.LANES, GUARD, kind)
    return room[:size].reshape(shape), room[size:]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9), st.integers(1, 70), st.integers(1, 70), st.sampled_from(["int32", "float32"])
)
def test_dense_sums_are_those_of_integers(rows: int, inputs: int, units: int, kind: str) -> None:
    room, rng = numbers(rows, rows * inputs + int8.SLACK)
    x = room[: rows * inputs].reshape(rows, inputs)
    weight = rng.integers(-127, 128, (units, inputs)).astype(np.int8)
    sums, guard = guarded(rows, units, kind=kind)
    int8.weigh(room, windows_of((inputs,)), packed(weight, 1, np.int8), sums)
    np.testing.assert_array_equal(sums, x.astype(np.int64) @ weight.T.astype(np.int64))
    assert (guard == GUARD).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_windows_are_multiplied_where_they_lie(data: st.DataObject) -> None:
    kernel, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    planes, units = data.draw(st.sampled_from([1, 2, 3, 16])), data.draw(st.integers(1, 40))
    high, wide = (data.draw(st.integers(kernel, 11)) for _ in range(2))
    top, left, bottom, right = (data.draw(st.integers(0, kernel - 1)) for _ in range(4))
    count = data.draw(st.integers(1, 3))
    x, rng = numbers(high, count, high, wide, planes)
    weight = rng.integers(-127, 128, (units, kernel * kernel * planes)).astype(np.int8)
    around = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    every = np.lib.stride_tricks.sliding_window_view(around, (kernel, kernel), (1, 2))
    rows = every[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    rows = rows.reshape(-1, kernel * kernel * planes)

    windows = windows_of((high, wide, planes), (kernel, kernel), stride, (top, left, bottom, right))
    gathered = np.zeros_like(rows)
    gather(x.ravel(), windows, gathered)
    np.testing.assert_array_equal(gathered, rows)
    size = count * int(windows["padded_lines"] * windows["padded_length"])
    room = np.full(size + int8.SLACK, 255, np.uint8)
    pad(x.ravel(), windows, room)
    sums, guard = guarded(len(rows), units, kind="int32")
    int8.weigh(room, windows, packed(weight, kernel, np.float32), sums)
    np.testing.assert_array_equal(sums, rows.astype(np.int64) @ weight.T.astype(np.int64))
    assert (guard == GUARD).all()
    assert (room[size:] == 255).all()


@pytest.mark.parametrize(
    "lanes", sorted({0, vnni.instruction_lanes()} | ({8} if int8.IS_FAST else set()))
)
def test_sums_are_the_same_with_each_instruction(
    lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vnni, "instruction_lanes", lambda: lanes)

    @njit(error_model="numpy")
    def add(x: Any, words: Any, sums: Any) -> None:
        total = vnni.zeros()
        for k in range(len(x) // 4):
            total = vnni.dot(total, vnni.spread(x, 4 * k), vnni.weights(words, k * vnni.LANES))
        vnni.store(total, sums, 0, len(sums))

    x = np.array([255, 255, 255, 255, 1, 2, 3, 0], np.uint8)
    weight = np.random.default_rng(0).integers(-128, 128, (2, vnni.LANES, 4)).astype(np.int8)
    weight[0] = -128  # sums beyond int16
    sums = np.full(11, GUARD, np.int32)
    add(x, weight.view(np.int32).ravel(), sums)
    expected = np.einsum("wk,wuk->u", x.reshape(2, 4).astype(np.int64), weight.astype(np.int64))
    np.testing.assert_array_equal(sums, expected[:11])
    assert ("vpdpbusd" in next(iter(add.inspect_asm().values()))) == (lanes > 0)


@pytest.mark.parametrize("features", [{"avx512vnni": True}, {"avxvnni": True}, {}])
def test_the_instruction_is_that_of_the_processor(
    features: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vnni.binding, "get_host_cpu_features", lambda: features)
    lanes = 16 if "avx512vnni" in features else 8 if features else 0
    assert vnni.instruction_lanes() == lanes
    monkeypatch.setattr(vnni.config, "CPU_NAME", "generic")
    assert vnni.instruction_lanes() == 0
