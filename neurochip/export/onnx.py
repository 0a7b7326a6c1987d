r"""ONNX that computes in integers from the counts to the readout.

A layer is ConvInteger or MatMulInteger (uint8 counts, uint8 weights about 128, int32 sums) and
then, in int64,

.. math:: \min(\lfloor \max(2^F z + B + \lfloor th / 2 \rfloor, 0) / th \rfloor, L)

Weights are not int8, for two products of uint8 and int8 saturate in the 16 bits where x86 without
VNNI adds them, and onnxruntime computes so; those of uint8 are widened first.

The maximum stands before the division, because ONNX leaves open how integers below zero divide.
Images come in HWC and are transposed once; flatten goes back to H, W, C.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc import __version__
from rivc.errors import ChipLimitError, DamagedFileError, MissingError
from rivc.snn_convert.storage import MAX_REASON, reason, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.neurochip.compare import Form
    from rivc.neurochip.export.formats import ExportOptions
    from rivc.snn_convert import Layer, SpikingProgram

    Session = Callable[[NDArray[np.uint8]], Any]  # from counts to whatever a model gives

MODEL_FILE: Final = "model.onnx"
OPSET: Final = 13
IR_VERSION: Final = 8  # of the time of this opset, so that old runtimes read it too
_INT32: Final = np.iinfo(np.int32)
_WEIGHT_ZERO: Final = 128  # the uint8 that stands for a weight of 0
_TAKES: Final = tuple(f"counts: UINT8 of rank {rank}" for rank in (2, 4))
_GIVES: Final = "readout: INT64 of rank 3"


def write_onnx(program: SpikingProgram, folder: Path, _: ExportOptions) -> None:
    """Write ``model.onnx``: ``counts``, uint8 [B, *shape], to ``readout``, int64 [B, d, n].

    Raises:
        MissingError: if onnx is not installed.
        ChipLimitError: if a weighted sum exceeds the int32 of ONNX.
    """
    model = onnx_model(program)
    write_atomically(folder / MODEL_FILE, model.SerializeToString(deterministic=True))


def read_onnx(folder: Path, _: Path) -> dict[str, Form]:
    """Return the model as a form: by onnxruntime if it is installed, else by onnx's evaluator.

    Raises:
        MissingError: if neither is installed.
        DamagedFileError: if the file is no such model, now or when the form is run.
    """
    onnx = _require_onnx()
    path = folder / MODEL_FILE
    if not path.is_file():
        raise DamagedFileError(f"{path} is gone, or no plain file; export again")
    try:
        onnx.checker.check_model(str(path), full_check=True)
        ends = _ends(onnx, path)
        session = _load(path)
    except Exception as error:  # whatever a parser or a runtime raises for what others wrote
        raise DamagedFileError(f"{path} is no ONNX model: {reason(error)}") from error
    if ends not in [[takes, _GIVES] for takes in _TAKES]:
        told = ", ".join(ends)[:MAX_REASON]
        raise DamagedFileError(f"{path} is not the model of a program: it has {told}")
    return {"onnx": partial(_run, session, path)}


def _ends(onnx: Any, path: Path) -> list[str]:
    """What a model takes and what it gives, in words."""
    graph = onnx.load(str(path), load_external_data=False).graph
    types = [(value.name, value.type.tensor_type) for value in (*graph.input, *graph.output)]
    type_name = onnx.TensorProto.DataType.Name
    return [
        f"{name}: {type_name(found.elem_type)} of rank {len(found.shape.dim)}"
        for name, found in types
    ]


def _run(session: Session, path: Path, counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    try:
        return np.asarray(session(counts), np.int64)
    except Exception as error:  # as above
        raise DamagedFileError(f"{path} does not run: {reason(error)}") from error


def _require_onnx() -> Any:
    try:
        import onnx
        import onnx.checker
    except ImportError as error:
        raise MissingError("onnx is not installed; pip install 'rivc[onnx]'") from error
    return onnx


def _load(path: Path) -> Session:
    try:
        import onnxruntime
    except ImportError:
        return _evaluator(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return lambda counts: session.run(None, {"counts": counts})[0]


def _evaluator(path: Path) -> Session:
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(path))

    def run(counts: NDArray[np.uint8]) -> Any:
        with np.errstate(
            invalid="ignore"
        ):  # it casts a NaN that its MaxPool then pads nothing with
            return session.run(None, {"counts": counts})[0]

    return run


def onnx_model(program: SpikingProgram) -> Any:
    """Return the program as an ONNX ModelProto; see `write_onnx`."""
    onnx = _require_onnx()
    graph = _Graph(onnx.helper, onnx.numpy_helper)
    x = "counts"
    if len(program.encoding.shape) == 3:
        x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    for layer, levels_in in zip(program.layers, program.levels_in, strict=True):
        if layer.has_weights:
            _check_sums(layer, levels_in)
        x = _LAYERS[layer.kind](graph, layer, x)
    shape = graph.constant(np.array([-1, *program.action_layout]))
    graph.add("Reshape", x, shape, output="readout")
    uint8, int64 = onnx.TensorProto.UINT8, onnx.TensorProto.INT64
    info = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        graph.nodes,
        "policy",
        [info("counts", uint8, ["batch", *program.encoding.shape])],
        [info("readout", int64, ["batch", *program.action_layout])],
        graph.constants,
        doc_string=f"rivc program {program.sha256}",
    )
    model = onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="rivc",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(model, _properties(program))
    onnx.checker.check_model(model, full_check=True)
    return model


def _properties(program: SpikingProgram) -> dict[str, str]:
    """What is needed around the graph: from observations to counts, from integers to values."""
    encoding = program.encoding
    return {
        "program_sha256": program.sha256,
        "readout_scale": repr(float(program.readout_scale)),
        "encoding": json.dumps(
            {
                "kind": encoding.kind,
                "levels": encoding.levels,
                "low": encoding.low,
                "step": encoding.step,
            }
        ),
    }


class _Graph:
    """Nodes and constants, named in the order in which they are added."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._helper, self._numpy_helper = helper, numpy_helper

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of what it gives."""
        output = output or f"{kind}{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(self._numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(self, values: NDArray[np.int8]) -> tuple[str, str, str]:
        """Add weights; return what follows the counts: them, no zero of the counts, and theirs."""
        shifted = (values.astype(np.int16) + _WEIGHT_ZERO).astype(np.uint8)
        return self.constant(shifted), "", self.constant(np.array(_WEIGHT_ZERO, np.uint8))

    def cast(self, x: str, dtype: type[np.generic]) -> str:
        """Add a conversion to another type."""
        return self.add("Cast", x, to=self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _dense(graph: _Graph, layer: Layer, x: str) -> str:
    z = graph.add("MatMulInteger", x, *graph.weights(layer.weight.T))
    return _emit(graph, layer, z, (-1,))


def _conv2d(graph: _Graph, layer: Layer, x: str) -> str:
    weights = graph.weights(layer.weight)
    z = graph.add("ConvInteger", _padded(graph, layer, x), *weights, **_window(layer))
    return _emit(graph, layer, z, (-1, 1, 1))


def _emit(graph: _Graph, layer: Layer, z: str, per_output: tuple[int, ...]) -> str:
    """The staircase of a spiking layer, or the bias of a readout; `per_output` is a bias' shape."""

    def constant(values: Any) -> str:
        return graph.constant(np.asarray(values, np.int64).reshape(per_output))

    z = graph.cast(z, np.int64)
    bias = layer.bias.astype(np.int64)
    if layer.is_readout:
        return graph.add("Add", z, constant(bias))
    drive = graph.add("Mul", z, constant(1 << layer.frac_bits))
    v_mem = graph.add("Add", drive, constant(bias + layer.threshold // 2))
    quotient = graph.add("Div", graph.add("Max", v_mem, constant(0)), constant(layer.threshold))
    return graph.cast(graph.add("Min", quotient, constant(layer.levels)), np.uint8)


def _maxpool2d(graph: _Graph, layer: Layer, x: str) -> str:
    return graph.add("MaxPool", _padded(graph, layer, x), **_window(layer))


def _flatten(graph: _Graph, _: Layer, x: str) -> str:
    return graph.add("Flatten", graph.add("Transpose", x, perm=[0, 2, 3, 1]), axis=1)


def _padded(graph: _Graph, layer: Layer, x: str) -> str:
    """Zeros around a picture, in a node of their own, for readers disagree about uneven ones."""
    if not any(layer.padding):
        return x
    top, left, bottom, right = layer.padding
    return graph.add("Pad", x, graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right])))


def _window(layer: Layer) -> dict[str, Any]:
    return {"kernel_shape": list(layer.window), "strides": [layer.stride, layer.stride]}


def _check_sums(layer: Layer, levels_in: int) -> None:
    inputs = layer.weight[0].size
    most = max(layer.weight_norm, np.iinfo(np.uint8).max * inputs) * levels_in
    if most > _INT32.max:
        raise ChipLimitError(f"weighted sums of {most}, ONNX has int32; use fewer inputs")


_LAYERS: Final = {
    "dense": _dense,
    "conv2d": _conv2d,
    "maxpool2d": _maxpool2d,
    "flatten": _flatten,
}
