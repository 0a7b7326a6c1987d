"""Akida chips: their simulation, their mapper, or the device itself.

The chip takes a frame at once and passes small integers on, so a program is one model of the
package `akida`, of which only the variables are set anew while the architecture stays. The
readout's bias is added here, on the host. What the layers inside emit does not leave the chip: the
spike counts are those of the emulator, which runs the same program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import akida
import numpy as np

from rivc.errors import BackendError, ConfigError, DamagedFileError, nearest
from rivc.neurochip.akida_layers import DIALECTS, Host, stages
from rivc.neurochip.backend import Inference, Violation, require_fit
from rivc.neurochip.chips import CHIPS
from rivc.neurochip.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.neurochip.akida_layers import Part
    from rivc.snn_convert import SpikingProgram

    Parts = tuple[Part, ...]

DEVICES: Final = ("software", "virtual", "hardware")
_VIRTUAL: Final = {"akd1000": akida.AKD1000, "v2": akida.SixNodesIPv2}
_ENUMS: Final[dict[str, Any]] = {
    "padding": akida.Padding,
    "pool_type": akida.PoolType,
    "activation": akida.ActivationType,
}
_FAILURES: Final = (RuntimeError, ValueError)  # what the package raises


class Akida:
    """An Akida chip of either generation; see the module.

    Args:
        chip: "akd1000" (weights and counts of up to 4 bits) or "v2" (of 4 or 8 bits).
        device: "software" simulates; "virtual" also asks the mapper of a chip that is not there;
            "hardware" runs on the first device of this machine.

    Raises:
        ConfigError: if chip or device is unknown.
        BackendError: if there is no device.
    """

    name = "akida"

    def __init__(self, chip: str = "akd1000", device: str = "software") -> None:
        _check_option("chip", chip, CHIPS)
        _check_option("device", device, DEVICES)
        self.chip, self.device = chip, device
        self.limits = CHIPS[chip]
        self.profile = DIALECTS[chip].profile
        self._target = _find_target(chip, device)
        self._parts: Parts = ()
        self._model: Any = None  # never mapped, so that its variables can be set
        self._running: Any = None  # the same, or its copy on the device
        self._verdict: tuple[Parts, str] = ((), "")
        self._host: Host | None = None
        self._counter = Emulator()

    def check(self, program: SpikingProgram) -> list[Violation]:
        """Return every limit that the program exceeds, or else why the mapper refuses it."""
        violations = self.limits.violations(program)
        if violations or self._target is None:
            return violations
        refusal = self._refusal(program)
        remedy = "make the network smaller, or choose device software"
        return [Violation(-1, f"the mapper says: {refusal}", remedy)] if refusal else []

    def load(self, program: SpikingProgram) -> None:
        """Set the variables of the chip's layers, which are built when the architecture changes."""
        require_fit(self, program)
        parts = tuple(DIALECTS[self.chip].parts(program))
        try:
            if parts != self._parts:
                self._model, self._parts = _build(parts), parts
            _set_variables(self._model, self.chip, program)
            self._running = self._mapped() if self.device == "hardware" else self._model
        except _FAILURES as error:
            self._parts = ()
            raise BackendError(f"akida does not take the program: {error}") from error
        self._counter.load(program)
        self._host = Host.of(program, self.chip)

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        """Run the loaded program on unsigned counts, uint8, [B, *shape]."""
        if self._host is None:
            raise BackendError("no program is loaded on akida; call load(program) first")
        spikes = self._counter.infer(counts).spike_counts
        return Inference(run_model(self._running, self._host, counts), spikes)

    def close(self) -> None:
        """Forget the program and let go of the device."""
        self._host, self._parts, self._model, self._running = None, (), None, None
        self._counter.close()

    def _refusal(self, program: SpikingProgram) -> str:
        """Why the mapper refuses an architecture, asked once for each; empty if it does not."""
        parts = tuple(DIALECTS[self.chip].parts(program))
        if parts != self._verdict[0]:
            self._verdict = parts, _why_not(parts, self.chip, program, self._target)
        return self._verdict[1]

    def _mapped(self) -> Any:
        """A copy of the model on the device."""
        copy = akida.Model.from_dict(self._model.to_dict())
        refusal = _map(copy, self._target)
        if refusal:
            raise BackendError(f"the Akida device took no program: {refusal}")
        return copy


def run_model(model: Any, host: Host, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the readout, int64 [B, d, n], that a model gives for counts.

    Raises:
        BackendError: if the package or the device fails.
    """
    if not len(counts):
        return np.zeros((0, *host.action_layout), np.int64)
    try:
        return host.readout(model.forward(host.frames(counts)))
    except _FAILURES as error:
        raise BackendError(f"Akida failed: {_one_line(error)}") from error


def save_model(program: SpikingProgram, chip: str, path: Path) -> None:
    """Write the model of a program as its package does.

    Raises:
        ChipLimitError: if the program does not fit the chip.
    """
    backend = Akida(chip)
    backend.load(program)
    backend._model.save(str(path))


def read_model(path: Path) -> Any:
    """Read a model that was saved.

    Raises:
        DamagedFileError: if the package cannot read it.
    """
    try:
        return akida.Model(str(path))
    except _FAILURES as error:
        raise DamagedFileError(
            f"{path} is no model for this package: {_one_line(error)}"
        ) from error


def _check_option(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        there_are = ", ".join(known)
        raise ConfigError(f"akida has no {name} {value!r}: {there_are}{nearest(value, known)}")


def _find_target(chip: str, device: str) -> Any:
    """The device to map to: one of this machine, a virtual one, or None."""
    if device != "hardware":
        return _VIRTUAL[chip]() if device == "virtual" else None
    devices = akida.devices()
    if not devices:
        remedy = "connect one, or choose the device software"
        raise BackendError(f"there is no Akida device on this machine; {remedy}")
    return devices[0]


def _build(parts: Parts) -> Any:
    """A model without its variables."""
    model = akida.Model()
    for part in parts:
        arguments = {
            name: getattr(_ENUMS[name], value) if name in _ENUMS and value else value
            for name, value in part.arguments
        }
        model.add(getattr(akida, part.kind)(**arguments))
    return model


def _set_variables(model: Any, chip: str, program: SpikingProgram) -> None:
    layers = [layer for layer in model.layers if layer.get_variable_names()]
    for layer, stage in zip(layers, stages(program), strict=True):
        for name, value in DIALECTS[chip].variables(stage).items():
            layer.set_variable(name, value)


def _why_not(parts: Parts, chip: str, program: SpikingProgram, target: Any) -> str:
    """Build a model and map it; return why that fails, or nothing."""
    try:
        model = _build(parts)
        _set_variables(model, chip, program)
    except _FAILURES as error:
        return _one_line(error)
    return _map(model, target)


def _map(model: Any, target: Any) -> str:
    """Map a model, all of it to the device; return why that fails, or nothing."""
    try:
        model.map(target, hw_only=True)
    except _FAILURES as error:
        return _one_line(error)
    return ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
