"""The rules of `rivc.neurochip.Backend` beside its integers: one function a rule."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import BackendError, ChipLimitError, QuantError, RivcError, in_one_line
from rivc.neurochip.backend import Backend, Violation
from rivc.quant.encoding import InputEncoding
from rivc.quant.profile import load_profile
from rivc.snn_convert import Layer, SpikingProgram

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

METHODS: Final = ("check", "load", "infer", "close")


@dataclass(frozen=True)
class Probe:
    """What the rules are tried with.

    Attributes:
        backend: the chip.
        program: one that fits it.
        counts: states for it, uint8, [B, *shape], B >= 2.
        refused: a program that does not fit; None if none was found.
    """

    backend: Backend
    program: SpikingProgram
    counts: NDArray[np.uint8]
    refused: SpikingProgram | None


def try_rule(rule: Callable[[Any], str | None], subject: object) -> str | None:
    """Return what a rule finds; whatever else it runs into is a finding too."""
    try:
        return rule(subject)
    except Exception as error:  # the chip is somebody else's code
        return told(error)


def told(error: Exception) -> str:
    """Return an exception in a few words."""
    return f"raised {in_one_line(error)}"


def attributes(backend: object) -> str | None:
    """Tell what a chip lacks to be asked anything at all."""
    missing = [name for name in METHODS if not callable(getattr(backend, name, None))]
    if missing:
        return f"no method {', '.join(missing)}"
    for attribute in ("name", "profile"):
        value = getattr(backend, attribute, None)
        if not (isinstance(value, str) and value):
            return f"{attribute} is {value!r}, not a text"
    load_profile(str(getattr(backend, "profile", "")))
    return None


def result_problem(result: object, program: SpikingProgram, batch: int) -> str | None:
    """Tell what is wrong with types and shapes of an inference, if anything."""
    layers = sum(layer.levels > 0 for layer in program.layers)
    expected = {"readout": (batch, *program.action_layout), "spike_counts": (layers, batch)}
    for name, shape in expected.items():
        array = getattr(result, name, None)
        if not isinstance(array, np.ndarray):
            return f"{name} is {type(array).__name__}, not a numpy array"
        if array.dtype != np.int64 or array.shape != shape:
            return f"{name} is {array.dtype} {array.shape}, expected int64 {shape}"
    return None


def _refuses(error: type[RivcError], action: Callable[[], object]) -> str | None:
    """Tell if an action does not raise what it should."""
    try:
        action()
    except error:
        return None
    except Exception as other:
        return f"{told(other)}; expected {error.__name__}"
    return f"raised nothing; expected {error.__name__}"


def infer_before_load(probe: Probe) -> str | None:
    """A chip without a program says so."""
    return _refuses(BackendError, lambda: probe.backend.infer(probe.counts))


def violations_are_listed(probe: Probe) -> str | None:
    """What does not fit is a list of violations."""
    if probe.refused is None:
        return None
    found = probe.backend.check(probe.refused)
    if isinstance(found, list) and all(isinstance(entry, Violation) for entry in found):
        return None
    return f"check returned {found!r}, not a list of Violation"


def load_beyond_limits(probe: Probe) -> str | None:
    """What does not fit is not loaded."""
    program = probe.refused
    if program is None:
        return None
    return _refuses(ChipLimitError, lambda: probe.backend.load(program))


def counts_are_left_alone(probe: Probe) -> str | None:
    """The replay owns the counts."""
    counts = probe.counts.copy()
    probe.backend.infer(counts)
    return None if np.array_equal(counts, probe.counts) else "infer wrote into the counts it got"


def counts_may_be_read_only(probe: Probe) -> str | None:
    """Nothing is written where nothing can be."""
    counts = probe.counts.copy()
    counts.flags.writeable = False
    probe.backend.infer(counts)
    return None


def counts_in_any_order(probe: Probe) -> str | None:
    """Counts may be any view."""
    expected = probe.backend.infer(probe.counts).readout.copy()
    strided = np.asfortranarray(probe.counts.repeat(2, axis=0))[::2]
    same = np.array_equal(probe.backend.infer(strided).readout, expected)
    return None if same else "other integers for the same counts in another memory order"


def results_are_kept(probe: Probe) -> str | None:
    """A result belongs to whoever asked for it."""
    result = probe.backend.infer(probe.counts)
    before = result.readout.copy(), result.spike_counts.copy()
    probe.backend.infer(np.zeros_like(probe.counts))
    kept = np.array_equal(result.readout, before[0])
    kept &= np.array_equal(result.spike_counts, before[1])
    return None if kept else "an inference changed the arrays that an earlier one returned"


def floats_are_refused(probe: Probe) -> str | None:
    """Counts are bytes."""
    return _refuses(QuantError, lambda: probe.backend.infer(probe.counts.astype(np.float32)))


def other_shapes_are_refused(probe: Probe) -> str | None:
    """Counts have the shape that the program takes."""
    wrong = np.concatenate([probe.counts, probe.counts], axis=1)
    return _refuses(QuantError, lambda: probe.backend.infer(wrong))


def counts_beyond_range_are_refused(probe: Probe) -> str | None:
    """A count above the input's range; the range is made narrower, where the chip lets it."""
    encoding = probe.program.encoding
    if encoding.bit_width == 1:
        return None
    narrow = replace(probe.program, encoding=replace(encoding, bit_width=encoding.bit_width - 1))
    if probe.backend.check(narrow):
        return None
    probe.backend.load(narrow)
    wrong = np.full_like(probe.counts, narrow.encoding.levels + 1)
    try:
        return _refuses(QuantError, lambda: probe.backend.infer(wrong))
    finally:
        probe.backend.load(probe.program)


def close_twice(probe: Probe) -> str | None:
    """Closing is harmless."""
    probe.backend.close()
    probe.backend.close()
    return None


Rules = dict[str, "Callable[[Probe], str | None]"]
BEFORE: Final[Rules] = {
    "infer before load": infer_before_load,
    "violations": violations_are_listed,
    "load beyond the limits": load_beyond_limits,
}
LOADED: Final[Rules] = {
    "counts untouched": counts_are_left_alone,
    "counts read-only": counts_may_be_read_only,
    "counts in any memory order": counts_in_any_order,
    "results kept": results_are_kept,
    "counts of another type": floats_are_refused,
    "counts of another shape": other_shapes_are_refused,
    "counts out of range": counts_beyond_range_are_refused,
}
AFTER: Final[Rules] = {
    "close twice": close_twice,
    "infer after close": infer_before_load,
}


def find_refused(backend: Backend) -> SpikingProgram | None:
    """Return a program too large for almost any chip; None if this one takes even that."""
    encoding = InputEncoding.image((2048, 2048, 1))
    weight = np.full((1, 2048 * 2048), 127, np.int8)
    wide = Layer(
        "dense",
        weight,
        np.zeros(1, np.int32),
        np.full(1, 2, np.int32),
        weight_bits=8,
        frac_bits=16,
        levels=255,
    )
    last = Layer("dense", np.ones((1, 1), np.int8), np.zeros(1, np.int32), weight_bits=8)
    giant = SpikingProgram(encoding, (Layer("flatten"), wide, last), 1.0, (1, 1), backend.profile)
    with suppress(Exception):  # a check that fails is told of elsewhere
        return giant if backend.check(giant) else None
    return None
