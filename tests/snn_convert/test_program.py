"""Facts about the frozen program: what it is, what its hash covers, what makes none."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings

from rivc.errors import DamagedFileError
from rivc.quant import Grid
from rivc.quant.encoding import InputEncoding
from rivc.quant.profile import MAX_BITS, MAX_FRAC_BITS
from rivc.snn_convert import Layer, SpikingProgram, reference, validate
from rivc.snn_convert.program import greedy
from rivc.snn_convert.validate import MAX_LEVELS, MAX_NEURONS
from tests.programs import conv_program, dense_program, random_counts
from tests.strategies import programs

if TYPE_CHECKING:
    from pathlib import Path


def with_layer(program: SpikingProgram, i: int, **change: Any) -> SpikingProgram:
    layers = list(program.layers)
    layers[i] = replace(layers[i], **change)
    return replace(program, layers=tuple(layers))


def bumped(array: np.ndarray) -> np.ndarray:
    other = array.copy()
    other.flat[0] += 1 if other.flat[0] <= 0 else -1
    return other


@settings(max_examples=40)
@given(programs())
def test_every_layer_emits_the_shape_that_is_stated(program: SpikingProgram) -> None:
    emitted = reference.trace(program, np.zeros((1, *program.encoding.shape), np.uint8))
    assert [x.shape[1:] for x in emitted] == list(program.shapes[1:])


def test_counts_keep_their_bound_through_pooling_and_flattening() -> None:
    assert conv_program().levels_in == (255, 3, 3, 3, 7)


def test_equal_programs_are_equal_with_equal_hashes() -> None:
    one, other = conv_program(), conv_program()
    assert one == other
    assert hash(one) == hash(other)
    assert one.sha256 == other.sha256
    assert one != dense_program()
    assert one != "a program"


@pytest.mark.parametrize("order", ["<", ">", "="])
def test_the_hash_does_not_depend_on_byte_order_or_memory_order(
    order: Literal["<", ">", "="],
) -> None:
    program = conv_program()
    swapped = program
    for i, layer in enumerate(program.layers):
        arrays = {
            name: np.asfortranarray(array.astype(array.dtype.newbyteorder(order)))
            for name, array in layer.arrays.items()
        }
        swapped = with_layer(swapped, i, **arrays)
    assert swapped.sha256 == program.sha256
    counts = random_counts(program, np.random.default_rng(0), 4)
    np.testing.assert_array_equal(reference.run(swapped, counts), reference.run(program, counts))


@pytest.mark.parametrize(
    "change",
    [
        {"readout_scale": 0.25},
        {"action_layout": (2, 2)},
        {"profile": "akida1"},
        {"encoding": InputEncoding("image", (7, 6, 2), 7)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_hash_covers_every_field_of_the_program(change: dict[str, Any]) -> None:
    assert replace(conv_program(), **change).sha256 != conv_program().sha256


@pytest.mark.parametrize("name", ["bit_width", "low", "step"])
def test_the_hash_covers_every_field_of_a_vector_s_encoding(name: str) -> None:
    program = dense_program()
    value = getattr(program.encoding, name)
    other: Any = 5 if name == "bit_width" else (value[0] + 2**-40, *value[1:])
    changed = replace(program, encoding=replace(program.encoding, **{name: other}))
    assert changed.sha256 != program.sha256


@pytest.mark.parametrize("name", ["weight", "bias", "threshold"])
@pytest.mark.parametrize("i", [0, 3])
def test_the_hash_covers_every_integer_of_a_layer(i: int, name: str) -> None:
    program = conv_program()
    other = bumped(program.layers[i].arrays[name])
    assert with_layer(program, i, **{name: other}).sha256 != program.sha256


@pytest.mark.parametrize(
    "change",
    [{"weight_bits": 3}, {"frac_bits": 4}, {"levels": 4}, {"padding": (1, 1, 1, 0)}],
    ids=str,
)
def test_the_hash_covers_every_number_of_a_layer(change: dict[str, Any]) -> None:
    assert with_layer(conv_program(), 0, **change).sha256 != conv_program().sha256


def test_the_hash_covers_a_geometry_that_changes_no_shape() -> None:
    forms = [pool_of_one_pixel(kernel, stride) for kernel in (1, 2) for stride in (1, 2)]
    assert len({form.sha256 for form in forms}) == len(forms)


def pool_of_one_pixel(kernel: int, stride: int) -> SpikingProgram:
    padding = (0, 0, kernel - 1, kernel - 1)
    pool = Layer("maxpool2d", kernel=kernel, stride=stride, padding=padding)
    last = Layer("dense", np.ones((1, 1), np.int8), np.zeros(1, np.int32), weight_bits=2)
    encoding = InputEncoding.image((1, 1, 1))
    return SpikingProgram(encoding, (pool, Layer("flatten"), last), 1.0, (1, 1), "ideal")


def test_the_hash_does_not_depend_on_whose_numbers_they_are(tmp_path: Path) -> None:
    """`action_space.n` of Gymnasium, for one, is an integer of numpy."""
    encoding = InputEncoding("vector", (6,), 4, (0.0,) * 6, (1.0,) * 6)
    plain = replace(dense_program(), encoding=encoding)
    theirs = replace(
        plain,
        encoding=InputEncoding("vector", (np.int64(6),), 4, (0,) * 6, (np.float32(1),) * 6),  # type: ignore[arg-type]
        action_layout=(np.int64(2), np.int32(3)),  # type: ignore[arg-type]
        readout_scale=np.float32(plain.readout_scale),  # type: ignore[arg-type]
    )
    theirs = with_layer(theirs, 0, levels=np.uint8(15), frac_bits=np.int64(4))
    assert theirs.sha256 == plain.sha256
    theirs.save(tmp_path / "program.npz")
    assert SpikingProgram.load(tmp_path / "program.npz") == plain


def test_nothing_in_a_program_can_be_written(program: SpikingProgram) -> None:
    with pytest.raises(FrozenInstanceError):
        program.readout_scale = 2.0  # type: ignore[misc]
    for layer in program.layers:
        with pytest.raises(FrozenInstanceError):
            layer.stride = 2  # type: ignore[misc]
        for array in layer.arrays.values():
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_a_program_shares_no_memory_with_what_it_was_made_from() -> None:
    weight = np.ones((2, 6), np.int8)
    layer = Layer("dense", weight[:], np.zeros(2, np.int32), weight_bits=4)
    program = replace(dense_program(), layers=(layer,), action_layout=(1, 2))
    before = program.sha256
    weight[:] = 3
    assert (program.layers[0].weight == 1).all()
    assert replace(program).sha256 == before


def test_action_values_are_the_readout_in_real_units(
    program: SpikingProgram, rng: np.random.Generator
) -> None:
    readout = reference.run(program, random_counts(program, rng, 4))
    values = program.q_values(readout)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, readout * program.readout_scale)


def test_the_greedy_action_of_a_tie_has_the_lowest_index() -> None:
    readout = np.array([[[1, 3, 3], [2, 2, 2]], [[0, -1, 0], [-5, -4, -4]]])
    assert greedy(readout).tolist() == [[1, 0], [0, 1]]


SPIKING = conv_program().layers[3]
READOUT = conv_program().layers[4]


@pytest.mark.parametrize(
    ("i", "change", "message"),
    [
        (0, {"weight": np.full((3, 2, 3, 2), 2, np.int8)}, "2-bit grid"),
        (0, {"weight_bits": 1}, "1-bit grid"),
        (0, {"weight_bits": 9}, "9 bits"),
        (0, {"weight_bits": 0}, "0 bits"),
        (0, {"weight": np.zeros((3, 2, 3, 2), np.int16)}, "int16"),
        (0, {"bias": np.zeros(3, np.int64)}, "int64"),
        (0, {"bias": np.zeros(2, np.int32)}, r"\(2,\) biases"),
        (0, {"threshold": np.array([5, 1, 5], np.int32)}, "threshold 1"),
        (0, {"threshold": np.array([5, 5], np.int32)}, r"\(2,\) thresholds"),
        (0, {"levels": 256}, "256"),
        (0, {"levels": -1}, "-1"),
        (0, {"levels": 0}, "readout"),
        (0, {"frac_bits": 17}, "17"),
        (0, {"stride": 0}, "cannot receive"),
        (0, {"padding": (-1, 0, 0, 0)}, "padding"),
        (0, {"padding": (0, 0, 0)}, "padding"),
        (0, {"padding": (0, 2, 0, 0)}, "padding"),
        (0, {"kind": "conv3d"}, "conv3d"),
        (0, {"kernel": 3}, "kernel"),
        (1, {"kernel": 0}, "window"),
        (1, {"kernel": 9}, "cannot receive"),
        (1, {"levels": 3}, "levels"),
        (1, {"weight_bits": 4}, "weight"),
        (1, {"weight": np.zeros(3, np.int8)}, "weights"),
        (2, {"stride": 2}, "stride"),
        (0, {"stride": 1 << 63}, "stride"),
        (3, {"weight": SPIKING.weight[:, :-1]}, "cannot receive"),
        (3, {"stride": 2}, "stride"),
        (4, {"levels": 3, "threshold": np.full(4, 9, np.int32)}, "readout"),
        (4, {"frac_bits": 1}, "frac"),
        (4, {"threshold": np.full(4, 9, np.int32)}, "thresholds"),
        (4, {"threshold": np.array(9, np.int32)}, "thresholds"),
        (4, {"weight": READOUT.weight[:3], "bias": READOUT.bias[:3]}, "groups"),
        (4, {"weight": np.zeros((4, 0), np.int8)}, "no weights"),
    ],
)
def test_what_is_no_layer_is_refused_by_name(i: int, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DamagedFileError, match=message):
        with_layer(conv_program(), i, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "layers"),
        ({"layers": (*[Layer("flatten")] * 300, READOUT)}, "layers"),
        ({"layers": conv_program().layers[:-1]}, "readout"),
        ({"readout_scale": 0.0}, "scale"),
        ({"profile": "ideal\n\x1b[31mall is well"}, "profile"),
        ({"profile": "x" * 201}, "profile"),
        ({"readout_scale": -1.0}, "scale"),
        ({"readout_scale": float("nan")}, "scale"),
        ({"action_layout": (0, 4)}, "groups"),
        ({"action_layout": (3, 4)}, "groups"),
        ({"format_version": 2}, "version"),
        ({"action_layout": (4,)}, "groups"),
        ({"action_layout": ()}, "groups"),
        ({"encoding": InputEncoding("image", (7, 6), 8)}, r"\(7, 6\)"),
        ({"encoding": InputEncoding("image", (7, 6, 0), 8)}, r"\(7, 6, 0\)"),
        ({"encoding": InputEncoding("image", (7, 6, 2), 8, (0.0,))}, "ranges"),
        ({"encoding": InputEncoding.image((1 << 13, 1 << 13, 2))}, "neurons|cannot receive"),
    ],
)
def test_what_is_no_program_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DamagedFileError, match=message):
        replace(conv_program(), **change)


@pytest.mark.parametrize(
    ("low", "step", "message"),
    [
        ((0.0,) * 5, (1.0,) * 6, "ranges"),
        ((np.nan,) * 6, (1.0,) * 6, "finite"),
        ((0.0,) * 6, (0.0,) * 6, "width"),
        ((0.0,) * 6, (np.inf,) * 6, "width"),
    ],
)
def test_an_input_without_a_range_is_refused(
    low: tuple[float, ...], step: tuple[float, ...], message: str
) -> None:
    with pytest.raises(DamagedFileError, match=message):
        replace(dense_program(), encoding=InputEncoding("vector", (6,), 4, low, step))


def test_nothing_that_is_accepted_can_overflow_int64() -> None:
    """The widest layer of the limits: every input full, every weight, bias and threshold too."""
    drive = MAX_NEURONS * Grid(MAX_BITS).q_max * MAX_LEVELS << MAX_FRAC_BITS
    assert drive + 2 * (2**31) < 2**62


def test_more_neurons_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    padded = 9 * 7 * 2  # of the image, the largest
    monkeypatch.setattr(validate, "MAX_NEURONS", padded)
    conv_program()
    monkeypatch.setattr(validate, "MAX_NEURONS", padded - 1)
    with pytest.raises(DamagedFileError, match="neurons"):
        conv_program()


@pytest.mark.parametrize("layer", [Layer("maxpool2d", kernel=1), Layer("flatten")])
def test_a_layer_for_pictures_cannot_receive_a_vector(layer: Layer) -> None:
    with pytest.raises(DamagedFileError, match=r"cannot receive \(6,\)"):
        layer.output_shape((6,))


def test_a_program_encodes_as_its_encoding_does() -> None:
    program = dense_program()
    observation = np.linspace(-2, 2, 12).reshape(2, 6)
    np.testing.assert_array_equal(program.encode(observation), program.encoding.encode(observation))


@settings(max_examples=40)
@given(programs())
def test_no_membrane_is_wider_than_is_stated(program: SpikingProgram) -> None:
    """The worst input of each neuron, sign by sign, against the stated bits."""
    for layer, levels_in, bits in zip(
        program.layers, program.levels_in, program.membrane_bits, strict=True
    ):
        if not layer.has_weights:
            assert bits == 0
            continue
        weight = layer.weight.reshape(len(layer.weight), -1).astype(object)
        for row, bias, th in zip(
            weight, layer.bias.tolist(), layer.threshold.tolist() or [0] * len(weight), strict=True
        ):
            high = sum(w for w in row if w > 0) * levels_in * 2**layer.frac_bits
            low = sum(w for w in row if w < 0) * levels_in * 2**layer.frac_bits
            worst = max(abs(high + bias + th // 2), abs(low + bias + th // 2))
            assert worst < 2 ** (bits - 1)


def integers_of(program: SpikingProgram) -> list[Any]:
    return [tuple(layer.arrays.values()) for layer in program.layers if layer.has_weights]


@settings(max_examples=40)
@given(programs())
def test_other_integers_in_the_same_layers_make_the_program_built_of_them(
    program: SpikingProgram,
) -> None:
    changed = [(-w, b // 2, np.maximum(t // 2, 2)) for w, b, t in integers_of(program)]
    given_them = iter(changed)
    layers = tuple(
        replace(layer, **dict(zip(layer.arrays, next(given_them), strict=True)))
        if layer.has_weights
        else layer
        for layer in program.layers
    )
    afresh = replace(program, layers=layers, readout_scale=0.5)
    before, other = program.sha256, program.with_integers(changed, 0.5)
    assert other == afresh
    assert other.membrane_bits == afresh.membrane_bits
    assert (other.shapes, other.levels_in) == (afresh.shapes, afresh.levels_in)
    assert program.sha256 == before


def test_other_integers_are_copied_and_cannot_be_written() -> None:
    program = dense_program()
    integers = [tuple(array.copy() for array in arrays) for arrays in integers_of(program)]
    other = program.with_integers(integers, program.readout_scale)
    integers[0][0][:] = 0
    assert other == program
    with pytest.raises(ValueError, match="read-only"):
        other.layers[0].weight[0, 0] = 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w, b, t: (w[:, 1:], b, t), "weight int8"),
        (lambda w, b, t: (w, b.astype(np.int64), t), "bias int64"),
        (lambda w, b, t: (w, b, t[1:]), "threshold int32"),
        (lambda w, b, t: (np.full_like(w, -128), b, t), "a weight of magnitude 128"),
        (lambda w, b, t: (w, b, np.ones_like(t)), "threshold 1 is below 2"),
    ],
)
def test_other_integers_that_make_no_program_are_refused(change: Any, says: str) -> None:
    program = dense_program()
    first, *rest = integers_of(program)
    with pytest.raises(DamagedFileError, match=says):
        program.with_integers([change(*first), *rest], 1.0)


def test_other_integers_of_too_few_layers_or_without_a_scale_are_refused() -> None:
    program = dense_program()
    with pytest.raises(DamagedFileError, match="integers of 1 layers for"):
        program.with_integers(integers_of(program)[:1], 1.0)
    with pytest.raises(DamagedFileError, match="readout scale"):
        program.with_integers(integers_of(program), float("nan"))


@settings(max_examples=40)
@given(programs())
def test_no_membrane_is_wider_than_the_widths_say(program: SpikingProgram) -> None:
    assert max(program.membrane_bits) <= program.membrane_bound
    for layer in program.layers:
        if layer.has_weights:
            assert layer.weight_norm <= layer.weight_bound
