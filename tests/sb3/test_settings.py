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


def test_imitation_is_refused() -> None:
    with pytest.raises(ConfigError, match="no expert"):
        resolve(None, "MlpPolicy", {"expert_start": 0.5})
