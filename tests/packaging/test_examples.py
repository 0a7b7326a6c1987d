"""Every example in a docstring runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib
from importlib.util import find_spec

import pytest

from tests.packaging.test_imports import modules

NEEDS = {  # an optional package
    "rivc.neurochip.akida": "akida",
    "rivc.sb3.algorithm": "stable_baselines3",
    "rivc.sb3.vector": "stable_baselines3",
    "rivc.zoo": "stable_baselines3",
}
OTHERS = [
    "rivc.nets.build",
    "rivc.nets.network",
    "rivc.nets.calibrate",
    "rivc.cli.progress",
    "rivc.compare.sb3",
    "rivc.compare.suite",
    "rivc.report.comparison",
    "rivc.report.curves",
    "rivc.report.examine",
    "rivc.report.page",
    "rivc.report.plots",
    "rivc.report.run_cards",
    "rivc.report.run_tables",
    "rivc.report.scale",
    "rivc.report.statistics",
    "rivc.train.margins",
    "rivc.sb3.algorithm",
    "rivc.sb3.normalize",
    "rivc.sb3.settings",
    "rivc.sb3.vector",
    "rivc.train.config",
    "rivc.tune.space",
    "rivc.tune.study",
    "rivc.zoo",
]
NAMES = [
    name
    for name in [*modules(), *OTHERS]
    if name not in NEEDS or find_spec(NEEDS[name]) is not None
]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_module_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in NAMES for test in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) > 12
