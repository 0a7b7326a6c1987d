"""From a description to a network: what is built, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError
from rivc.nets import build_network
from rivc.quant import load_profile
from rivc.quant.encoding import InputEncoding
from rivc.quant.geometry import same_padding
from rivc.quant.qat import QuantConv2d
from tests.strategies import network_arguments

MLP: dict[str, Any] = {"kind": "mlp", "input_shape": (8,), "action_layout": (1, 4)}
CONV: dict[str, Any] = {"kind": "conv", "input_shape": (9, 7, 2), "action_layout": (2, 3)}


def widths(**arguments: Any) -> list[int]:
    return [layer.spec.weight_bits for layer, _ in build_network(**arguments).chain()]


@settings(max_examples=40)
@given(st.sampled_from(["ideal", "akida1", "akida2"]).flatmap(network_arguments))
def test_action_values_have_the_shape_of_the_action_layout(arguments: dict[str, Any]) -> None:
    net = build_network(**arguments)
    x = torch.zeros((3, *arguments["input_shape"]), dtype=torch.uint8)
    assert net(x).shape == net.readout(x).shape == (3, *arguments["action_layout"])
    assert net(x).dtype == torch.float32
    assert net.readout(x).dtype == torch.int64


def test_the_same_arguments_give_the_same_weights() -> None:
    one, same, other = (build_network(**CONV, conv=((4, 3, 2),), seed=s) for s in (5, 5, 6))
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(one.weights_and_biases()[0], other.weights_and_biases()[0])


def test_building_leaves_torch_s_own_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    build_network(**MLP, hidden=(16,))
    assert torch.equal(torch.rand(1), expected)


def test_the_profile_decides_the_widths_at_both_ends() -> None:
    assert widths(**MLP, hidden=(5, 5), weight_bits=2) == [8, 2, 8]
    assert widths(**MLP, hidden=(5, 5), weight_bits=2, profile="akida1") == [4, 2, 4]
    conv = ((3, 3, 2), (3, 3, 2))
    assert widths(**CONV, conv=conv, weight_bits=2, profile="akida1") == [8, 2, 4]
    assert widths(**CONV, conv=conv, hidden=(5,), weight_bits=2) == [8, 2, 2, 8]
    assert widths(**MLP, hidden=(5, 5), profile="akida2") == [8, 4, 4]


def test_the_profile_decides_the_width_of_a_vector_s_counts() -> None:
    assert build_network(**MLP).encoding.levels == 255
    assert build_network(**MLP, profile="akida1").encoding.levels == 15
    assert build_network(**MLP, profile="akida2").encoding.levels == 127
    assert build_network(**CONV, profile="akida1").encoding.levels == 255


def test_only_the_first_layer_has_a_shifted_zero() -> None:
    net = build_network(**MLP, hidden=(5, 5))
    assert [layer.spec.zero_in for layer, _ in net.chain()] == [127.5, 0.0, 0.0]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_same_padding_gives_one_window_a_stride_with_the_odd_zero_after(
    size: int, kernel: int, stride: int
) -> None:
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    assert after < kernel
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)


def test_convolutions_see_the_image_in_same_padding() -> None:
    net = build_network(**CONV, conv=((4, 4, 3),))
    (conv, _), _ = net.chain()
    assert isinstance(conv, QuantConv2d)
    assert conv.padding == (0, 1, 1, 2)  # 9 rows and 7 columns to 3 and 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "cnn"}, "unknown network 'cnn'.*did you mean 'conv'"),
        ({"readout": "centered"}, "unknown readout 'centered'.*did you mean 'centred'"),
        ({"input_shape": (8, 8)}, "rank 1"),
        ({"conv": ((4, 3, 1),)}, "kind 'conv'"),
        ({"input_shape": (0,)}, "input_shape"),
        ({"hidden": (8, 0)}, "hidden"),
        ({"hidden": (-1,)}, "hidden"),
        ({"action_layout": (0, 4)}, "action_layout"),
        ({"action_layout": (1, 0)}, "action_layout"),
        ({"action_layout": (4,)}, "action_layout"),
        ({"weight_bits": 9}, "weight_bits"),
        ({"activation_bits": 0}, "activation_bits"),
        ({"profile": "ideel"}, "did you mean 'ideal'"),
        ({"encoding": InputEncoding.over_range([0.0] * 7, [1.0] * 7, bit_width=4)}, r"\(7,\)"),
        ({"encoding": InputEncoding.image((8, 1, 1))}, "image"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(**{**MLP, **change})


@pytest.mark.parametrize("conv", [(0, 3, 1), (4, 0, 1), (4, 3, 0), (4, 3), (-4, 3, 1)])
def test_a_convolution_without_a_size_is_refused(conv: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="conv"):
        build_network(**CONV, conv=(conv,))  # type: ignore[arg-type]


def test_a_profile_may_be_given_as_data() -> None:
    net = build_network(**MLP, profile=load_profile("akida1"))
    assert net.profile.name == "akida1"
