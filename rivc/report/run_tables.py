"""What a page says of layers: what they cost, and how they are quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.neurochip.energy import PAPER, modelled, scaled
from rivc.report.page import Charts, Folded, Section, Table, Text
from rivc.report.plots import Axis
from rivc.report.scale import short
from rivc.report.svg import Bars, bars, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from rivc.neurochip.cost import Cost
    from rivc.neurochip.energy import Estimate
    from rivc.report.examine import Examination, LayerFacts

MODELLED: Final = "modelled"
MOST_BINS: Final = 32  # of a histogram of weights
_QUANT: Final = (
    *("layer", "weights", "bits", "value of a step", "zeros", "thresholds"),
    *("largest count", "value of a spike", "silent", "saturated"),
)


def energies(found: Examination) -> list[Estimate]:
    """Return the estimates of a decision, all of them modelled."""
    return modelled(found.policy.program, found.cost)


def cost_section(found: Examination) -> Section:
    """Return what a decision costs: counted by layer, and what is modelled from that."""
    total, named = found.cost.total, dict(_named(found))
    sparsity = total.activation_sparsity
    silent = "" if sparsity is None else f"; {sparsity:.0%} of the neurons stay silent"
    lead = (
        f"A decision takes {short(total.synops)} synaptic operations of {short(total.dense)} dense "
        f"ones{silent}. Parameters fill {total.footprint:,} bytes."
    )
    charts = [
        rows("Spikes a decision", Axis("spikes"), {n: c.spikes for n, c in _spiking(named)}),
        rows("Operations a decision", Axis("synops"), {n: c.synops for n, c in named.items()}),
        rows("Memory", Axis("bytes"), {n: c.footprint for n, c in named.items()}),
    ]
    head = ("layer", "events", "operations", "dense", "spikes", "silent", "parameters", "traffic")
    cells = [_cells(name, cost) for name, cost in [*named.items(), ("total", total)]]
    told = f"Counted, means over {found.states:,} states"
    return Section(
        "cost",
        "What it costs",
        lead,
        [Charts(charts), Table(told, head, cells), *_modelled(found)],
    )


def _modelled(found: Examination) -> Iterator[Table | Text | Folded]:
    estimates = energies(found)
    head = ("a decision on", "kind", "silicon", "covers", "energy", "time")
    cells = [
        [e.name, e.kind, e.node, e.covers, scaled(e.energy, "J"), scaled(e.latency, "s")]
        for e in estimates
    ]
    yield Table("Modelled from these counts: no measurement", head, cells, wide=head[1:4])
    yield Text(
        f"Apart from these: power 1/{1 / PAPER.power_ratio:.0f} and speed {PAPER.speed_ratio:g}x, "
        f"{PAPER.name} ({PAPER.source}). No row above is comparable with it."
    )
    constants = {c.name: c for e in estimates for c in e.constants}
    told = [
        [c.name, f"{c.value:g}" + (f" {c.unit}" if c.unit != "1" else ""), c.source, c.basis]
        for c in constants.values()
    ]
    names = ("constant", "value", "source", "basis")
    yield Folded("Modelled from", [Table("Constants", names, told, wide=names[2:])])


def quant_section(found: Examination) -> Section:
    """Return how each layer is quantized, and how well its range is used."""
    spiking = [layer for layer in found.layers if layer.layer.levels]
    fullest = max(spiking, key=lambda facts: float(facts.counts[-1]), default=None)
    lead = "Weights are integers" + (
        "."
        if fullest is None
        else f", and so are spike counts. The fullest layer, {fullest.name}, has "
        f"{fullest.counts[-1]:.1%} of its counts at the upper end, {fullest.layer.levels}."
    )
    table = Table("Scales and use of the range", _QUANT, [_quant_cells(x) for x in found.layers])
    charts = [chart for layer in found.layers for chart in _histograms(layer)]
    caption = "How many weights have each integer, and how often a neuron emits each count."
    return Section("quant", "Quantization by layer", lead, [table, Charts(charts, caption)])


def _quant_cells(facts: LayerFacts) -> list[str]:
    layer, size = facts.layer, facts.layer.weight.size
    counts = [f"{facts.counts[i]:.1%}" if layer.levels else "" for i in (0, -1)]
    return [
        facts.name,
        f"{size:,}",
        str(layer.weight_bits),
        _range(*facts.weight_scale),
        f"{facts.weights.get(0, 0) / size:.1%}",
        _range(*_ends(layer.threshold)) if layer.levels else "",
        str(layer.levels) if layer.levels else "",
        "" if facts.count_value is None else f"{facts.count_value:.3g}",
        *counts,
    ]


def _histograms(facts: LayerFacts) -> Iterator[Markup]:
    values = np.array(list(facts.weights), np.float64)
    width = -(-(values.max() - values.min() + 1) // MOST_BINS)
    edges = np.arange(values.min() - 0.5, values.max() + width, width)
    often, _ = np.histogram(values, edges, weights=np.array(list(facts.weights.values())))
    share, axis = Axis("share"), Axis("integer weight")
    shares = {"weights": often / often.sum()}
    yield bars(Bars(f"{facts.name}: weights", axis, share, edges, shares))
    if len(facts.counts):
        edges = np.arange(-0.5, len(facts.counts))
        axis = Axis("spikes of a neuron in a decision")
        yield bars(Bars(f"{facts.name}: counts", axis, share, edges, {"counts": facts.counts}))


def _named(found: Examination) -> Iterator[tuple[str, Cost]]:
    """The cost of each layer with weights, by its name."""
    costs = zip(found.policy.program.layers, found.cost.layers, strict=True)
    weighted = [cost for layer, cost in costs if layer.has_weights]
    return ((x.name, cost) for x, cost in zip(found.layers, weighted, strict=True))


def _spiking(named: dict[str, Cost]) -> list[tuple[str, Cost]]:
    return [(name, cost) for name, cost in named.items() if cost.membrane_updates]


def _cells(name: str, cost: Cost) -> list[str]:
    silent = cost.activation_sparsity
    return [
        name,
        f"{cost.events:,.0f}",
        f"{cost.synops:,.0f}",
        f"{cost.dense:,}",
        f"{cost.spikes:,.0f}" if cost.membrane_updates else "",
        "" if silent is None else f"{silent:.0%}",
        f"{cost.footprint:,} B",
        f"{cost.traffic:,.0f} B",
    ]


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _range(low: float, high: float) -> str:
    """One number, or two where they differ."""
    first, last = (f"{v:,.0f}" if v >= 1000 else f"{v:.3g}" for v in (low, high))
    return first if first == last else f"{first} to {last}"
