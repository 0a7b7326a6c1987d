"""One iteration, step by step: convert, gather, learn, let the target follow.

Whoever drives it decides what happens in between: `Trainer` evaluates, records and checkpoints,
`rivc.sb3.RIVC` calls the callbacks of Stable-Baselines3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivc.snn_convert import convert
from rivc.train.audit import audit

if TYPE_CHECKING:
    from rivc.snn_convert import SpikingProgram
    from rivc.train.collect import Sampler
    from rivc.train.config import Config
    from rivc.train.session import Progress, Session


def updates_due(config: Config, progress: Progress) -> int:
    """Return how many updates belong to the env steps so far, those before them not counted."""
    train = config.train
    gathered = progress.env_steps - progress.refill_env_steps - train.warmup_env_steps
    return max(0, int(gathered * train.updates_per_env_step))


class Loop:
    """The steps of an iteration, on everything that a run holds.

    Args:
        session: of the run; its configuration gives every cadence.

    Attributes:
        program: what the network was last frozen into.
        sampler: what acts until the next conversion.
    """

    program: SpikingProgram
    sampler: Sampler

    def __init__(self, session: Session) -> None:
        self.session = session
        self.program = convert(session.learner.net)
        self.sampler = session.make_sampler()

    def convert(self) -> None:
        """Freeze the network into a program, put it on the chip, and audit it if it is time."""
        session, progress, config = self.session, self.session.progress, self.session.config
        if not config.quant.enabled:
            session.calibrate()
        self.program = session.learner.freeze()
        session.chip.load(self.program)
        self.sampler = session.make_sampler()
        if progress.conversions % config.audit.every_conversions == 0:
            counts = session.states("states", config.audit.states)
            progress.audited_states += audit(
                session.learner.net, self.program, session.chip, counts
            )
        progress.conversions += 1

    def gather(self) -> None:
        """Let the chip act for one step of every copy."""
        session, progress = self.session, self.session.progress
        copies = session.config.env.count
        session.collector.gather(session.config, self.sampler, self.program, progress.env_steps)
        progress.env_steps += copies
        progress.emulated_env_steps += copies * session.is_emulated

    def learn(self) -> None:
        """Take the updates that are due."""
        session, progress = self.session, self.session.progress
        taken = session.learner.updates - progress.updates_before
        count = updates_due(session.config, progress) - taken
        if count > 0:
            update = session.learner.update(
                session.replay, session.rng["replay"], progress.env_steps, count
            )
            progress.losses = {k: v for k, v in update._asdict().items() if v is not None}

    def sync_target(self) -> None:
        """Let the target network follow, if it is time."""
        every = self.session.config.train.env_steps_per_target_sync
        if self.session.progress.due("sync", every):
            self.session.learner.sync_target()
