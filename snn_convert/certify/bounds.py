r"""Which decisions of a program an erring chip cannot change: certificates on the action gap.

For a state with greedy action a, the lead over a rival b is a linear functional of the counts of
the last hidden layer,

.. math:: lead_b = \sum_i (w_{ai} - w_{bi}) c_i + B_a - B_b

and a lower bound on it over everything that a `Disturbance` allows certifies the decision. Bounding
the difference of two readouts, not each by itself, lets what both share cancel. Two bounds are
taken, and the better one holds:

- forwards: the counts anywhere in their intervals (`lattice`);
- backwards: each staircase is bounded by a line, so that the functional becomes one of the
  membranes, and through the synapses one of the counts before them, layer by layer
  (`functional`). This keeps what the neurons of a layer have in common, which intervals forget.

Soundness: both passes move whole numbers that float64 holds exactly; see the two modules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rivc.snn_convert.certify.functional import SCALE, THROUGH, Functional
from rivc.snn_convert.certify.lattice import Disturbance, Lattice, membranes_of
from rivc.snn_convert.program import greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rivc.snn_convert.certify.lattice import Membranes, Stage
    from rivc.snn_convert.program import SpikingProgram

    Reals = NDArray[np.float64]
    Actions = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """What is known of the decisions in some states.

    Attributes:
        actions: whose lead is bounded, the greedy ones unless others were given, [B, d].
        gap: undisturbed lead over each action, in readout steps, int64, [B, d, n].
        lead: the least lead under the disturbance, in readout steps, float64, [B, d, n].
    """

    actions: Actions
    gap: NDArray[np.int64]
    lead: Reals

    @property
    def groups(self) -> NDArray[np.bool_]:
        """Groups whose action cannot change, [B, d]; a tie goes to the lowest index."""
        index = np.arange(self.lead.shape[-1])
        chosen = self.actions[..., None]
        kept = (self.lead > 0) | ((self.lead == 0) & (chosen < index)) | (chosen == index)
        return np.asarray(kept.all(-1))

    @property
    def certified(self) -> NDArray[np.bool_]:
        """States whose joint action cannot change, [B]."""
        return np.asarray(self.groups.all(-1))

    @property
    def drop(self) -> Reals:
        """How much of each lead the disturbance can take, in readout steps, [B, d, n]."""
        return self.gap - self.lead

    @property
    def least_gap(self) -> Reals:
        """The least of the undisturbed leads over any other action, [B]; inf without another."""
        return self._least(self.gap)

    @property
    def least_lead(self) -> Reals:
        """The least of the leads over any other action, [B]; inf without another."""
        return self._least(self.lead)

    def _least(self, over: NDArray[Any]) -> Reals:
        own = self.actions[..., None] == np.arange(over.shape[-1])
        return np.asarray(np.where(own, np.inf, over).min((-2, -1)))


def certify(
    program: SpikingProgram | Lattice,
    counts: NDArray[np.uint8],
    disturbance: Disturbance,
    *,
    actions: Actions | None = None,
    backwards: bool = True,
) -> Certificate:
    """Bound, state by state, how far the greedy action leads on a chip that errs.

    Args:
        program: the program, or its `Lattice` if there are many calls.
        counts: states, uint8, [B, *shape].
        disturbance: what the chip may do wrong.
        actions: bound the lead of these instead of the greedy ones, int64, [B, d].
        backwards: False leaves the backward pass out: cheaper and looser.

    Returns:
        The certificate; what it promises holds for every error within the bounds, also one that
        depends on the state, the neuron, the tick and the policy.

    Raises:
        QuantError: if the program cannot take the counts, or is too wide.

    Example:
        >>> from rivc.quant.encoding import InputEncoding
        >>> from rivc.snn_convert import Layer, SpikingProgram
        >>> hidden = Layer("dense", np.array([[-1], [1]], np.int8), np.zeros(2, np.int32),
        ...                np.array([32, 32], np.int32), weight_bits=2, frac_bits=4, levels=3)
        >>> readout = Layer("dense", np.eye(2, dtype=np.int8), np.zeros(2, np.int32), weight_bits=2)
        >>> encoding = InputEncoding.over_range([-1.0], [1.0], bit_width=4)
        >>> program = SpikingProgram(encoding, (hidden, readout), 1.0, (1, 2), "ideal")
        >>> states = np.array([[1], [6]], np.uint8)
        >>> certify(program, states, Disturbance(noise=0.25)).certified.tolist()
        [False, True]
    """
    lattice = program if isinstance(program, Lattice) else Lattice(program)
    parts = []
    for part in lattice.chunks(len(counts)):
        [*_, nominal] = lattice.reach(counts[part], Disturbance())
        readout = _grouped(lattice, membranes_of(nominal).low)
        chosen = greedy(readout) if actions is None else actions[part]
        gap = np.take_along_axis(readout, chosen[..., None], -1) - readout
        lead = _leads(lattice.reach(counts[part], disturbance), gap, chosen, backwards=backwards)
        parts.append((chosen, gap.astype(np.int64), lead))
    return Certificate(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _grouped(lattice: Lattice, readout: Reals) -> Reals:
    return readout.reshape(-1, *lattice.program.action_layout)


def _leads(stages: list[Stage], gap: Reals, chosen: Actions, *, backwards: bool) -> Reals:
    """The least lead over every action, [B, d, n]; that over the chosen one itself is 0."""
    n = gap.shape[-1]
    rivals, functional = leads_over_rivals(stages[-1], chosen, n)
    bounds = _bounds(stages, functional, backwards=backwards)
    lead = np.zeros(gap.shape)
    np.put_along_axis(lead, rivals, bounds.reshape(rivals.shape), -1)
    return lead


def leads_over_rivals(readout: Stage, chosen: Actions, n: int) -> tuple[Actions, Functional]:
    """Return the n - 1 other actions of each group, [B, d, n - 1], and the leads over them."""
    rivals = (chosen[..., None] + np.arange(1, n)) % n
    first = n * np.arange(chosen.shape[1])[:, None]
    theirs = (first + rivals).reshape(len(chosen), math.prod(rivals.shape[1:]))
    ours = np.broadcast_to(first + chosen[..., None], rivals.shape).reshape(theirs.shape)
    return rivals, _difference(membranes_of(readout), ours, theirs)


def _difference(readout: Membranes, ours: Actions, theirs: Actions) -> Functional:
    """The lead of some outputs over others, both [B, R], as a functional of the last counts."""
    rows, offset = readout.wiring.signed.matrix.T, readout.wiring.offset
    constant = offset[ours] - offset[theirs]
    error = np.broadcast_to(readout.error, readout.low.shape)
    states = np.arange(len(ours))[:, None]
    constant = constant - error[states, ours] - error[states, theirs]
    if readout.clipped is not None:
        lost = readout.clipped[states, ours] | readout.clipped[states, theirs]
        constant = np.where(lost, -np.inf, constant)
    return Functional((rows[ours] - rows[theirs]) * SCALE, constant * SCALE)


def _bounds(stages: list[Stage], functional: Functional, *, backwards: bool) -> Reals:
    """The best of the bounds before each layer, in readout steps, [B, R]."""
    best = functional.least(stages[-1].received)
    for stage in reversed(stages[:-1]):
        if not backwards or stage.received.is_point:  # lines only lose on a box of known counts
            break
        functional = THROUGH[stage.layer.kind](functional, stage)
        best = np.maximum(best, functional.least(stage.received))
    exact = not stages[-1].membranes or not np.any(stages[-1].membranes.error)
    return np.ceil(best / SCALE) if exact else best / SCALE  # without errors a lead is whole
