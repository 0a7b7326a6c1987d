"""The audit: all forms of the policy on replayed states, integer against integer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

from rivc.errors import MismatchError
from rivc.neurochip import load_backend
from rivc.neurochip.backend import is_exact
from rivc.neurochip.compare import chip_form, compare_all
from rivc.snn_convert import reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rivc.nets import QNetwork
    from rivc.neurochip import Backend
    from rivc.neurochip.compare import Form, FormResult
    from rivc.snn_convert import SpikingProgram


@cache
def witness() -> Backend:
    """The independent spiking simulation that every audit asks; loaded again each time."""
    return load_backend("snntorch")


def compare_forms(
    net: QNetwork | None,
    program: SpikingProgram,
    chips: dict[str, Backend],
    counts: NDArray[np.uint8],
) -> dict[str, FormResult]:
    """Run every form on the same counts and compare each with the int64 reference.

    Args:
        net: the network the program came from; None where there is only the program.
        program: the program.
        chips: by the name to report; each has the program loaded.
        counts: states, uint8, [B, *shape].
    """
    forms = {} if net is None else {"fpnn": network_form(net)}
    forms |= {name: chip_form(chip) for name, chip in chips.items()}
    return compare_all(forms, counts, reference.run(program, counts))


def network_form(net: QNetwork) -> Form:
    """Return the form of a network: the integers that it has, or would freeze to."""
    return lambda counts: net.readout(torch.from_numpy(counts)).numpy()


def audit(net: QNetwork, program: SpikingProgram, chip: Backend, counts: NDArray[np.uint8]) -> int:
    """Compare network, loaded chip and snnTorch spikes with the reference.

    A chip that errs on purpose is left out: what it computes is not the program.

    Returns:
        How many states were compared.

    Raises:
        MismatchError: at the first form that differs in one integer.
    """
    chips = {chip.name: chip} if is_exact(chip) else {}
    if chip.name != witness().name:
        witness().load(program)
        chips[witness().name] = witness()
    for form, result in compare_forms(net, program, chips, counts).items():
        if result.mismatches:
            msg = (
                f"{form} differs from the program in {result.mismatches} of {result.states} states"
            )
            raise MismatchError(f"{msg} (program {program.sha256[:12]})")
    return len(counts)
