"""The loops between the matrix products, compiled; each is one line of the learner's equations.

All of them write into arrays that are handed in. Sums of gradients may be taken in another order
than torch takes them; what the integers are made of is summed in float64, where the order does not
reach the float32 that is kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.compiled import compiled, reordered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]
    Number = Any  # a scalar of either float type

_TINY = 1e-8
_SMALLEST = np.finfo(np.float32).smallest_normal


# -- integers -------------------------------------------------------------------------------


@compiled
def _largest(row: Floats) -> Number:
    """Return the largest magnitude, found as an integer: the bits of floats sort like them."""
    bits, largest = row.view(np.int32), 0
    for i in range(len(bits)):
        largest = max(largest, bits[i] & np.int32(0x7FFFFFFF))
    return np.int32(largest).view(np.float32)


@reordered
def _sum_of_squares(row: Floats) -> Number:
    total = 0.0
    for i in range(len(row)):
        total += np.float64(row[i]) * np.float64(row[i])
    return total


@reordered
def _sum_of_magnitudes(row: Floats) -> Number:
    total = 0.0
    for i in range(len(row)):
        total += np.float64(abs(row[i]))
    return total


@compiled
def _step_of(row: Floats, grid: tuple[int, float]) -> Number:
    """Return the real value of one weight step; see `rivc.quant.qat.integers.weight_scale`."""
    q_max, gaussian_step = grid
    if gaussian_step == 0.0:  # binary
        scale = _sum_of_magnitudes(row) / len(row)
    else:
        spread = math.sqrt(_sum_of_squares(row)) * (gaussian_step / len(row) ** 0.5)
        scale = min(np.float64(_largest(row)) / q_max, spread)
    return np.float32(max(scale, _TINY))


@compiled
def weight_scales(weight: Floats, grid: tuple[int, float], per_tensor: bool, scale: Floats) -> None:
    """Fit the step of each channel, [C], or one for all."""
    if per_tensor:
        step = _step_of(weight.ravel(), grid)
        for c in range(len(scale)):
            scale[c] = step
    else:
        for c in range(len(weight)):
            scale[c] = _step_of(weight[c], grid)


@reordered
def _quantize_row(row: Floats, unit: Number, q_max: Number, w_q: Floats) -> Number:
    """Round weights to integers and return their sum, which float32 holds exactly."""
    total = np.float32(0.0)
    for i in range(len(row)):
        w = np.rint(row[i] / unit)
        w = w if w < q_max else q_max
        w = w if w > -q_max else -q_max
        w_q[i] = w
        total += w
    return total


@reordered
def _binarise_row(row: Floats, w_q: Floats) -> Number:
    """Keep the signs of weights and return their sum."""
    total = np.float32(0.0)
    for i in range(len(row)):
        w = np.float32(-1.0) if row[i] < 0 else np.float32(1.0)
        w_q[i] = w
        total += w
    return total


@compiled
def quantize_weights(
    weight: Floats, scale: Floats, grid: tuple[int, float], w_q: Floats, sums: Floats
) -> None:
    """Round weights to integers, [C, I], and sum those of each channel, [C]."""
    q_max, gaussian_step = grid
    for c in range(len(weight)):
        if gaussian_step == 0.0:
            sums[c] = _binarise_row(weight[c], w_q[c])
        else:
            sums[c] = _quantize_row(weight[c], scale[c], np.float32(q_max), w_q[c])


@compiled
def hidden_thresholds(
    bias: Floats, steps: tuple[float, float], sums: Floats, scale: Floats, limits: Any, q: Floats
) -> None:
    """Derive thresholds and offsets of a spiking layer.

    Args:
        bias: latent, [C].
        steps: value of one emitted and of one received count.
        sums: of the integer weights, [C].
        scale: of the weights, [C].
        limits: 2^F, count that stands for zero, least and largest threshold, largest bias.
        q: threshold and offset, written, [2, C].
    """
    step, step_in = steps
    gain, zero, least, largest, room = limits
    for c in range(len(bias)):
        ideal = step / (np.float64(scale[c]) * step_in) * gain
        threshold = min(max(np.rint(ideal), least), largest)
        real = np.float64(bias[c]) * threshold / step - gain * zero * sums[c]
        q[0, c] = threshold
        q[1, c] = np.rint(min(max(real, -room), room)) + np.floor(threshold / 2)


@compiled
def readout_bias(
    bias: Floats, unit: float, sums: Floats, limits: tuple[float, float], q: Floats
) -> None:
    """Derive the integer biases of a readout, [C]; limits are the zero and the largest bias."""
    zero, room = limits
    for c in range(len(bias)):
        q[c] = min(max(np.rint(np.float64(bias[c]) / unit - zero * sums[c]), -room), room)


@compiled
def fill(x: Floats, value: Number) -> None:
    """Set all numbers of a vector."""
    for i in range(len(x)):
        x[i] = value


@compiled
def sum_rows(x: Floats, total: Floats) -> None:
    """Add the sum over the rows, [C]."""
    for b in range(len(x)):
        for c in range(len(total)):
            total[c] += x[b, c]


# -- targets and losses ---------------------------------------------------------------------


@compiled
def _soft_maximum(q: Floats, tau: float) -> Number:
    """Return the soft maximum of one group, [n]."""
    best = q[0]
    for value in q:  # numba's own maximum takes as long as all the rest
        best = max(best, value)
    if tau == 0.0:
        return best
    total = np.float32(0.0)
    for value in q:  # most of the time is the exponential's, and one of them is known
        total += math.exp(np.float32((value - best) / tau)) if value != best else np.float32(1.0)
    return best + np.float32(tau) * math.log(total)


@compiled
def _shortfall(q_online: Floats, q_target: Floats, tau: float, own: float) -> Number:
    """Return the value of the online policy under the target network less `own`, one group."""
    if tau == 0.0:
        return q_target[q_online.argmax()] - own
    normaliser = _soft_maximum(q_online, tau)
    total = np.float32(0.0)
    for i in range(len(q_online)):
        tau_log_pi = q_online[i] - normaliser
        total += math.exp(np.float32(tau_log_pi / tau)) * (q_target[i] - tau_log_pi)
    return total - own


@compiled
def bellman_targets(
    q_now: Floats, q_next: Floats, q_online: Floats, batch: Any, numbers: Any, y: Floats
) -> None:
    """Compute Bellman targets, [B]; see `rivc.train.operators`.

    Args:
        q_now: target network's values of the states, [B, d, n].
        q_next: and of what follows.
        q_online: the network's values of what follows; only read with double Q.
        batch: actions, [B, d]; scaled rewards, [B]; discounts, [B].
        numbers: temperature, alpha, its clip, and whether the online network chooses.
        y: written.
    """
    action, reward, discount = batch
    tau, gap_coef, gap_clip, is_double = numbers
    d = q_now.shape[1]
    for b in range(len(y)):
        value, lead = np.float32(0.0), np.float32(0.0)
        for j in range(d):
            own = _soft_maximum(q_next[b, j], d * tau)
            value += own
            if is_double:
                fall = _shortfall(q_online[b, j], q_next[b, j], d * tau, own)
                value += np.float32(1.0 - gap_coef) * fall
            if gap_coef > 0:
                lead += q_now[b, j, action[b, j]] - _soft_maximum(q_now[b, j], d * tau)
        y[b] = reward[b] + discount[b] * (value / d)
        if gap_coef > 0:
            y[b] += np.float32(gap_coef) * min(max(lead / d, np.float32(gap_clip)), np.float32(0))


@compiled
def td_gradient(q: Floats, action: Any, y: Floats, delta: float, grad: Floats) -> Number:
    """Write the gradient of the Huber loss for the values, [B, d, n], and return the loss."""
    count, d, n = q.shape
    loss = 0.0
    for b in range(count):
        total = np.float32(0.0)
        for j in range(d):
            total += q[b, j, action[b, j]]
        error = total / d - y[b]
        size = abs(error)
        loss += 0.5 * error * error / delta if size < delta else size - 0.5 * delta
        for j in range(d):
            for i in range(n):
                grad[b, j, i] = 0
            grad[b, j, action[b, j]] = min(max(error / delta, -1.0), 1.0) / (count * d)
    return loss / count


@compiled
def add_margin_gradient(
    q: Floats, q_target: Floats, room: float, coef: float, grad: Floats
) -> Number:
    """Add the gradient of `coef` times the margin loss, and return the loss without it.

    Rivals that are level share the gradient, as they do in torch.
    """
    count, d, n = q.shape
    loss, share = 0.0, coef / (count * d)
    for b in range(count):
        for j in range(d):
            best = q_target[b, j].argmax()
            rival, level = np.float32(-np.inf), 0
            for i in range(n):
                if i != best and q[b, j, i] >= rival:
                    level = level + 1 if q[b, j, i] == rival else 1
                    rival = q[b, j, i]
            short = np.float32(room) - (q[b, j, best] - rival)
            if short < 0:
                continue
            loss += short
            grad[b, j, best] -= share
            for i in range(n):
                if i != best and q[b, j, i] == rival:
                    grad[b, j, i] += share / level
    return loss / (count * d)


# -- optimizer ------------------------------------------------------------------------------


@compiled
def norm(x: Floats) -> Number:
    """Return the Euclidean norm of a vector."""
    return math.sqrt(_sum_of_squares(x))


@compiled
def adam(p: Floats, grad: Floats, m: Floats, v: Floats, rate: tuple[float, float, float]) -> None:
    """Take a step of Adam (Kingma and Ba, 2015) with betas 0.9 and 0.999.

    Moments of weights that nothing reaches fall until floats lose digits, where processors are many
    times slower, and stay there for ever; they become 0 instead.

    Args:
        p: parameters, [P].
        grad: of the loss, [P].
        m: first moments, [P].
        v: second moments, [P].
        rate: factor on the gradient; learning rate over the first, and one over the square root of
            the second bias correction.
    """
    scale, step, root = np.float32(rate[0]), np.float32(rate[1]), np.float32(rate[2])
    for i in range(len(p)):
        g = grad[i] * scale
        first = m[i] + np.float32(0.1) * (g - m[i])
        first = first if abs(first) > _SMALLEST else np.float32(0)
        second = np.float32(0.999) * v[i] + np.float32(0.001) * g * g
        second = second if second > _SMALLEST else np.float32(0)
        p[i] -= step * first / (np.sqrt(second) * root + np.float32(1e-8))
        m[i] = first
        v[i] = second
