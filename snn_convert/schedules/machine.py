"""The state of a circuit while a schedule runs it: membranes, counts, clock, records."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.snn_convert.lossy import Draws
from rivc.snn_convert.reference import check_counts
from rivc.snn_convert.schedules.circuit import plumb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from rivc.snn_convert.lossy import Lossy
    from rivc.snn_convert.schedules.circuit import Circuit, Stage

    Frame = NDArray[Any]  # one number a neuron, [B, *shape]: a spike, its sign, or none

_NO_BOUND: Final = 1 << 62  # above every membrane


@dataclass(frozen=True, slots=True, eq=False)
class SpikingRun:
    """What came of running a program tick by tick.

    The arrays of a layer are those of the neurons that fire. Under a schedule that pools membranes
    (signed, radix) these are the pooled neurons of a layer that pools follow.

    Attributes:
        readout: integers, int64, [B, d, n].
        counts: what each spiking layer had emitted in the end, int64, [B, *shape].
        spike_counts: spikes that each spiking layer emitted, of either sign, int64, [layers, B].
        ticks: latency of each state, int64, [B]; the last of them reads the readout.
        rasters: the spikes of each spiking layer, int8, [T, B, *shape]; empty if not asked for.
        readouts: the readout as it stood after each tick, int64, [T, B, d, n]; likewise.
    """

    readout: NDArray[np.int64]
    counts: tuple[NDArray[np.int64], ...]
    spike_counts: NDArray[np.int64]
    ticks: NDArray[np.int64]
    rasters: tuple[NDArray[np.int8], ...]
    readouts: NDArray[np.int64]


class Neurons:
    """The neurons of one layer, for a batch of states.

    Attributes:
        stage: their constants.
        v_mem: membranes; of a layer whose membranes are pooled, before the pools and the resets.
        count: spikes emitted so far, by worth and sign.
        emitted: spikes emitted so far, by state.
    """

    def __init__(self, stage: Stage, losses: Losses, onward: Neurons | None) -> None:
        self.stage, self._losses, self._onward = stage, losses, onward
        self.v_mem = losses.start(stage)
        # one number until they fire: where the pools act, only the schedule knows
        self.count: NDArray[np.int64] = np.zeros((), np.int64)
        self.emitted = np.zeros(losses.batch, np.int64)
        self._spikes: Frame | None = None
        self._parcel: Frame | None = None

    @property
    def hold(self) -> int:
        """A current that holds every membrane below its threshold."""
        return min(self.stage.reach, self._losses.bound(self.stage))

    @property
    def soma(self) -> NDArray[np.int64]:
        """The membranes that fire where membranes are pooled, [B, *shape]."""
        if not self.stage.pools:
            return self.v_mem
        pooled: NDArray[np.int64] = plumb(self.stage.pools, self.v_mem)
        return pooled - self.count * self.stage.threshold

    def receive(self, frame: Frame, worth: int = 1) -> None:
        """Let a frame of counts or spikes, each of them this often, act on the membranes."""
        if frame.any():
            self.integrate(worth * self.stage.current(frame))

    def integrate(self, current: NDArray[np.int64] | int) -> None:
        """Add to the membranes, in membrane units."""
        self.v_mem += current
        self._losses.clip(self.stage, self.v_mem)

    def fire(self, spikes: Frame) -> None:
        """Emit one spike a neuron that has one; pools take the OR of the tick."""
        self.v_mem -= spikes * self.stage.threshold
        self._emit(spikes, 1)
        self._send(plumb(self.stage.pools, self._losses.drop(spikes)), 1)

    def fire_pooled(self, spikes: Frame, worth: int = 1) -> None:
        """Emit spikes of the soma, each worth so many counts."""
        if not self.stage.pools:
            self.v_mem -= spikes * (worth * self.stage.threshold)
        self._emit(spikes, worth)
        self._send(self._losses.drop(spikes), worth)

    def _emit(self, spikes: Frame, worth: int) -> None:
        self._spikes = spikes
        self.count = self.count + np.multiply(spikes, worth, dtype=np.int64)
        self.emitted += np.count_nonzero(spikes, axis=tuple(range(1, spikes.ndim)))

    def _send(self, frame: Frame, worth: int) -> None:
        if self._parcel is not None:
            self._parcel = self._parcel + frame
        elif self._onward is not None:
            self._onward.receive(plumb(self.stage.flatten, frame), worth)

    @contextmanager
    def sending_at_once(self) -> Iterator[None]:
        """Let all spikes of a block, worth one count each, arrive when it ends: one product."""
        self._parcel = np.zeros((), np.int16)
        yield
        frame, self._parcel = self._parcel, None
        self._send(frame, 1)

    def take_spikes(self) -> Frame | None:
        """Return the spikes of this tick, None if there was no attempt, and forget them."""
        spikes, self._spikes = self._spikes, None
        return spikes


class Losses:
    """What chance and narrow registers do, for a batch of states."""

    def __init__(self, lossy: Lossy, counts: NDArray[np.uint8]) -> None:
        self.batch, self._lossy = len(counts), lossy
        is_random = lossy.membrane_noise or lossy.dropped_spikes
        self._draws = Draws(lossy.seed, counts) if is_random else None

    def start(self, stage: Stage) -> NDArray[np.int64]:
        """Return the membranes before anything arrives."""
        v_mem: NDArray[np.int64] = np.empty((self.batch, *stage.shape), np.int64)
        v_mem[:] = stage.start
        if self._draws is not None and stage.levels:
            u = 2 * self._draws.uniform(stage.shape) - 1
            noise = u * self._lossy.membrane_noise * stage.threshold
            v_mem += 2 * np.rint(noise / 2).astype(np.int64)  # even: no membrane meets a threshold
        return v_mem

    def bound(self, stage: Stage) -> int:
        """Return what the magnitude of a membrane stays below, in its units."""
        bits = self._lossy.membrane_bits
        return _NO_BOUND if bits is None else min(stage.unit << bits, _NO_BOUND)

    def clip(self, stage: Stage, v_mem: NDArray[np.int64]) -> None:
        """Keep membranes within their register, in place."""
        if self._lossy.membrane_bits is not None:
            bound = self.bound(stage)
            np.clip(v_mem, 1 - bound, bound - 1, out=v_mem)

    def drop(self, spikes: Frame) -> Frame:
        """Return the spikes that get through."""
        if self._draws is None or not self._lossy.dropped_spikes:
            return spikes
        kept: Frame = spikes * (self._draws.uniform(spikes.shape[1:]) >= self._lossy.dropped_spikes)
        return kept


class Machine:
    """A circuit with a batch of states in it.

    Attributes:
        circuit: what is run.
        layers: the neurons that fire.
        readout: those that do not.
        clock: ticks that are over.
        settled: ticks of each state up to its last spike, int64, [B].
    """

    def __init__(self, circuit: Circuit, counts: ArrayLike, *, raster: bool) -> None:
        x = check_counts(circuit.program, counts)
        losses = Losses(circuit.lossy, x)
        neurons: list[Neurons] = []
        for stage in reversed(circuit.stages):
            neurons.insert(0, Neurons(stage, losses, neurons[0] if neurons else None))
        self.circuit = circuit
        *self.layers, self.readout = neurons
        self.clock, self.settled = 0, np.zeros(len(x), np.int64)
        self._emitted = np.zeros(len(x), np.int64)
        self._drive = neurons[0].stage.current(plumb(circuit.entry, x))
        self._records: list[tuple[list[Frame | None], NDArray[np.int64]]] = []
        self._recording = raster

    @property
    def is_watched(self) -> bool:
        """Whether it matters when a membrane moves, not only where it ends."""
        return self._recording or self.circuit.lossy.membrane_bits is not None

    def inject(self) -> None:
        """Let the counts and every bias enter as current: all at once, or a lossy chip's share."""
        for layer in (*self.layers, self.readout):
            layer.integrate(layer.stage.bias)
        first = (*self.layers, self.readout)[0]
        first.integrate(self._drive)

    def tick(self) -> bool:
        """End a tick; tell whether something has spiked in it."""
        self.clock += 1
        emitted = sum((layer.emitted for layer in self.layers), np.zeros_like(self.settled))
        active = emitted != self._emitted
        self._emitted = emitted
        self.settled[active] = self.clock
        if self._recording:
            self._records.append(([layer.take_spikes() for layer in self.layers], self.read()))
        return bool(active.any())

    def read(self) -> NDArray[np.int64]:
        """Return the readout as it stands, int64, [B, d, n]."""
        whole = self.readout.v_mem // (2 * self.readout.stage.unit)
        return whole.reshape(-1, *self.circuit.program.action_layout)

    def finish(self, ticks: NDArray[np.int64] | int) -> SpikingRun:
        """Return what came of it, given the latency."""
        batch = len(self.settled)
        shape = (len(self._records), batch, *self.circuit.program.action_layout)
        emitted = [layer.emitted for layer in self.layers]
        readouts = [readout for _, readout in self._records]
        return SpikingRun(
            readout=self.read(),
            counts=tuple(layer.count for layer in self.layers),
            spike_counts=np.array(emitted, np.int64).reshape(len(emitted), batch),
            ticks=np.broadcast_to(np.asarray(ticks, np.int64), batch).copy(),
            rasters=tuple(map(self._raster, range(len(self.layers)))) if self._recording else (),
            readouts=np.array(readouts, np.int64).reshape(shape),
        )

    def _raster(self, i: int) -> NDArray[np.int8]:
        raster = np.zeros((len(self._records), *self.layers[i].count.shape), np.int8)
        for row, (spikes, _) in zip(raster, self._records, strict=True):
            frame = spikes[i]
            if frame is not None:
                row[:] = frame
        return raster
