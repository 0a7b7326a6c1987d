"""The page of a run: does it work, does the chip agree, why, and what does it cost."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc import __version__
from rivc.report.examine import rows_differing
from rivc.report.page import Charts, Code, Film, Folded, Page, Section, Table, Text
from rivc.report.plots import Axis, Panel
from rivc.report.run_cards import cards, known_returns
from rivc.report.run_tables import cost_section, quant_section
from rivc.report.scale import short
from rivc.report.statistics import Estimate
from rivc.report.svg import Bars, bars, lines
from rivc.snn_convert.program import greedy
from rivc.snn_convert.storage import read_plain
from rivc.train.margins import EDGES, margins
from rivc.train.record import curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from markupsafe import Markup

    from rivc.report.examine import Examination
    from rivc.report.page import Block
    from rivc.report.statistics import Array
    from rivc.train.config import Config

MEDIA_TYPES: Final = {".mp4": "video/mp4", ".gif": "image/gif", ".apng": "image/apng"}
MAX_FILM: Final = 1 << 20  # bytes of a film inside a page
MAX_CHARTS: Final = 40  # of metrics
MAX_TEXT: Final = 20_000  # letters of a configuration
FEWEST: Final = 5  # decisions in a bin of which a share is shown
_STEPS: Final = Axis("env steps")
_POLICIES: Final = {"best": "of the best evaluation", "latest": "of the latest checkpoint"}


def run_page(found: Examination, commands: Sequence[str], film: Path | None = None) -> Page:
    """Return the page of a run.

    Args:
        found: out about it.
        commands: that made the page, to be told at its end.
        film: of the run.
    """
    config = found.config
    sections = [
        _what(found),
        _works(found),
        _agrees(found),
        _why(found),
        cost_section(found),
        quant_section(found),
        _film(film),
        _again(found, commands),
    ]
    return Page(
        title=f"{config.name}, seed {config.seed}",
        subtitle=f"{config.env.id} on a chip of {_widths(config)}, after {_progress(found)}",
        cards=cards(found),
        sections=sections,
        made_by=f"Made by rivc {__version__} from {found.folder.path}; numbers of a decision are "
        f"means over {_origin(found)}.",
    )


def find_film(run: Path) -> Path | None:
    """Return the film that lies in the folder of a run, or None."""
    paths = (run / f"film{suffix}" for suffix in MEDIA_TYPES)
    return next((path for path in paths if path.is_file()), None)


def _what(found: Examination) -> Section:
    config, program = found.config, found.policy.program
    quant = "trained in integers" if config.quant.enabled else "trained in reals, then converted"
    git = found.manifest.get("git")
    commit = git if isinstance(git, dict) else {}
    facts = {
        "task": " ".join([config.env.id, *(f"{k}={v}" for k, v in config.env.kwargs.items())]),
        "observes": f"{' x '.join(map(str, program.encoding.shape))}, {program.encoding.kind}",
        "acts": _actions(program.action_layout),
        "network": " - ".join(layer.name.partition(" ")[2] for layer in found.layers),
        "widths": f"{_widths(config)}, {quant}",
        "arithmetic": program.profile,
        "chip": _chip(found),
        "policy": _POLICIES[found.policy.which] + f"; the run is at {_progress(found)}",
        "program": program.sha256,
        "made with": _versions(found.manifest.get("versions")),
        "commit": str(commit.get("commit", "unknown")) + (" + changes" * bool(commit.get("dirty"))),
    }
    table = Table("The run", ("what", "value"), [*facts.items()], wide=("value",))
    text = config.to_yaml()
    folded = Folded("Every setting", [Code(text[:MAX_TEXT] + ("…" * (len(text) > MAX_TEXT)))])
    return Section("what", "What it is", _gathered(config), [table, folded])


def _gathered(config: Config) -> str:
    """Who gathered the samples."""
    if config.train.sampler == "network":
        return "A baseline: the network itself gathered the samples, and never met the chip."
    told = (
        "A policy that was trained through the chip that it will run on: the spiking program "
        "gathered the samples, in the chip's own integers"
    )
    if config.distill.parent is not None:
        return told + f"; it was taught by the policy of {config.distill.parent}."
    share = config.explore.expert_start
    return told + (f"; a scripted expert took {share:.0%} of them at first." if share else ".")


def _chip(found: Examination) -> str:
    """The chip of the run, and the one that was asked for the page."""
    own = found.config.backend.name
    asked = own if found.chip == own else f"{own}; asked for this page: {found.chip}"
    return asked if found.chip_is_exact else f"{asked}, which errs on purpose"


def _works(found: Examination) -> Section:
    config, known = found.config, known_returns(found.config)
    evaluated = np.array(curve(found.records, config.eval.every_env_steps)).reshape(-1, 2)
    curves = {
        "greedy, chip": (evaluated[:, 0], evaluated[:, 1]),
        "exploring": series(found.records, "episode_return"),
    }
    end = max([float(config.train.env_steps), *(r["env_steps"] for r in found.records)])
    for name, value in known.items():
        curves[name] = np.array([0.0, end]), np.array([value, value])
    charts = [_lined("Return while training", "return", curves)]
    successes = {
        "success": series(found.records, "success_rate"),
    }
    if len(successes["success"][0]):
        charts.append(_lined("Success, exploring", "share of episodes", successes, (0, 1)))
    said = found.score
    lead = f"It was not played: {found.trouble}." if said is None else _score_text(found)
    caption = (
        "Greedy: evaluations of the program on the chip. Exploring: episodes while training, with "
        "random actions among them. The best evaluation chose the policy, so it flatters; the "
        "episodes counted above had no part in that choice."
    )
    return Section("works", "Does it work", lead, [Charts(charts, caption), _all_metrics(found)])


def _score_text(found: Examination) -> str:
    score = found.score
    if score is None:
        return ""
    success = "" if score.success_rate is None else f", success in {score.success_rate:.0%} of them"
    against = ", ".join(f"{k} {v:g}" for k, v in known_returns(found.config).items())
    return (
        f"The program's return is {score.return_mean:.1f} ± {score.return_std:.1f} over "
        f"{len(score.episodes)} greedy episodes that training has never seen{success}"
        + (f" ({against})." if against else ".")
    )


def _all_metrics(found: Examination) -> Block:
    keys = dict.fromkeys(k for record in found.records for k in record if k != "env_steps")
    charts = [
        _lined(key[:60], "", {key: series(found.records, key)}) for key in list(keys)[:MAX_CHARTS]
    ]
    return Folded("Every metric of the run", [Charts(charts, is_small=True)])


def _agrees(found: Examination) -> Section:
    audited = int(found.records[-1].get("audited_states", 0)) if found.records else 0
    chip, flips = f"chip ({found.chip})", greedy(found.exact) != greedy(found.steps)
    rows = [
        ["program against network", f"{rows_differing(found.exact, np.rint(found.steps)):,}"],
        [f"{chip} against program", f"{rows_differing(found.readout, found.exact):,}"],
    ]
    actions = [flips, greedy(found.readout) != greedy(found.exact)]
    cells = [
        [name, f"{found.states:,}", differ, f"{int(flip.any(-1).sum()):,}"]
        for (name, differ), flip in zip(rows, actions, strict=True)
    ]
    table = Table("Measured now", ("forms", "states", "readouts differ", "actions differ"), cells)
    audit = (
        f"While training, {audited:,} states went through network, definition, chip and stock "
        "snnTorch neurons; one integer that differs stops the run."
        if audited
        else "No audit while training is on record."
    )
    if not found.chip_is_exact:
        audit += " This chip errs on purpose, so its own integers are left out of the audit."
    lead = (
        f"{found.differing:,} of {found.states:,} readouts differ between network and chip, and "
        f"{1 - found.agreement:.2%} of the decisions."
    )
    caption = (
        "At every record, network and chip are compared in replayed states. An audit compares all "
        "forms; its states are counted up."
    )
    blocks: list[Block] = [table, Text(audit), Charts(_agreement_charts(found), caption)]
    return Section("agrees", "Does the chip agree", lead, blocks)


def _agreement_charts(found: Examination) -> list[Markup]:
    agreed = series(found.records, "action_agreement")
    at, differing = series(found.records, "conversion_mismatches")
    counted = {
        "audited": series(found.records, "audited_states"),
        "readouts that differ": (at, np.cumsum(differing)),
    }
    return [
        _lined("Same action", "share of states", {"same action": agreed}, (0, 1)),
        _lined("States compared", "states so far", counted),
    ]


def _why(found: Examination) -> Section:
    lead, error = found.leads, found.largest_error
    counted = margins(found.steps, found.readout)
    text = (
        "An error can change a decision only where the best action leads by no more than twice as "
        f"much. The best action leads by {short(counted.gap_steps)} readout steps on average; "
    )
    text += (
        f"errors are {short(counted.error_steps)} on average and at most {short(error)}, and "
        f"{counted.flip_rate:.2%} of the actions flip."
        if error
        else "no readout is off by even one, so none can flip."
    )
    trained = {"lead": series(found.records, "action_gap_steps")}
    charts = [_lead_chart(found, lead, error), _risk_chart(lead)]
    if counted.error_steps:
        charts.append(_flip_chart(counted.ratio_counts, counted.ratio_flips))
    charts.append(_lined("Lead while training", "readout steps, mean", trained))
    caption = (
        "A readout step is the unit in which a chip errs. First: how far the best action leads. "
        "Then: the share of decisions that an error of so many steps could change, at worst."
    )
    return Section("why", "Why it holds", text, [Charts(charts, caption)])


def _lead_chart(found: Examination, lead: Array, error: float) -> Markup:
    top = max(np.ceil(np.log2(max(float(lead.max(initial=1.0)), 2.0))), 4.0)
    edges = 2.0 ** np.arange(-1.0, top + 1)
    often, _ = np.histogram(np.clip(lead, edges[0], edges[-1]), edges)
    marks = {"2 x largest error": 2 * error} if error else {}
    if found.config.train.margin_coef:
        marks["margin"] = found.config.train.margin
    x = Axis("lead of the best action, readout steps", is_log=True)
    share = {"decisions": often / max(len(lead), 1)}
    return bars(Bars("Action gap", x, Axis("share of decisions"), edges, share, marks))


def _risk_chart(lead: Array) -> Markup:
    error = 2.0 ** np.arange(-1.0, max(np.log2(max(float(lead.max(initial=1.0)), 2.0)), 4.0), 0.25)
    share = (lead[:, None] <= 2 * error).mean(0) if len(lead) else np.zeros(0)
    at = error[: len(share)]
    x, y = Axis("error, readout steps", is_log=True), Axis("share of decisions", (0, 1))
    return lines(Panel("What an error could change", x, y, {"at risk": (at, _certain(share))}))


def _flip_chart(counts: Sequence[int], flips: Sequence[int]) -> Markup:
    often, flipped = np.array(counts[1:-1]), np.array(flips[1:-1])
    shown = often >= FEWEST
    at = np.sqrt(EDGES[1:] * EDGES[:-1])[shown]
    x = Axis("action gap / conversion error", (EDGES[0], EDGES[-1]), mark=2.0, is_log=True)
    share = _certain(flipped[shown] / often[shown])
    return lines(Panel("Flips, measured", x, Axis("flipped actions"), {"flips": (at, share)}))


def _film(path: Path | None) -> Section:
    block: Block
    if path is None:
        block = Text("No film is in the folder of the run; the option --film makes one.")
    elif path.stat().st_size > MAX_FILM:
        block = Text(f"{path} has more than {MAX_FILM:,} bytes and stays outside of this page.")
    else:
        caption = "The world, what the chip sees, its action values and its spikes."
        block = Film(read_plain(path, MAX_FILM), MEDIA_TYPES[path.suffix], caption)
    return Section("film", "Film", "An episode, one frame a decision.", [block])


def _again(found: Examination, commands: Sequence[str]) -> Section:
    run = shlex.quote(str(found.folder.path))
    text = "\n".join(
        [
            f"rivc train {run}/config.yaml --run {run}-again   # equal versions, equal integers",
            f"rivc eval {run} --episodes 100",
            f"rivc verify {run}",
            f"rivc cost {run}",
            *commands,
        ]
    )
    lead = "Every number of this page comes from these commands and the files of the run."
    return Section("again", "How to reproduce", lead, [Code(text)])


def series(records: Sequence[Mapping[str, float]], key: str) -> tuple[Array, Array]:
    """Return the env steps of the records that hold a metric, and its values there."""
    known = [(record["env_steps"], record[key]) for record in records if key in record]
    points = np.array(known, np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _lined(
    title: str,
    label: str,
    curves: Mapping[str, tuple[Array, Array]],
    limits: tuple[float, float] | None = None,
) -> Markup:
    told = {name: (at, _certain(value)) for name, (at, value) in curves.items() if len(at)}
    return lines(Panel(title, _STEPS, Axis(label, limits), told), list(curves))


def _certain(value: Array) -> Estimate:
    return Estimate(value, value, value)


def _widths(config: Config) -> str:
    quant = config.quant
    return f"{quant.weight_bits}-bit weights and {quant.activation_bits}-bit spike counts"


def _progress(found: Examination) -> str:
    return f"{found.env_steps:,} of {found.config.train.env_steps:,} env steps"


def _origin(found: Examination) -> str:
    kind = "random states" if found.score is None else "states of greedy episodes"
    return f"{found.states:,} {kind}"


def _actions(layout: tuple[int, int]) -> str:
    groups, choices = layout
    return f"{choices} choices" if groups == 1 else f"{choices} choices for each of {groups} joints"


def _versions(known: object) -> str:
    pairs = known.items() if isinstance(known, dict) else ()
    return ", ".join(f"{name} {version}" for name, version in pairs)
