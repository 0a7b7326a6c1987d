r"""States that tell forms of a program apart: noise, corners, thresholds and ties.

A form that rounds, saturates or breaks ties in its own way agrees with the definition on almost
every random state. These are the others:

- extremes: no input at all, every input at its maximum;
- saturation: the inputs that drive one neuron of the first layer as far as they can, both ways;
- boundary: a membrane v exactly at k thresholds, where the k-th spike just comes, or one below it,

.. math:: v = 2^F z + B + \lfloor th / 2 \rfloor, \quad v = k \, th \;\text{or}\; v = k \, th - 1

- ties: two actions of one group with the same greatest readout.

The first layer is solved for its boundaries; deeper ones are searched among random states. A kind
that the weights do not allow is left out.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.neurochip.emulator import Emulator
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rivc.quant.encoding import InputEncoding
    from rivc.snn_convert import Layer, SpikingProgram

    Counts = NDArray[np.uint8]

POOL: Final = {
    "image": 192,
    "vector": 1024,
}  # random states that deeper boundaries and ties are sought in
PER_KIND: Final = 8  # states kept for each layer and side of a threshold
NEURONS: Final = 16  # of the first layer, driven to saturation
SOLVED: Final = 24  # boundaries of the first layer that are solved for
TRIES: Final = 8
TIES: Final = 16
AT_ONCE: Final = 16  # states that are traced at once: sums of a large picture fill the memory


def random_states(encoding: InputEncoding, count: int, rng: np.random.Generator) -> Counts:
    """Return random counts, uint8, [count, *shape], in equal parts of four kinds.

    Uniform noise; faint deviations from one level, as a robot at rest sees; sparse inputs; and, for
    images, areas of one colour, so that convolutions meet edges instead of noise alone.
    """
    kinds = (_uniform, _faint, _sparse, _areas if encoding.kind == "image" else _faint)
    states = np.empty((count, *encoding.shape), np.uint8)
    for i in range(count):
        states[i] = kinds[i % len(kinds)](encoding, rng)
    return states


def _uniform(encoding: InputEncoding, rng: np.random.Generator) -> NDArray[Any]:
    return rng.integers(encoding.levels + 1, size=encoding.shape)


def _faint(encoding: InputEncoding, rng: np.random.Generator) -> NDArray[Any]:
    around = rng.uniform(0.2, 0.8) * encoding.levels
    noise = rng.normal(around, encoding.levels / 8, encoding.shape)
    return np.clip(np.rint(noise), 0, encoding.levels)


def _sparse(encoding: InputEncoding, rng: np.random.Generator) -> NDArray[Any]:
    return _uniform(encoding, rng) * (rng.random(encoding.shape) < rng.uniform(0.05, 0.5))


def _areas(encoding: InputEncoding, rng: np.random.Generator) -> NDArray[Any]:
    height, width, channels = encoding.shape
    size = int(rng.integers(2, 9))
    coarse = rng.integers(
        encoding.levels + 1, size=(-(-height // size), -(-width // size), channels)
    )
    return coarse.repeat(size, 0).repeat(size, 1)[:height, :width]


def hard_states(program: SpikingProgram, rng: np.random.Generator) -> dict[str, Counts]:
    """Return the states by kind, each uint8, [N, *shape], N depending on the program."""
    encoding = program.encoding
    pool = random_states(encoding, POOL[encoding.kind], rng)
    solved = _stack(_solve_first_layer(program, rng), encoding.shape)
    return {
        "extremes": np.stack([np.zeros_like(pool[0]), np.full_like(pool[0], encoding.levels)]),
        "saturation": _stack(_saturate(program, rng), encoding.shape),
        "boundary": _boundaries(program, np.concatenate([solved, pool])),
        "ties": _ties(program, pool, rng),
    }


def _stack(states: Iterator[Counts], shape: tuple[int, ...]) -> Counts:
    return np.array(list(states), np.uint8).reshape(-1, *shape)


# -- thresholds -----------------------------------------------------------------------------


def boundary_sides(layer: Layer, z: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which states put a membrane of the layer exactly at, or one below, a threshold.

    Args:
        layer: spiking.
        z: weighted sums, channels last, [B, ..., out].

    Returns:
        bool, [2, B]: at k thresholds, one below; for any neuron and any k of 1..L.
    """
    threshold = layer.threshold.astype(np.int64)
    v_mem = (z << layer.frac_bits) + layer.bias + threshold // 2

    def meets(v: NDArray[np.int64]) -> NDArray[np.bool_]:
        k, rest = np.divmod(v, threshold)
        hit = (rest == 0) & (k >= 1) & (k <= layer.levels)
        return np.asarray(hit.any(tuple(range(1, v.ndim))))

    return np.stack([meets(v_mem), meets(v_mem + 1)])


def _boundaries(program: SpikingProgram, candidates: Counts) -> Counts:
    """The first few candidates on either side of a threshold, for each layer."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for start in range(0, len(candidates), AT_ONCE):
        states = candidates[start : start + AT_ONCE]
        received = [states.astype(np.int64), *reference.trace(program, states)]
        for i, (layer, x) in enumerate(zip(program.layers, received, strict=False)):
            if layer.levels:
                sides = boundary_sides(layer, reference.weighted(layer, x))
                for side, is_there in enumerate(sides):
                    found[i, side] += (start + np.flatnonzero(is_there)).tolist()
    return candidates[sorted({place for places in found.values() for place in places[:PER_KIND]})]


def _saturate(program: SpikingProgram, rng: np.random.Generator) -> Iterator[Counts]:
    """Drive single neurons of the first layer as high and as low as inputs can."""
    layer, top = program.layers[0], program.encoding.levels
    place = _receptive_field(program)
    if place is None:
        return
    for weight in rng.permutation(_rows(layer))[:NEURONS]:
        for excited in (weight > 0, weight < 0):
            yield place(np.where(excited, top, 0), np.zeros(program.encoding.shape, np.uint8))


def _solve_first_layer(program: SpikingProgram, rng: np.random.Generator) -> Iterator[Counts]:
    """Inputs that put a neuron of the first layer at a threshold or one below."""
    layer, encoding = program.layers[0], program.encoding
    place = _receptive_field(program)
    if place is None or not layer.levels:
        return
    rows = _rows(layer)
    for below in (0, 1):
        neurons, sums = _targets(layer, rows, encoding.levels, below)
        for i in rng.permutation(len(sums))[:SOLVED]:
            field = _reach(rows[neurons[i]], int(sums[i]), encoding.levels, rng)
            if field is not None:
                yield place(field, random_states(encoding, 1, rng)[0])


def _targets(
    layer: Layer, rows: NDArray[np.int64], levels_in: int, below: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neurons, and the weighted sums that put them `below` under a threshold."""
    threshold = layer.threshold.astype(np.int64)
    k = np.arange(1, layer.levels + 1)
    drive = k * threshold[:, None] - below - (layer.bias + threshold // 2)[:, None]  # [out, L]
    low, high = (np.clip(s * rows, 0, None).sum(1) * s * levels_in for s in (-1, 1))
    z = drive >> layer.frac_bits
    possible = (drive % (1 << layer.frac_bits) == 0) & (z >= low[:, None]) & (z <= high[:, None])
    neurons, spikes = np.nonzero(possible)
    return neurons, z[neurons, spikes]


def _reach(
    weight: NDArray[np.int64], z: int, levels: int, rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Counts whose weighted sum is `z`: random ones, corrected from the largest weight down."""
    order = np.argsort(-np.abs(weight), kind="stable")
    order = order[weight[order] != 0]
    for _ in range(TRIES):
        x = rng.integers(levels + 1, size=len(weight))
        rest = z - int(x @ weight)
        for j in order:
            w, count = int(weight[j]), int(x[j])
            step = min(max(round(rest / w), -count), levels - count)
            x[j] += step
            rest -= step * w
        if rest == 0 or (
            len(order) > 1 and _settle(x, weight, rest, levels, rng.permutation(order)[:2])
        ):
            return x
    return None


def _settle(
    x: NDArray[np.int64], weight: NDArray[np.int64], rest: int, levels: int, pair: NDArray[np.int64]
) -> bool:
    """Change two counts in place so that the weighted sum grows by `rest`, if that can be done."""
    i, j = pair
    change = np.arange(levels + 1) - x[i]
    other, left = np.divmod(rest - weight[i] * change, weight[j])
    possible = np.flatnonzero((left == 0) & (other >= -x[j]) & (other <= levels - x[j]))
    if not len(possible):
        return False
    x[i] += change[possible[0]]
    x[j] += other[possible[0]]
    return True


def _rows(layer: Layer) -> NDArray[np.int64]:
    """The weights of each neuron or filter as one row, channels last like its inputs."""
    weight = layer.weight.astype(np.int64)
    return (weight.transpose(0, 2, 3, 1) if layer.kind == "conv2d" else weight).reshape(
        len(weight), -1
    )


def _receptive_field(program: SpikingProgram) -> Callable[[NDArray[Any], Counts], Counts] | None:
    """How to write the inputs of one first-layer neuron into a state; None if nothing can."""
    layer, shape = program.layers[0], program.encoding.shape
    if layer.kind == "dense":
        return lambda field, _: field.astype(np.uint8)
    if layer.kind != "conv2d":
        return None
    kernel = layer.weight.shape[2:]
    corner = [_inside(layer.padding[i], layer.stride, shape[i], kernel[i]) for i in (0, 1)]
    if min(corner) < 0:
        return None
    window = tuple(slice(start, start + size) for start, size in zip(corner, kernel, strict=True))

    def place(field: NDArray[Any], state: Counts) -> Counts:
        state[window] = field.reshape(*kernel, shape[2])
        return state

    return place


def _inside(pad: int, stride: int, size: int, kernel: int) -> int:
    """Where a window without padding near the middle of an axis starts; -1 if there is none."""
    starts = [s for s in range(-pad, size - kernel + 1, stride) if s >= 0]
    return starts[len(starts) // 2] if starts else -1


# -- ties -----------------------------------------------------------------------------------


def has_tie(readout: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which states have two greatest readouts in any group, [B, d, n] -> [B]."""
    if readout.shape[2] < 2:
        return np.zeros(len(readout), np.bool_)
    best = np.sort(readout, axis=2)[:, :, -2:]
    return np.asarray((best[:, :, 0] == best[:, :, 1]).any(1))


def _ties(program: SpikingProgram, pool: Counts, rng: np.random.Generator) -> Counts:
    """States with ties: among the pool, and where the greedy action changes between two of it."""
    run = _quick_form(program)

    def actions(x: Counts) -> NDArray[np.int64]:
        return greedy(run(x))

    one, other = pool, pool[rng.permutation(len(pool))]
    seen = [pool]
    for _ in range(program.encoding.bit_width):  # halve the way between the two actions
        middle = ((one.astype(np.int64) + other) // 2).astype(np.uint8)
        seen.append(middle)
        same = (actions(middle) == actions(one)).all(1).reshape(-1, *[1] * (pool.ndim - 1))
        one, other = np.where(same, middle, one), np.where(same, other, middle)
    for _ in range(TRIES):  # what is left between them are single counts: take some of either
        seen.append(np.where(rng.random(one.shape) < rng.random(), one, other))
    ties = [states[has_tie(run(states))] for states in seen]
    return np.unique(np.concatenate(ties), axis=0)[:TIES]


def _quick_form(program: SpikingProgram) -> Callable[[Counts], NDArray[np.int64]]:
    """The emulator; the definition for membranes that are too wide for it."""
    chip = Emulator()
    if chip.check(program):
        return lambda counts: reference.run(program, counts)
    chip.load(program)
    return lambda counts: chip.infer(counts).readout
