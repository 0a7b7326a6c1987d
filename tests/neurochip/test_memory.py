"""Converting and loading at every iteration, for days: a process does not grow.

What Python and numpy allocate is counted exactly. Of what the operating system gave, only the order
matters: allocators keep pages.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

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

# Caches fill up first; a plateau is reached in leaps, so what counts is the window that grew least:
# what leaks grows in every one.
WARM_UP: Final = 120
WINDOWS: Final = 4
# 205 bytes a turn: a single stock neuron that stays alive takes kilobytes.
TRACED_QUICK: Final = 8 << 10
QUICK_TURNS: Final = 40
# 6.5 bytes a turn, less than any object.
TRACED_SLOW: Final = 16 << 10
# 1.6 KB a turn.
RESIDENT_SLOW: Final = 4 << 20
SLOW_TURNS: Final = 2_500


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


class Growth(NamedTuple):
    """Bytes that some turns leave behind."""

    traced: int
    resident: int


def growth(turn: Callable[[], None], turns: int) -> Growth:
    """What the window of so many turns that grew least left behind, after a warm-up."""
    tracemalloc.start()
    try:
        repeat(turn, WARM_UP)
        marks = [held()]
        for _ in range(WINDOWS):
            repeat(turn, turns)
            marks.append(held())
    finally:
        tracemalloc.stop()
    return Growth(*np.diff(marks, axis=0).min(0).tolist())


def repeat(turn: Callable[[], None], times: int) -> None:
    for _ in range(times):
        turn()


def held() -> Growth:
    """What is held now."""
    gc.collect()
    return Growth(tracemalloc.get_traced_memory()[0], resident_bytes())


def resident_bytes() -> int:
    """What the operating system gave; 0 where it does not tell."""
    if not STATM.exists():
        return 0
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_turn_that_leaks_an_object_is_seen() -> None:
    kept: list[bytearray] = []
    assert growth(lambda: kept.append(bytearray(192)), QUICK_TURNS).traced >= TRACED_QUICK


@pytest.mark.parametrize("name", INSTALLED)
def test_hundreds_of_conversions_and_loads_leave_nothing_behind(name: str) -> None:
    assert growth(iteration(load_backend(name)), QUICK_TURNS).traced < TRACED_QUICK


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTALLED)
def test_ten_thousand_conversions_and_loads_leave_nothing_behind(name: str) -> None:
    found = growth(iteration(load_backend(name)), SLOW_TURNS)
    assert found.traced < TRACED_SLOW
    assert found.resident < RESIDENT_SLOW
