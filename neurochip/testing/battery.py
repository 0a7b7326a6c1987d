"""The whole battery: random programs within a chip's limits, hard states, every batch size."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from rivc.neurochip.backend import Inference, spikes_are_counts
from rivc.neurochip.states import random_states
from rivc.neurochip.testing import protocol
from rivc.neurochip.testing.evidence import Evidence, Subject, explain, first_mismatch, make_subject
from rivc.neurochip.testing.generate import KINDS, describe, make_program, make_states
from rivc.neurochip.testing.report import Breach, Conformance, Mismatch
from rivc.quant.profile import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rivc.neurochip.backend import Backend
    from rivc.neurochip.testing.protocol import Rules
    from rivc.snn_convert import SpikingProgram

    Finding = Breach | Mismatch

TRIES: Final = 100  # candidates for each program that is wanted
BATCH: Final = 33
EXAMINED: Final = 12  # differing programs that the variants are held against
OTHERS: Final = "other integers in the same layers"
# version of the program, what was done before, batch sizes
STEPS: Final = (
    (0, "loaded", (BATCH, 2, 1, 0)),
    (1, f"loaded over {OTHERS}", (BATCH,)),
    (0, f"loaded again over {OTHERS}", (BATCH,)),
)


def check_backend(
    backend: Backend,
    *,
    programs: int = 60,
    states: int = 64,
    seed: int = 0,
    on_program: Callable[[str], object] = lambda _: None,
) -> Conformance:
    """Prove a chip against the definition, or say precisely what differs.

    Random programs in the arithmetic of ``backend.profile``, as far as ``backend.check`` accepts
    them, are loaded, loaded over each other and run on random and hard states (thresholds, ties,
    saturation) at batch sizes 0, 1, 2 and 33. Readouts must equal the int64 reference, integer for
    integer, and so must spike counts, unless the chip says `spikes_are_counts = False`. The rules
    of the `Backend` protocol are tried too. If a known wrong arithmetic gives the integers of the
    chip, it is named.

    Args:
        backend: the chip, without a program; it is closed in the end.
        programs: how many, in equal parts of mlp, conv and pool.
        states: random states for each, beside the hard ones.
        seed: of everything; equal seeds give equal checks.
        on_program: told of each program when it has been run, in words.

    Returns:
        What was tried and found; nothing that the chip does is raised.

    Example:
        >>> from rivc.neurochip import load_backend
        >>> conformance = check_backend(load_backend("emulator"), programs=3, states=8)
        >>> conformance.ok
        True
        >>> conformance.raise_if_failed()
    """
    problem = protocol.try_rule(protocol.attributes, backend)
    if problem is not None:
        name = str(getattr(backend, "name", type(backend).__name__))
        breach = Breach("attributes", problem)
        return Conformance(name, "?", seed, {}, 0, ("attributes",), (breach,), (), ())
    profile = load_profile(backend.profile).name
    battery = _Battery(backend, profile, seed, states, on_program)
    return battery.run(programs)


@dataclass
class _Battery:
    """One check, while it runs."""

    backend: Backend
    profile: str
    seed: int
    states: int
    on_program: Callable[[str], object]
    rules: list[str] = field(default_factory=lambda: ["attributes", "limits", "results"])
    findings: list[Finding] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    compared: int = 0
    refused: SpikingProgram | None = None
    refusal: str = ""

    def run(self, programs: int) -> Conformance:
        share, rest = divmod(programs, len(KINDS))
        try:
            numbers = {kind: self._find(i, share + (i < rest)) for i, kind in enumerate(KINDS)}
        except Exception as error:  # somebody else's code
            return self._broken("limits", f"check {protocol.told(error)}")
        chosen = sorted(number for found in numbers.values() for number in found)
        if not chosen:
            tried = programs * TRIES
            return self._broken(
                "limits", f"none of {tried:,} programs fits; the last: {self.refusal}"
            )
        probe = self._probe(chosen[0])
        self._keep(protocol.BEFORE, probe)
        for number in chosen:
            self.findings += islice(self._differences(number), 1)
            self.on_program(describe(self._make(number)))
        self._load_and_keep(probe)
        self._keep(protocol.AFTER, probe)
        return self._conformance({kind: len(found) for kind, found in numbers.items()})

    # -- programs and states ------------------------------------------------------------------

    def _make(self, number: int, version: int = 0) -> SpikingProgram:
        return make_program(self.profile, number, seed=self.seed, version=version)

    def _find(self, first: int, wanted: int) -> list[int]:
        """Numbers of programs of one kind that fit."""
        candidates = range(first, first + wanted * TRIES * len(KINDS), len(KINDS))
        return list(islice(filter(self._fits, candidates), wanted))

    def _fits(self, number: int) -> bool:
        program = self._make(number)
        violations = self.backend.check(program)
        if violations:
            self.refused, self.refusal = program, f"{describe(program)}: {violations[0]}"
        return not violations

    def _probe(self, number: int) -> protocol.Probe:
        program = self._make(number)
        counts = random_states(program.encoding, 5, np.random.default_rng(self.seed))
        refused = self.refused or protocol.find_refused(self.backend)
        return protocol.Probe(self.backend, program, counts, refused)

    def _subject(self, number: int, version: int) -> Subject:
        program = self._make(number, version)
        text = f'make_program("{self.profile}", {number}, seed={self.seed}, version={version})'
        which: dict[str, int] = {"seed": self.seed, "version": version, "count": self.states}
        return make_subject(text, program, make_states(program, number, **which))

    # -- rules ----------------------------------------------------------------------------------

    def _keep(self, rules: Rules, probe: protocol.Probe) -> None:
        for name, rule in rules.items():
            self.rules.append(name)
            problem = protocol.try_rule(rule, probe)
            if problem is not None:
                self.findings.append(Breach(name, problem))

    def _load_and_keep(self, probe: protocol.Probe) -> None:
        """The rules of a loaded chip; one that cannot be loaded was told of with its program."""
        if protocol.try_rule(self.backend.load, probe.program) is None:
            self._keep(protocol.LOADED, probe)

    # -- integers -------------------------------------------------------------------------------

    def _differences(self, number: int) -> Iterator[Finding]:
        """Everything that differs with one program; only the first is of interest."""
        subjects, before = {v: self._subject(number, v) for v in (0, 1)}, None
        fits = {0: True, 1: not self.backend.check(subjects[1].program)}
        for version, when, sizes in STEPS:
            if not fits[version]:
                return
            subject = subjects[version]
            problem = protocol.try_rule(self.backend.load, subject.program)
            if problem is not None:
                yield Breach("load", f"{subject.text}: {problem}")
                return
            for size in sizes:
                yield from self._compare(subject, when, size, before)
            before = subject.program

    def _compare(
        self, subject: Subject, when: str, size: int, before: SpikingProgram | None
    ) -> Iterator[Finding]:
        """Run all states in batches of the largest size, or one smaller batch."""
        last = len(subject.inputs) if size == BATCH else size
        result = self._run(subject, last)
        if isinstance(result, Breach):
            yield result
            return
        self.compared += last
        wanted = subject.readout[:last], subject.spike_counts[:, :last].T
        if not np.array_equal(result.readout, wanted[0]):
            if size == BATCH:
                self.evidence.append(Evidence(subject, result.readout, before))
            where = "readout [{}, {}]"
            yield first_mismatch(subject, (when, size, where), result.readout, wanted[0])
        if spikes_are_counts(self.backend) and not np.array_equal(result.spike_counts.T, wanted[1]):
            where = "spikes of layer {}"
            yield first_mismatch(subject, (when, size, where), result.spike_counts.T, wanted[1])

    def _run(self, subject: Subject, last: int) -> Inference | Breach:
        """The first states, batch by batch."""
        results = []
        for start in range(0, last, BATCH) or (0,):
            result = self._infer(subject, subject.inputs[start : min(start + BATCH, last)])
            if isinstance(result, Breach):
                return result
            results.append(result)
        readouts, spikes = [r.readout for r in results], [r.spike_counts for r in results]
        return Inference(np.concatenate(readouts), np.concatenate(spikes, axis=1))

    def _infer(self, subject: Subject, batch: NDArray[np.uint8]) -> Inference | Breach:
        where = f"{subject.text}, batch size {len(batch)}"
        try:
            result = self.backend.infer(batch.copy())
        except Exception as error:  # somebody else's code
            return Breach("infer", f"{where}: {protocol.told(error)}")
        problem = protocol.result_problem(result, subject.program, len(batch))
        if problem is not None:
            return Breach("results", f"{where}: {problem}")
        return Inference(result.readout.copy(), result.spike_counts.copy())

    # -- the end --------------------------------------------------------------------------------

    def _broken(self, rule: str, what: str) -> Conformance:
        self.findings.append(Breach(rule, what))
        return self._conformance(dict.fromkeys(KINDS, 0))

    def _conformance(self, programs: dict[str, int]) -> Conformance:
        return Conformance(
            self.backend.name,
            self.profile,
            self.seed,
            programs,
            self.compared,
            tuple(self.rules),
            tuple(found for found in self.findings if isinstance(found, Breach)),
            tuple(found for found in self.findings if isinstance(found, Mismatch)),
            explain(self.evidence[:EXAMINED]),
        )
