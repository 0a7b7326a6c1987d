"""The names of settings."""

from __future__ import annotations

import pytest

from rivc.errors import ConfigError
from rivc.sb3.settings import known_settings, overrides, resolve
from rivc.train.config import config_keys


def test_every_name_is_a_setting() -> None:
    assert set(known_settings().values()) <= set(config_keys())
    assert set(config_keys()) <= set(known_settings())


def test_an_ambiguous_last_part_is_no_name() -> None:
    with pytest.raises(ConfigError, match="every_env_steps"):
        overrides({"every_env_steps": 1})


def test_convolutions_come_with_the_policy_unless_given() -> None:
    assert resolve(None, "MlpPolicy", {}).net.conv == ()
    assert resolve(None, "CnnPolicy", {}).net.conv == ((16, 3, 2), (32, 3, 2))
    assert resolve(None, "CnnPolicy", {"conv": [[4, 3, 1]]}).net.conv == ((4, 3, 1),)


def test_seeds_of_32_bits_lose_the_highest() -> None:
    assert overrides({"seed": 2**32 - 1}) == {"seed": 2**31 - 1}
    assert overrides({"seed": 2**31 - 1}) == {"seed": 2**31 - 1}
    with pytest.raises(ConfigError, match="seed"):
        resolve(None, "MlpPolicy", {"seed": -1})


def test_schedules_of_sb3_become_a_straight_fall() -> None:
    assert overrides({"learning_rate": lambda _: 1e-3}) == {"train.learning_rate": 1e-3}
    assert overrides({"learning_rate": lambda left: 1e-3 * (0.25 + 0.75 * left)}) == {
        "train.learning_rate": 1e-3,
        "train.learning_rate_end": 0.25,
    }
    for schedule in (lambda left: left**2, lambda left: 1 - left):
        with pytest.raises(ConfigError, match="straight line"):
            overrides({"learning_rate": schedule})
