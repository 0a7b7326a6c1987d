"""How disturbances are named, scaled and refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.envs.disturb import (
    FAMILIES,
    FULL,
    Disturbances,
    read_difficulty,
    read_disturbances,
)
from rivc.errors import ConfigError

GUIDE = Path(__file__).parents[3] / "docs" / "robots.md"


def test_every_field_belongs_to_one_family() -> None:
    named = [name for family in FAMILIES.values() for name in family]
    assert sorted(named) == sorted(row.name for row in fields(Disturbances))


def test_without_anything_nothing_is_disturbed() -> None:
    assert read_disturbances(None).extents() == Disturbances().extents() == {}


def test_a_name_stands_for_the_full_extent() -> None:
    assert read_disturbances("all") == FULL
    assert read_disturbances("mass").extents() == {"mass_share": FULL.mass_share}


def test_what_comes_later_in_a_mapping_wins() -> None:
    found = read_disturbances({"all": 0.5, "mass": 0.0, "action_delay_steps": 3})
    assert found.action_delay_steps == 3
    assert found.mass_share == 0
    assert found.light_share == FULL.light_share / 2


@given(st.floats(0, 1))
def test_difficulty_scales_every_extent(difficulty: float) -> None:
    scaled = FULL.scaled(difficulty)
    for row in fields(Disturbances):
        assert getattr(scaled, row.name) == difficulty * getattr(FULL, row.name)


@given(st.floats(0, 1))
def test_difficulty_scales_both_ends_of_an_extent(difficulty: float) -> None:
    scaled = Disturbances(picture_noise_levels=(2, 4)).scaled(difficulty)
    assert scaled.picture_noise_levels == (2 * difficulty, 4 * difficulty) or not difficulty
    assert bool(scaled.extents()) == (difficulty > 0)


def test_two_numbers_of_a_configuration_are_the_least_and_the_most() -> None:
    found = read_disturbances({"picture_noise_levels": [4, 4], "action_delay_steps": [1, 2]})
    assert found.extents() == {"picture_noise_levels": (4, 4), "action_delay_steps": (1, 2)}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("ligth", "unknown disturbance 'ligth'; did you mean 'light'?"),
        ({"mass_shar": 1}, "unknown disturbance 'mass_shar'; did you mean 'mass_share'?"),
        ({3: 1}, "unknown disturbance 3; known: light, colours, "),
        ({"light": 2}, "disturbance light: 2 is not a share from 0 to 1"),
        ({"light": "much"}, "disturbance light: 'much' is not a share from 0 to 1"),
        ({"light": True}, "disturbance light: True is not a share from 0 to 1"),
        ({"mass_share": 1}, "mass_share=1 is not a number from 0 to 0.9"),
        ({"mass_share": float("nan")}, "mass_share=nan is not a number from 0 to 0.9"),
        ({"mass_share": None}, "mass_share=None is not a number from 0 to 0.9"),
        ({"action_delay_steps": -1}, "action_delay_steps=-1 is not a number from 0 to 100"),
        (
            {"action_delay_steps": [2, 1]},
            "action_delay_steps=(2, 1) is not a number from 0 to 100, or",
        ),
        (
            {"action_delay_steps": [1]},
            "action_delay_steps=(1,) is not a number from 0 to 100, or two",
        ),
        ({"mass_share": [0.1, 0.2]}, "mass_share=(0.1, 0.2) is not a number from 0 to 0.9"),
        (["light"], "disturbances=['light'] is neither a name nor a mapping of names"),
    ],
)
def test_a_wrong_name_or_extent_is_told_with_the_way_out(wanted: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_disturbances(wanted)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("wanted", [-0.1, 1.1, "hard", None, True, [0.5], [0.6, 0.4], [0, 0, 1]])
def test_a_difficulty_is_a_number_or_two_in_order(wanted: object) -> None:
    with pytest.raises(ConfigError, match="neither a number from 0 to 1 nor two in order"):
        read_difficulty(wanted)


def test_the_guide_names_every_field_with_its_full_extent() -> None:
    rows = [
        [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
        for line in GUIDE.read_text().partition("## Disturbances")[2].splitlines()
        if line.startswith("| `")
    ]
    table = {row[1]: (row[0], float(row[2])) for row in rows if len(row) == 4}
    assert table == {
        name: (family, getattr(FULL, name)) for family, names in FAMILIES.items() for name in names
    }
