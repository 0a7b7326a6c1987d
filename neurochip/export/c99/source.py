"""A program in C99: one header, one source, one test."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from rivc.errors import ChipLimitError, UsageError
from rivc.neurochip.export.c99.layers import Place, fill, layer_source
from rivc.snn_convert.storage import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.neurochip.export.formats import ExportOptions
    from rivc.quant.encoding import InputEncoding
    from rivc.snn_convert import SpikingProgram

MAX_STACK: Final = 1 << 22  # half of what a Linux thread has
FILES: Final = ("policy.h", "policy.c", "test_policy.c")
_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # C keeps leading underscores to itself


def write_c99(program: SpikingProgram, folder: Path, options: ExportOptions) -> None:
    """Write ``policy.h``, ``policy.c`` and ``test_policy.c``.

    Raises:
        UsageError: if the prefix is no C identifier, or begins with an underscore.
        ChipLimitError: if the readout exceeds int32, or the arrays the stack.
    """
    for name, text in c99_sources(program, options.prefix).items():
        write_atomically(folder / name, text.encode())


def c99_sources(program: SpikingProgram, prefix: str) -> dict[str, str]:
    """Return the text of each file by its name; see `write_c99`."""
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"prefix {prefix!r} is no C identifier; take a letter, then letters, digits and _"
        )
    layers = [
        layer_source(layer, Place(i, shape, levels))
        for i, (layer, shape, levels) in enumerate(
            zip(program.layers, program.shapes, program.levels_in, strict=False)
        )
    ]
    buffers, calls = _calls(program)
    stack = sum(buffers.values()) + max(layer.stack_bytes for layer in layers)
    if stack > MAX_STACK:
        limit = f"the C code needs {stack} bytes of stack, at most {MAX_STACK}"
        raise ChipLimitError(f"{limit}; use fewer filters or a smaller image")
    encoding, (groups, actions) = program.encoding, program.action_layout
    names = {
        "sha256": program.sha256,
        "prefix": prefix,
        "macro": prefix.upper(),
        "input_size": math.prod(encoding.shape),
        "readout_size": groups * actions,
        "groups": groups,
        "actions": actions,
        "levels_in": encoding.levels,
        "order": _order(encoding),
        "scale": repr(float(program.readout_scale)),
        "stack_bytes": stack,
        "weight_bytes": sum(layer.weight_bytes for layer in layers),
        "layers": "\n".join(layer.text for layer in layers if layer.text),
        "buffers": "\n".join(f"    uint8_t {name}[{size}];" for name, size in buffers.items()),
        "calls": "\n".join(calls),
    }
    return {name: fill(name, **names) for name in FILES}


def _calls(program: SpikingProgram) -> tuple[dict[str, int], list[str]]:
    """Two buffers that layers read and write in turn, as large as they must be, and the calls."""
    buffers: dict[str, int] = {}
    calls, source = [], "input"
    for i, (layer, shape) in enumerate(zip(program.layers, program.shapes[1:], strict=True)):
        if layer.kind == "flatten":
            continue
        target = "readout" if layer.is_readout else "even" if source == "odd" else "odd"
        if not layer.is_readout:
            buffers[target] = max(buffers.get(target, 0), math.prod(shape))
        calls.append(f"    layer{i}({source}, {target});")
        source = target
    return buffers, calls


def _order(encoding: InputEncoding) -> str:
    """What the header says about the input."""
    if encoding.kind == "image":
        return "the bytes of an image, {} x {} x {}, as they are".format(*encoding.shape)
    rows = [
        f"            {i}: {float(low)!r}, {float(step)!r}"
        for i, (low, step) in enumerate(zip(encoding.low, encoding.step, strict=True))
    ]
    rule = f"count = clip(round((x - low) / step), 0, {encoding.levels}), halves to even;"
    return "\n".join([rule, "            feature: low, step", *rows])
