"""The chip of docs/bring-your-own-chip.md conforms, and its own arithmetic can be described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rivc.neurochip.testing import check_backend

PAGE = Path(__file__).parents[2] / "docs" / "bring-your-own-chip.md"


def test_the_example_chip_conforms() -> None:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(code, names)
    found = check_backend(names["MyChip"](), programs=9, states=16)
    assert found.ok, str(found)
    assert found.programs["mlp"] == 3
    assert names["MINE"].readout_bits == 4
