"""Exported ONNX: whoever runs it, its integers are the program's."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ChipLimitError, DamagedFileError, MissingError
from rivc.nets import build_network
from rivc.neurochip.compare import compare
from rivc.neurochip.export import ExportOptions, export_program, load_export
from rivc.neurochip.export.onnx import onnx_model, read_onnx, write_onnx
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import SpikingProgram, convert, reference
from tests.programs import conv_program, dense_program, random_counts, readout
from tests.strategies import counts_for, programs

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.neurochip.compare import Form

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'rivc[onnx]'")
INTEGER_OPS = {
    *(
        "Transpose",
        "Pad",
        "ConvInteger",
        "MatMulInteger",
        "Cast",
        "Mul",
        "Add",
        "Max",
        "Min",
        "Div",
    ),
    *("MaxPool", "Flatten", "Reshape"),
}


@pytest.fixture(params=["evaluator", "onnxruntime"])
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either way to run a model; the second one if it is installed."""
    if request.param == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    else:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    return str(request.param)


def exported(program: SpikingProgram, folder: Path) -> Form:
    write_onnx(program, folder, ExportOptions())
    (form,) = read_onnx(folder, folder).values()
    return form


@pytest.mark.usefixtures("runner")
def test_the_model_equals_the_reference(
    program: SpikingProgram, tmp_path: Path, rng: np.random.Generator
) -> None:
    counts = random_counts(program, rng, 100)
    result = compare(exported(program, tmp_path)(counts), reference.run(program, counts))
    assert result.mismatches == 0, str(result.first)


@settings(max_examples=25)
@given(data=st.data())
def test_drawn_programs_agree(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = data.draw(programs())
    counts = data.draw(counts_for(program))
    form = exported(program, tmp_path_factory.getbasetemp())
    assert compare(form(counts), reference.run(program, counts)).mismatches == 0


@pytest.mark.slow
@pytest.mark.usefixtures("runner")
def test_many_drawn_programs_agree(tmp_path: Path) -> None:
    @settings(max_examples=400)
    @given(programs(), st.integers(0, 2**32 - 1))
    def agree(program: SpikingProgram, seed: int) -> None:
        counts = random_counts(program, np.random.default_rng(seed), 50)
        form = exported(program, tmp_path)
        assert compare(form(counts), reference.run(program, counts)).mismatches == 0

    agree()


def test_there_are_integers_only(program: SpikingProgram) -> None:
    model = onnx.shape_inference.infer_shapes(onnx_model(program), strict_mode=True)
    assert {node.op_type for node in model.graph.node} <= INTEGER_OPS
    # no INT8: its products with UINT8 saturate where x86 without VNNI adds two of them
    integers = {onnx.TensorProto.UINT8, onnx.TensorProto.INT32, onnx.TensorProto.INT64}
    assert {constant.data_type for constant in model.graph.initializer} <= integers
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    assert {value.type.tensor_type.elem_type for value in values} <= integers


def test_equal_programs_give_equal_files(tmp_path: Path) -> None:
    files = []
    for name in ("one", "other"):
        export_program(conv_program(), tmp_path / name, format="onnx")
        files.append((tmp_path / name / "model.onnx").read_bytes())
    assert files[0] == files[1]


def test_a_changed_weight_is_found(tmp_path: Path) -> None:
    export_program(dense_program(), tmp_path / "x", format="onnx")
    path = tmp_path / "x" / "model.onnx"
    model = onnx.load(path)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0] += 1
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "constant0"))
    onnx.save(model, path)
    loaded = load_export(tmp_path / "x")
    (form,) = loaded.forms(tmp_path).values()
    assert compare(form(loaded.golden.inputs), loaded.golden.readout).mismatches


@pytest.mark.parametrize("data", [b"", b"not a model", None])
def test_a_damaged_model_is_told(data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"is no ONNX model|model\.onnx is gone"):
        read_onnx(tmp_path, tmp_path)


def foreign(takes: str = "counts", rank: int = 2, gives: str = "readout", to: str = "INT64") -> Any:
    """A valid model of somebody else's, which only converts what it takes."""
    helper, types = onnx.helper, onnx.TensorProto
    shape, kind = ["batch", *[6] * (rank - 1)], getattr(types, to)
    nodes = [
        helper.make_node("Cast", [takes], ["x"], to=kind),
        helper.make_node("Unsqueeze", ["x", "axes"], [gives]),
    ]
    ends = (
        [helper.make_tensor_value_info(takes, types.UINT8, shape)],
        [helper.make_tensor_value_info(gives, kind, ["batch", 1, *shape[1:]])],
    )
    axes = helper.make_tensor("axes", types.INT64, [1], [1])
    graph = helper.make_graph(nodes, "foreign", *ends, [axes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    "ends",
    [{"takes": "image"}, {"rank": 3}, {"gives": "logits"}, {"to": "FLOAT"}],
    ids=["another input", "another rank", "another output", "floats"],
)
@pytest.mark.usefixtures("runner")
def test_a_model_of_another_kind_is_told(ends: dict[str, Any], tmp_path: Path) -> None:
    onnx.save(foreign(**ends), tmp_path / "model.onnx")
    with pytest.raises(DamagedFileError, match=r"not the model of a program: it has "):
        read_onnx(tmp_path, tmp_path)


@pytest.mark.usefixtures("runner")
def test_a_model_that_does_not_run_is_told(tmp_path: Path) -> None:
    onnx.save(foreign(), tmp_path / "model.onnx")
    read_onnx(tmp_path, tmp_path)  # whatever it computes is compared
    form = exported(dense_program(), tmp_path)  # of another program: six inputs
    with pytest.raises(DamagedFileError, match=r"model\.onnx does not run: "):
        form(np.ones((2, 5), np.uint8))


@pytest.mark.parametrize("weight", [127, 1])
def test_sums_beyond_int32_are_refused(weight: int) -> None:
    inputs = 2**31 // (255 * 255) + 1  # for the weights stand about 128
    last = readout(np.full((1, inputs), weight, np.int8), np.zeros(1, np.int32), weight_bits=8)
    encoding = InputEncoding.over_range([0.0] * inputs, [1.0] * inputs, bit_width=8)
    program = SpikingProgram(encoding, (last,), 1.0, (1, 1), "ideal")
    with pytest.raises(ChipLimitError, match="ONNX has int32"):
        onnx_model(program)


def test_a_missing_onnx_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingError, match=r"pip install 'rivc\[onnx\]'"):
        export_program(dense_program(), tmp_path / "x", format="onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.usefixtures("runner")
def test_the_model_is_the_network_in_training(
    kind: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """The same integers, and with the scale in the model's properties the same action values."""
    image: dict[str, Any] = {"input_shape": (9, 9, 3), "conv": ((4, 3, 2),)}
    shape: dict[str, Any] = {"input_shape": (5,)} if kind == "mlp" else image
    net = build_network(kind, action_layout=(2, 3), hidden=(12,), seed=0, **shape)
    program = convert(net)
    counts = random_counts(program, rng, 40)
    form = exported(program, tmp_path)
    with torch.no_grad():
        q_values = net(torch.from_numpy(counts)).double().numpy()
        readout = net.readout(torch.from_numpy(counts)).numpy()
    assert np.array_equal(form(counts), readout)
    properties = {p.key: p.value for p in onnx_model(program).metadata_props}
    scale = float(properties["readout_scale"])
    np.testing.assert_allclose(form(counts) * scale, q_values, rtol=1e-6, atol=1e-6 * scale)
    assert json.loads(properties["encoding"])["levels"] == program.encoding.levels
