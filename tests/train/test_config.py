"""Configuration: differences over defaults, dotted overrides, and errors that help."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rivc.errors import ConfigError, MissingError
from rivc.train.config import Config, config_keys, config_names, load_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", config_names())
def test_shipped_configurations_load_and_hold_only_differences(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    reread = load_config_text(config.to_yaml())
    assert reread == config


def load_config_text(text: str) -> Config:
    return Config.model_validate(yaml.safe_load(text))


def test_only_a_centred_readout_is_told() -> None:
    """What was hashed before there was one keeps its hash."""
    assert "readout" not in load_config("quickstart").model_dump()["net"]
    config = load_config("quickstart", {"net.readout": "centred"})
    assert config.model_dump()["net"]["readout"] == "centred"
    assert load_config_text(config.to_yaml()) == config


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\ntrain: {discount: 0.5}\n")
    config = load_config(path, {"seed": 2, "train.gap_coef": 0.25, "env.kwargs.size": 64})
    assert (config.name, config.seed) == ("mine", 2)
    assert (config.train.discount, config.train.gap_coef) == (0.5, 0.25)
    assert config.env.kwargs == {"size": 64}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"train.gap_cof": 1}, "did you mean 'train.gap_coef'"),
        ({"quant.weight_bits": 9}, "less than or equal to 8"),
        ({"seed": "many"}, "seed"),
        ({"train.discount": 1.0}, "less than 1"),
        ({"net.conv": [[1, 2]]}, "net.conv.0"),
        ({"seed": 1, "seed.more": 1}, "holds a value"),
        ({"train.reward_scale": "big"}, "train.reward_scale"),
    ],
)
def test_a_wrong_key_or_value_is_named(override: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config("quickstart", override)
    assert "\n" not in str(caught.value)


def test_a_missing_configuration_names_the_shipped_ones() -> None:
    with pytest.raises(MissingError, match="did you mean 'quickstart'"):
        load_config("quickstrt")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "7"])
def test_what_is_not_keys_and_values_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


def test_infinity_can_be_written_in_yaml() -> None:
    config = load_config(
        "quickstart", {"train.inverse_temperature": float("inf"), "train.gap_clip": -float("inf")}
    )
    assert config.temperature == 0.0
    assert load_config_text(config.to_yaml()) == config


def test_every_key_says_what_it_is() -> None:
    assert "train.gap_coef" in config_keys()
    for section in Config.model_fields.values():
        fields = getattr(section.annotation, "model_fields", {})
        assert all(field.description for field in fields.values())


def test_the_automatic_reward_scale_is_one_minus_the_discount() -> None:
    assert load_config("quickstart", {"train.discount": 0.75}).reward_scale == 0.25
    assert load_config("quickstart", {"train.reward_scale": 2}).reward_scale == 2.0


@pytest.mark.parametrize("name", ["bins", "history"])
def test_what_wraps_an_environment_is_no_argument_of_it(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is no argument .*; write env\.{name}"):
        load_config("quickstart", {f"env.kwargs.{name}": 3})


@pytest.mark.parametrize(
    "key",
    [
        "train.updates_per_env_step",
        "train.huber_delta",
        "train.learning_rate",
        "train.reward_scale",
    ],
)
def test_infinity_is_refused_where_nothing_could_be_learnt(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load_config("quickstart", {key: math.inf})
