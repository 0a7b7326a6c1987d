"""Converting and loading at every iteration, for days: a process does not grow.

What Python and numpy allocate is counted exactly. Of what the operating system gave, only the order
matters: allocators keep pages.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
import torch

from rivc.nets import build_network
from rivc.neurochip import backend_infos, load_backend
from rivc.quant import load_profile
from rivc.snn_convert import convert

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivc.neurochip import Backend

INSTALLED = [info.name for info in backend_infos() if info.is_installed]
STATM: Final = Path("/proc/self/statm")

# Caches fill up first; what is traced then still creeps towards a plateau, by about 13 KB in the
# 300 turns after these 200 and by 20 KB in 1,400.
WARM_UP: Final = 200
# 109 bytes a turn: a single stock neuron that stays alive takes kilobytes.
TRACED_QUICK: Final = 32 << 10
# 6.5 bytes a turn, less than any object.
TRACED_SLOW: Final = 64 << 10
# 1.6 KB a turn.
RESIDENT_SLOW: Final = 16 << 20


def iteration(chip: Backend) -> Callable[[], None]:
    """One turn of a training loop without its samples: other weights, convert, load, run."""
    profile = load_profile(chip.profile)
    net = build_network(
        "conv",
        input_shape=(5, 6, 1),
        action_layout=(2, 3),
        conv=((2, 3, 2),),
        hidden=(4,),
        weight_bits=profile.weight_bits[-1] if 4 not in profile.weight_bits else 4,
        activation_bits=min(profile.activation_bits),
        profile=profile,
    )
    generator = torch.Generator().manual_seed(0)
    counts = np.zeros((1, 5, 6, 1), np.uint8)

    def turn() -> None:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.01)
        chip.load(convert(net))
        chip.infer(counts)

    return turn


def growth(turn: Callable[[], None], warm_up: int, turns: int) -> tuple[int, int]:
    """Bytes traced, and bytes resident, that some turns leave behind."""
    tracemalloc.start()
    try:
        for _ in range(warm_up):
            turn()
        gc.collect()
        traced, resident = tracemalloc.get_traced_memory()[0], resident_bytes()
        for _ in range(turns):
            turn()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - traced, resident_bytes() - resident
    finally:
        tracemalloc.stop()


def resident_bytes() -> int:
    """What the operating system gave; 0 where it does not tell."""
    if not STATM.exists():
        return 0
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("name", INSTALLED)
def test_hundreds_of_conversions_and_loads_leave_nothing_behind(name: str) -> None:
    traced, _ = growth(iteration(load_backend(name)), WARM_UP, 300)
    assert traced < TRACED_QUICK


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTALLED)
def test_ten_thousand_conversions_and_loads_leave_nothing_behind(name: str) -> None:
    traced, resident = growth(iteration(load_backend(name)), WARM_UP, 10_000)
    assert traced < TRACED_SLOW
    assert resident < RESIDENT_SLOW
