"""What layers do, as compiled loops over integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.uint8]
    Pair = tuple[int, int]

HOLDS_NAN: Final = -1


@compiled
def add_rows(x: Counts, weight: NDArray[np.int8], sums: NDArray[Any]) -> None:
    """Write x @ weight to sums, [B, out], four rows of weights at a time."""
    loud = np.empty(x.shape[1], np.intp)
    for b in range(x.shape[0]):
        n = 0
        for i in range(x.shape[1]):  # without a branch, which nobody could foretell
            loud[n] = i
            n += min(x[b, i], 1)
        for j in range(weight.shape[1]):
            sums[b, j] = 0
        for k in range(0, n - 3, 4):
            i0, i1, i2, i3 = loud[k], loud[k + 1], loud[k + 2], loud[k + 3]
            x0, x1, x2, x3 = x[b, i0], x[b, i1], x[b, i2], x[b, i3]
            for j in range(weight.shape[1]):
                two = x0 * weight[i0, j] + x1 * weight[i1, j]
                sums[b, j] += two + x2 * weight[i2, j] + x3 * weight[i3, j]
        for k in range(n - n % 4, n):
            i0 = loud[k]
            x0 = x[b, i0]
            for j in range(weight.shape[1]):
                sums[b, j] += x0 * weight[i0, j]


@compiled
def fire(sums: NDArray[Any], frac_bits: int, stairs: NDArray[Any], counts: Counts) -> None:
    """Write the counts of weighted sums, [B, neurons]; see `rivc.neurochip.kernels.stairs`."""
    kind = stairs.dtype.type
    gain, zero = kind(1 << frac_bits), kind(0)
    offset, top, threshold = stairs[0], stairs[1], stairs[2]
    for b in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            v_mem = kind(sums[b, j]) * gain + offset[j]
            counts[b, j] = np.uint8(min(max(v_mem, zero), top[j]) / threshold[j])


@compiled
def pool(x: Counts, window: Pair, corner: Pair, largest: Counts) -> None:
    """Write the largest counts of windows (side, stride) of [B, H, W, C] over zeros."""
    (side, stride), (top, left) = window, corner
    for b in range(x.shape[0]):
        for y in range(largest.shape[1]):
            line = y * stride - top
            for p in range(largest.shape[2]):
                at = p * stride - left
                target = largest[b, y, p]
                for i in range(max(0, line), min(x.shape[1], line + side)):
                    for k in range(max(0, at), min(x.shape[2], at + side)):
                        source = x[b, i, k]
                        for c in range(len(target)):
                            target[c] = max(target[c], source[c])


@compiled
def read_out(
    x: Counts, weight: NDArray[np.int8], bias: NDArray[Any], readout: NDArray[np.int64]
) -> None:
    """Write the readout, [B, out]; weights are [out, in], the type of the bias holds the sums."""
    kind = bias.dtype.type
    for b in range(x.shape[0]):
        for j in range(weight.shape[0]):
            total = bias[j]
            for i in range(x.shape[1]):
                total = kind(total + kind(x[b, i]) * kind(weight[j, i]))
            readout[b, j] = total


@compiled
def add_up(counts: Counts, totals: NDArray[np.int64]) -> None:
    """Write the sum of each row."""
    for b in range(counts.shape[0]):
        total = np.uint32(0)  # of at most 2^24 neurons that emit at most 2^8 - 1
        for j in range(counts.shape[1]):
            total = np.uint32(total + counts[b, j])
        totals[b] = total


@compiled
def encode(observation: NDArray[Any], ranges: NDArray[np.float64], levels: int, x: Counts) -> int:
    """Write the counts of an observation, [features]; return how many lay outside their ranges.

    `ranges` holds the value of count 0 and that of one count, [2, features]. Where a feature is
    NaN, `HOLDS_NAN` is returned, and what is written has no meaning.
    """
    clipped = 0
    for i in range(len(observation)):
        steps = np.rint((observation[i] - ranges[0, i]) / ranges[1, i])
        if np.isnan(steps):
            return HOLDS_NAN
        count = min(max(steps, 0.0), levels)
        clipped += count != steps
        x[i] = np.uint8(count)
    return clipped


@compiled
def encode_rows(
    observations: NDArray[Any], ranges: NDArray[np.float64], levels: int, x: Counts
) -> int:
    """Write the counts of observations, [B, features], as `encode` does of one."""
    clipped = 0
    for b in range(len(observations)):
        found = encode(observations[b], ranges, levels, x[b])
        if found == HOLDS_NAN:
            return found
        clipped += found
    return clipped


@compiled
def choose(readout: NDArray[np.int64], actions: NDArray[np.int64]) -> None:
    """Write the greedy action of each group, the first of equal ones, of one readout."""
    choices = len(readout) // len(actions)
    for group in range(len(actions)):
        best = group * choices
        for j in range(best + 1, (group + 1) * choices):
            if readout[j] > readout[best]:
                best = j
        actions[group] = best - group * choices
