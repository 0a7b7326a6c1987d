"""Facts about the float type that carries a layer's integers: it never rounds one."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rivc.errors import QuantError
from rivc.quant import Carrier, choose_carrier

INT32 = 2**31 - 1

drives = st.one_of(st.integers(0, 1 << 12), st.integers(0, 1 << 26), st.integers(1 << 26, 1 << 44))
levels = st.sampled_from([1, 3, 7, 15, 127, 255])
frac_bits = st.integers(0, 6)
clamps = st.one_of(st.integers(2, 1 << 12), st.just(2**20 - 1), st.just(INT32))


def chosen(drive: int, count: int, fraction: int, th_max: int, b_max: int) -> Carrier:
    return choose_carrier(
        drive=drive, levels=count, frac_bits=fraction, threshold_max=th_max, bias_max=b_max
    )


@given(drives, levels, frac_bits, clamps, clamps, st.data())
def test_no_step_of_the_staircase_ever_rounds(
    drive: int, count: int, fraction: int, th_max: int, b_max: int, data: st.DataObject
) -> None:
    carrier = chosen(drive, count, fraction, th_max, b_max)
    kind = np.dtype(carrier.dtype).type
    ends = (carrier.threshold_max, 2, carrier.threshold_max - 1)
    threshold = data.draw(st.one_of(st.integers(2, carrier.threshold_max), st.sampled_from(ends)))
    assume(threshold >= 2)
    bias = data.draw(st.integers(-carrier.bias_max, carrier.bias_max))
    tie = data.draw(st.integers(0, count + 1)) * threshold - bias - threshold // 2
    z = data.draw(st.integers(-drive, drive))
    near = max(-drive, min(drive, (tie >> fraction) + data.draw(st.integers(-1, 1))))
    for total in (z, near, drive, -drive):
        assert int(np.dtype(carrier.sum_dtype).type(total)) == total
        v_mem = kind(total) * kind(2**fraction) + (kind(bias) + np.floor(kind(threshold) / kind(2)))
        exact = (total << fraction) + bias + threshold // 2
        assert int(v_mem) == exact
        got = int(np.floor(np.clip(v_mem / kind(threshold), kind(0), kind(count))))
        assert got == min(max(floor(Fraction(exact, threshold)), 0), count)


@given(drives, levels, frac_bits, clamps, clamps)
def test_the_clamps_obey_the_written_bounds(
    drive: int, count: int, fraction: int, th_max: int, b_max: int
) -> None:
    carrier = chosen(drive, count, fraction, th_max, b_max)
    bits = {"float32": 24, "float64": 53}[carrier.dtype]
    worst = (drive << fraction) + carrier.bias_max + carrier.threshold_max
    assert 2 * worst + 1 < 1 << bits
    assert (count + 1) * carrier.threshold_max < 1 << (bits - 1)
    assert carrier.threshold_max >= 2
    assert carrier.bias_max <= b_max


@given(st.integers(0, 1 << 40))
def test_a_readout_holds_every_sum(drive: int) -> None:
    carrier = chosen(drive, 0, 0, INT32, INT32)
    kind = np.dtype(carrier.dtype).type
    for total, bias in ((drive, carrier.bias_max), (-drive, -carrier.bias_max), (drive, -1)):
        assert int(kind(total) + kind(bias)) == total + bias


def test_the_narrow_type_is_taken_wherever_the_bounds_allow() -> None:
    widest = next(
        d for d in range(1 << 17, 1 << 19) if chosen(d, 15, 4, INT32, INT32).dtype == "float64"
    )
    membrane = (widest - 1) << 4
    assert 2 * (membrane + membrane + min(membrane, ((1 << 23) - 1) // 16)) + 1 < 1 << 24


def test_inputs_and_weights_may_stay_narrow_where_the_membrane_may_not() -> None:
    carrier = chosen(1 << 21, 15, 4, INT32, INT32)
    assert (carrier.sum_dtype, carrier.dtype) == ("float32", "float64")


def test_what_not_even_float64_holds_is_refused_with_the_way_out() -> None:
    with pytest.raises(QuantError, match="fewer inputs, narrower weights"):
        chosen(1 << 50, 15, 4, INT32, INT32)


def test_a_type_that_divides_no_threshold_of_the_profile_is_not_taken() -> None:
    carrier = choose_carrier(
        drive=1, levels=255, frac_bits=16, threshold_min=1 << 16, threshold_max=INT32, bias_max=1
    )
    assert carrier.dtype == "float64"
    assert carrier.threshold_max >= 1 << 16
