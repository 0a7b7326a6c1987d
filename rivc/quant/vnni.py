"""Four products of bytes and their sum, sixteen times an instruction: VNNI for compiled loops.

A loop holds sixteen int32 sums in one value and adds to each four products of an unsigned and a
signed byte. Where the processor has no such instruction the same comes of plain ones, slower.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, VPDPBUSD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LANES: Final = 16
_WORD: Final = ir.IntType(32)


def _vector(kind: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(kind, lanes)


def instruction_lanes() -> int:
    """Return how many sums one instruction of this processor adds to; 0 if it has none."""
    if config.CPU_NAME or config.CPU_FEATURES or not config.ENABLE_AVX:
        return 0  # compiled for another processor than this one
    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512vnni") else 8 if features.get("avxvnni") else 0


def instruction(typed: Callable[..., Any]) -> Any:
    """Make what returns a signature and a generator of code a function of compiled loops."""
    return intrinsic(typed)


class Sums(types.Type):  # type: ignore[misc]
    """Sixteen int32 in a register."""

    def __init__(self) -> None:
        super().__init__(name="Sums")


@register_model(Sums)
class _SumsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(_WORD))


def _shuffled(builder: Any, x: Any, y: Any, places: Iterable[int]) -> Any:
    places = list(places)
    return builder.shuffle_vector(x, y, ir.Constant(_vector(_WORD, len(places)), places))


def _filled(builder: Any, word: Any) -> Any:
    """Return one word sixteen times."""
    nothing = ir.Constant(_vector(_WORD), ir.Undefined)
    first = builder.insert_element(nothing, word, _WORD(0))
    return _shuffled(builder, first, nothing, [0] * LANES)


def _at(context: Any, builder: Any, kind: Any, array: Any, place: Any, to: ir.Type) -> Any:
    """Return the address of a place of an array in C order, as one of another type."""
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [place]), to.as_pointer())


@instruction
def zeros(_: Any) -> tuple[Any, Callable[..., Any]]:
    """Return sixteen sums of nothing."""

    def generate(*_: Any) -> Any:
        return ir.Constant(_vector(_WORD), [0] * LANES)

    return Sums()(), generate


@instruction
def weights(_: Any, words: Any, place: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the sixteen words of four signed bytes from a place of an int32 array on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _at(context, builder, signature.args[0], args[0], args[1], _vector(_WORD))
        return builder.load(address, align=4)

    return Sums()(words, place), generate


@instruction
def spread(_: Any, x: Any, place: Any) -> tuple[Any, Callable[..., Any]]:
    """Return four unsigned bytes, from a place of a uint8 array on, sixteen times."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _at(context, builder, signature.args[0], args[0], args[1], _WORD)
        return _filled(builder, builder.load(address, align=1))

    return Sums()(x, place), generate


def _with_instruction(builder: Any, lanes: int, sums: Any, x: Any, w: Any) -> Any:
    """Add products with VPDPBUSD, as often as it takes."""
    vector = _vector(_WORD, lanes)
    name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
    kind = ir.FunctionType(vector, [vector] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    if lanes == LANES:
        return builder.call(function, [sums, x, w])
    halves = [
        builder.call(function, [_shuffled(builder, v, v, half) for v in (sums, x, w)])
        for half in (range(lanes), range(lanes, LANES))
    ]
    return _shuffled(builder, halves[0], halves[1], range(LANES))


def _with_products(builder: Any, sums: Any, x: Any, w: Any) -> Any:
    """Add products, whatever the processor."""
    many, wide = _vector(ir.IntType(8), 4 * LANES), _vector(_WORD, 4 * LANES)
    products = builder.mul(
        builder.zext(builder.bitcast(x, many), wide), builder.sext(builder.bitcast(w, many), wide)
    )
    for k in range(4):
        fourth = _shuffled(builder, products, products, range(k, 4 * LANES, 4))
        sums = builder.add(sums, fourth)
    return sums


@instruction
def dot(_: Any, sums: Any, x: Any, w: Any) -> tuple[Any, Callable[..., Any]]:
    """Return sums with four products added to each: of the bytes of `x` and `w`."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = instruction_lanes()
        return _with_instruction(builder, lanes, *args) if lanes else _with_products(builder, *args)

    return Sums()(sums, x, w), generate


@instruction
def store(_: Any, sums: Any, out: Any, place: Any, count: Any) -> tuple[Any, Callable[..., Any]]:
    """Write the first `count` sums to an int32 or float32 array, from a place on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, array, first, limit = args
        kind, name = signature.args[1], "i32"
        if isinstance(kind.dtype, types.Float):
            value, name = builder.sitofp(value, _vector(ir.FloatType())), "f32"
        address = _at(context, builder, kind, array, first, value.type)
        lanes = ir.Constant(_vector(_WORD), list(range(LANES)))
        mask = builder.icmp_signed("<", lanes, _filled(builder, builder.trunc(limit, _WORD)))
        signature_of = ir.FunctionType(ir.VoidType(), [value.type, address.type, _WORD, mask.type])
        function = cgutils.get_or_insert_function(
            builder.module, signature_of, f"llvm.masked.store.v{LANES}{name}.p0"
        )
        builder.call(function, [value, address, _WORD(4), mask])
        return context.get_dummy_value()

    return types.void(sums, out, place, count), generate
