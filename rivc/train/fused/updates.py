"""Gradient steps, compiled: draw a batch together, compute targets and gradients, step; and again.

As many updates as fall together are one call.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rivc.compiled import compiled, inlined
from rivc.quant.views import matrix, view
from rivc.train.fused.backward import backward
from rivc.train.fused.chain import returned
from rivc.train.fused.forward import derive, forward
from rivc.train.fused.kernels import (
    adam,
    add_margin_gradient,
    bellman_targets,
    norm,
    td_gradient,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.train.fused.chain import Chain
    from rivc.train.replay import Columns, Slots

    Counts = NDArray[np.uint8]
    Floats = NDArray[Any]


class Task(NamedTuple):
    """Numbers of the target, the losses and the optimizer; see `rivc.train.sections`."""

    discount: float
    n_step: int
    reward_scale: float
    temperature: float
    gap_coef: float
    gap_clip: float
    double_q: bool
    huber_delta: float
    margin: float
    margin_coef: float
    max_grad_norm: float
    clipped: int  # leading parameters whose gradient is clipped


class Bench(NamedTuple):
    """Room for one batch.

    Attributes:
        slots: of the states, then of those that followed, [2 B].
        x: counts of the states, then of those that followed, uint8, [2 B, inputs].
        action: [B, d].
        reward: scaled, [B].
        discount: [B].
        y: targets, [B].
        grad_q: gradient of the action values, [B, d, n].
    """

    slots: Slots
    x: Counts
    action: NDArray[np.int64]
    reward: Floats
    discount: Floats
    y: Floats
    grad_q: Floats


class Memory(NamedTuple):
    """Action values of the target network by slot of the replay; a sync forgets them.

    A state has the same sums in any batch, of floats too (`rivc.quant.weighing`), so a value that
    is at hand is the value. Owners are slots plus an offset that each sync moves on beyond all
    slots: to forget is to look for other owners.

    Attributes:
        offset: of the owners since the last sync.
        owner: whose values these are, -1 of none, [capacity].
        values: [capacity, d * n].
        x: room for counts of states that are not at hand, uint8, [2 B, inputs].
        absent: and for their slots, [2 B].
        q: values of a batch, [2 B, d, n].
    """

    offset: int
    owner: Slots
    values: Floats
    x: Counts
    absent: Slots
    q: Floats


@inlined
def put_together(columns: Columns, slots: Slots, task: Task, bench: Bench) -> None:
    """Put the transitions of some slots together; see `Replay.sample`."""
    capacity, count = len(columns.following), len(slots)
    for b in range(count):
        at = slots[b] % capacity
        bench.slots[b], slot = slots[b], slots[b]
        for k in range(bench.x.shape[1]):
            bench.x[b, k] = columns.observation[at, k]
        for j in range(bench.action.shape[1]):
            bench.action[b, j] = columns.action[at, j]
        reward, factor = np.float32(0), np.float32(1)
        for _ in range(task.n_step):
            reward += factor * columns.reward[at]
            factor *= np.float32(task.discount)
            is_over = columns.terminated[at]
            slot = columns.following[at]
            at = slot % capacity
            if is_over or columns.following[at] < 0:
                factor *= np.float32(not is_over)
                break
        bench.slots[count + b] = slot
        for k in range(bench.x.shape[1]):
            bench.x[count + b, k] = columns.observation[at, k]
        bench.reward[b] = reward * np.float32(task.reward_scale)
        bench.discount[b] = factor


@inlined
def value(target: Chain, memory: Memory, bench: Bench) -> None:
    """Write the target network's values of a batch to `memory.q`."""
    size, d, n = memory.q.shape
    count, capacity = _find_absent(memory, bench), len(memory.owner)
    if count > 0:
        forward(target, memory.x[:count])
    q, kept = returned(target, count), matrix(memory.q, 0, size, d * n)
    for b in range(count):
        values = memory.values[memory.absent[b] % capacity]
        for k in range(d * n):
            values[k] = q[b, k]
    for b in range(size):
        values = memory.values[bench.slots[b] % capacity]
        for k in range(d * n):
            kept[b, k] = values[k]


@inlined
def _find_absent(memory: Memory, bench: Bench) -> int:
    """Put the states together whose values are not at hand, each once; return how many."""
    count, capacity = 0, len(memory.owner)
    for b in range(len(bench.slots)):
        slot = bench.slots[b]
        at, owner = slot % capacity, slot + memory.offset
        if memory.owner[at] != owner:
            memory.owner[at] = owner
            memory.absent[count] = slot
            for k in range(bench.x.shape[1]):
                memory.x[count, k] = bench.x[b, k]
            count += 1
    return count


@inlined
def losses(
    online: Chain, target: Chain, memory: Memory, task: Task, bench: Bench
) -> tuple[float, float]:
    """Compute both losses of a batch, and leave their gradient for the action values."""
    size, d, n = bench.grad_q.shape
    value(target, memory, bench)
    forward(online, bench.x if task.double_q else bench.x[:size])
    q_target = memory.q
    q = view(online.returned, 0, (2 * size, d, n))
    numbers = task.temperature, task.gap_coef, task.gap_clip, task.double_q
    batch = bench.action, bench.reward, bench.discount
    bellman_targets(q_target[:size], q_target[size:], q[size:], batch, numbers, bench.y)
    td = td_gradient(q[:size], bench.action, bench.y, task.huber_delta, bench.grad_q)
    margin = 0.0
    if task.margin_coef > 0:
        room = task.margin * online.unit[-1]
        margin = add_margin_gradient(
            q[:size], q_target[:size], room, task.margin_coef, bench.grad_q
        )
    return td, margin


@compiled
def learn(  # noqa: PLR0913, PLR0917 (compiled loops hold no objects)
    online: Chain,
    target: Chain,
    memory: Memory,
    moments: Floats,
    columns: Columns,
    slots: Slots,
    task: Task,
    bench: Bench,
    pace: tuple[float, int],
) -> tuple[int, float, float, float]:
    """Take a gradient step for each row of slots, as long as all is finite.

    Args:
        online: the network in training.
        target: the one that values what comes next, its integers derived.
        memory: its values since the last sync.
        moments: of Adam, [2, P].
        columns: the replay.
        slots: [updates, B].
        task: numbers.
        bench: room for a batch.
        pace: learning rate, and updates before these.

    Returns:
        Steps taken; losses and norm of the gradient of the last that was tried.
    """
    rate, before = pace
    td, margin, size = 0.0, 0.0, 0.0
    for k in range(len(slots)):
        derive(online)
        put_together(columns, slots[k], task, bench)
        td, margin = losses(online, target, memory, task, bench)
        backward(online, bench.x[: len(bench.y)], bench.grad_q)
        size = norm(online.grad[: task.clipped])
        if not math.isfinite(size + norm(online.grad[task.clipped :]) + td + margin):
            return k, td, margin, size
        step(online, moments, task, (rate, before + k + 1), size)
    return len(slots), td, margin, size


@inlined
def step(online: Chain, moments: Floats, task: Task, pace: tuple[float, int], size: float) -> None:
    """Take a step of Adam, the gradients of weights and biases clipped to a norm."""
    rate, updates = pace
    first, second = 1.0 - 0.9**updates, 1.0 - 0.999**updates
    factor = min(1.0, task.max_grad_norm / (size + 1e-6))
    numbers = rate / first, 1.0 / math.sqrt(second)
    m, v, c = moments[0], moments[1], task.clipped
    adam(online.values[:c], online.grad[:c], m[:c], v[:c], (factor, *numbers))
    adam(online.values[c:], online.grad[c:], m[c:], v[c:], (1.0, *numbers))
