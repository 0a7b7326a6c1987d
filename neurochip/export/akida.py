"""The format `akida`: the model as the package of the chip saves it, and what the host adds.

``model.fbz`` holds everything but the bias of the readout, which ``host.json`` keeps together with
the type of the counts that enter, the shape of what leaves, and the hash of the model.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.errors import ChipLimitError, DamagedFileError, MissingError
from rivc.neurochip.akida_layers import DIALECTS, Host, chip_of
from rivc.neurochip.registry import backend_infos
from rivc.snn_convert.storage import MAX_BYTES, read_json, reason, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.neurochip.compare import Form
    from rivc.neurochip.export.formats import ExportOptions
    from rivc.snn_convert import SpikingProgram

MODEL_FILE: Final = "model.fbz"
HOST_FILE: Final = "host.json"


def write_akida(program: SpikingProgram, folder: Path, _: ExportOptions) -> None:
    """Write the two files.

    Raises:
        MissingError: if the package of the chip is not installed.
        ChipLimitError: if the program is in no arithmetic of such a chip, or does not fit it.
    """
    package = _package()
    chip = chip_of(program)
    if chip is None:
        profiles = ", ".join(dialect.profile for dialect in DIALECTS.values())
        raise ChipLimitError(
            f"a program of profile {program.profile!r} runs on no Akida chip; "
            f"train with --quant.profile {profiles}"
        )
    path = folder / MODEL_FILE
    package.save_model(program, chip, path)
    host = {
        "akida_version": package.akida.__version__,
        "chip": chip,
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input_shape": list(program.encoding.shape),
        "action_layout": list(program.action_layout),
        "readout_bias": program.layers[-1].bias.tolist(),
    }
    write_atomically(folder / HOST_FILE, json.dumps(host, indent=1).encode())


def read_akida(folder: Path, _: Path) -> dict[str, Form]:
    """Return what the model and the host's share of the work compute together.

    Raises:
        MissingError: if the package of the chip is not installed.
        DamagedFileError: if a file is not what it ought to be.
    """
    package = _package()
    path = folder / MODEL_FILE
    host, sha256 = _read_host(folder / HOST_FILE)
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise DamagedFileError(f"{path} is gone or has more than {MAX_BYTES} bytes; export again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise DamagedFileError(f"{path} is not the model that {HOST_FILE} names; export again")
    model = package.read_model(path)
    return {f"akida ({MODEL_FILE})": lambda counts: package.run_model(model, host, counts)}


def _read_host(path: Path) -> tuple[Host, str]:
    try:
        facts = read_json(path)
        dialect = DIALECTS[facts["chip"]]
        d, n = map(int, facts["action_layout"])
        bias = np.array(facts["readout_bias"], np.int64).reshape(d * n)
        is_vector = len(facts["input_shape"]) == 1
        host = Host(bias, (d, n), dialect.vector_type if is_vector else None)
        return host, str(facts["model_sha256"])
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise DamagedFileError(
            f"{path} does not tell what the host adds: {reason(error)}"
        ) from error


def _package() -> Any:
    """The back end's module."""
    [info] = [info for info in backend_infos() if info.name == "akida"]
    if not info.is_installed:
        raise MissingError(f"the format 'akida' needs the package {info.needs}: {info.remedy}")
    from rivc.neurochip import akida

    return akida
