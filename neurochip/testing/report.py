"""What came of a conformance check: values, and a text to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rivc.errors import MismatchError

SHOWN: Final = 5  # findings of a sort that are written out in the text


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule of the protocol that a chip does not keep.

    Attributes:
        rule: which one.
        what: what was seen.
    """

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A program with which a chip gives other integers than the definition.

    Attributes:
        program: how to get it, an expression with `make_program`.
        layers: of the program, in one line.
        when: what had been done with the chip.
        batch_size: of the inference.
        differing: states with a different integer.
        states: compared.
        kind: of the first state that differs, as in `rivc.neurochip.states`.
        state: its index in its kind.
        where: the first different integer: "readout [0, 2]" or "spikes of layer 1".
        got: what the chip gave.
        expected: what the definition gives.
    """

    program: str
    layers: str
    when: str
    batch_size: int
    differing: int
    states: int
    kind: str
    state: int
    where: str
    got: int
    expected: int

    def __str__(self) -> str:
        first = f"{self.kind} state {self.state}, {self.where}: got {self.got}"
        return (
            f"{self.program}\n{self.layers}\n"
            f"{self.when}, batch size {self.batch_size}: {self.differing} of {self.states} states; "
            f"first {first}, expected {self.expected}"
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """A known wrong arithmetic that gives the integers of the chip.

    Attributes:
        name: what the chip does.
        look_at: what usually is behind it.
        explained: programs with which it gives every integer of the chip.
        differing: programs with which the chip differs.
    """

    name: str
    look_at: str
    explained: int
    differing: int

    def __str__(self) -> str:
        which = "all" if self.explained == self.differing else f"{self.explained} of"
        return f"{self.name} (explains {which} {self.differing}); {self.look_at}"


@dataclass(frozen=True)
class Conformance:
    """What came of `check_backend`.

    Attributes:
        backend: name of the chip.
        profile: the arithmetic that the programs were made in.
        seed: of programs and states.
        programs: that were run, by kind.
        states: that were compared, repetitions included.
        rules: of the protocol that were tried.
        breaches: of the protocol.
        mismatches: one a program, its first.
        causes: known wrong arithmetic, the best explanation first.
    """

    backend: str
    profile: str
    seed: int
    programs: dict[str, int]
    states: int
    rules: tuple[str, ...]
    breaches: tuple[Breach, ...]
    mismatches: tuple[Mismatch, ...]
    causes: tuple[Cause, ...]

    @property
    def ok(self) -> bool:
        """True if no rule was broken and every integer is equal."""
        return not (self.breaches or self.mismatches)

    def raise_if_failed(self) -> None:
        """Raise MismatchError, with the first finding, unless the chip conforms."""
        if self.ok:
            return
        first = self.breaches[0] if self.breaches else self.mismatches[0]
        found = f"{len(self.breaches)} rules broken, {len(self.mismatches)} programs differ"
        cause = f"; cause: {self.causes[0].name}" if self.causes else ""
        raise MismatchError(
            f"{self.backend} does not conform ({found}{cause}); first: "
            + ", ".join(str(first).splitlines())
        )

    def __str__(self) -> str:
        rows = [
            ("programs", self._programs()),
            ("integers", f"{self.states:,} states compared, {self._different()}"),
            ("protocol", f"{len(self.rules)} rules tried, {len(self.breaches)} findings"),
            *self._findings("broken", self.breaches),
            *self._findings("differs", self.mismatches),
            *self._findings("cause", self.causes),
        ]
        verdict = "conforms" if self.ok else "does not conform"
        head = f"{self.backend} {verdict} (profile {self.profile}, seed {self.seed})"
        return "\n".join([head, *(_row(name, text) for name, text in rows)])

    def _programs(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.programs.items())
        return f"{sum(self.programs.values())} within the limits: {kinds}"

    def _different(self) -> str:
        count = len(self.mismatches)
        return f"{count} programs differ" if count else "every integer equal"

    @staticmethod
    def _findings(name: str, found: tuple[Breach | Mismatch | Cause, ...]) -> list[tuple[str, str]]:
        more = len(found) - SHOWN
        rows = [(name, str(finding)) for finding in found[:SHOWN]]
        return [*rows, (name, f"... and {more} more")] if more > 0 else rows


def _row(name: str, text: str) -> str:
    return f"  {name:<9} " + text.replace("\n", f"\n{'':12}")
