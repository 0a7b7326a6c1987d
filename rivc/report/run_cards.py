"""The answers at the top of the page of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import gymnasium
import numpy as np

from rivc.envs.registry import TASKS
from rivc.neurochip.energy import scaled
from rivc.report.page import Card
from rivc.report.run_tables import MODELLED, energies
from rivc.report.scale import short

if TYPE_CHECKING:
    from rivc.report.examine import Examination
    from rivc.report.page import Verdict
    from rivc.train.config import Config

GOOD, POOR = 0.9, 0.5  # shares of the way from random actions to the expert
AGREED: Final = 0.99


def cards(found: Examination) -> list[Card]:
    """Return the four answers about a run."""
    return [_return_card(found), _agreement_card(found), _lead_card(found), _cost_card(found)]


def known_returns(config: Config) -> dict[str, float]:
    """Return the returns that are known of a task: of its expert, random actions, or solved.

    >>> from rivc.train.config import load_config
    >>> known_returns(load_config("tracker")), known_returns(load_config("quickstart"))
    ({'expert': 166.7, 'random': 17.3}, {'solved': 475.0})
    """
    options = config.env.kwargs
    for spec in TASKS:
        if spec.id == config.env.id and not options.get("disturbances"):
            *_, variant = (v for v in spec.all_variants() if v.options.items() <= options.items())
            return {"expert": variant.expert_return, "random": variant.random_return}
    known = gymnasium.registry.get(config.env.id)
    threshold = None if known is None else known.reward_threshold
    return {} if threshold is None else {"solved": float(threshold)}


def _return_card(found: Examination) -> Card:
    known, question = known_returns(found.config), "Does it work?"
    if found.score is None:
        return Card(question, "not played", "the task could not be built here")
    value, best = found.score.return_mean, known.get("expert", known.get("solved"))
    verdict: Verdict = "plain"
    note = f"return, mean of {len(found.score.episodes)} episodes that training has never seen"
    if "expert" in known:
        share = (value - known["random"]) / (known["expert"] - known["random"])
        verdict = "good" if share >= GOOD else "bad" if share < POOR else "plain"
        note += f"; the expert has {known['expert']:g}, random actions {known['random']:g}"
    elif best is not None:
        verdict = "good" if value >= best else "plain"
        note += f"; solved from {best:g} on"
    return Card(question, f"{value:.1f}", note, verdict)


def _agreement_card(found: Examination) -> Card:
    same, differing = found.agreement, found.differing
    verdict: Verdict = "good" if same == 1 else "plain" if same >= AGREED else "bad"
    note = f"of {found.states:,} decisions are the network's; {differing:,} readouts differ"
    return Card("Does the chip agree?", f"{same:.2%}".replace(".00", ""), note, verdict)


def _lead_card(found: Examination) -> Card:
    lead, error = found.leads, found.largest_error
    if not len(lead):
        return Card("How safe is a decision?", "one action", "there is nothing to choose")
    unsafe = float((lead <= 2 * error).mean()) if error else 0.0
    answer = f"{short(float(np.median(lead)))} steps"
    if not error:
        return Card("How safe is a decision?", answer, "median lead; no readout is off", "good")
    note = f"median lead; the largest error is {short(error)}, which could flip {unsafe:.1%}"
    return Card("How safe is a decision?", answer, note)


def _cost_card(found: Examination) -> Card:
    total = found.cost.total
    energy = energies(found)[0].energy
    note = (
        f"operations a decision of {short(total.dense)} dense; {total.footprint / 1000:.3g} kB; "
        f"{scaled(energy, 'J')} {MODELLED}"
    )
    return Card("What does it cost?", short(total.synops), note)
