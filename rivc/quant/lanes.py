"""Sixteen sums in a register, for compiled loops: of products of bytes, or of floats.

A loop holds sums in a value that is one register, or two of half its size. To each of sixteen int32
it adds four products of an unsigned and a signed byte, which is one instruction where the processor
has VNNI and slower without; to each float32 it adds one product, rounded as the processor does it
fastest, and each time alike: sums over the same numbers in the same order are the same.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, VPDPBUSD and VFMADD231PS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Typed = tuple[Any, Callable[..., Any]]

LANES: Final = 16
_WORD: Final = ir.IntType(32)
_FLOAT: Final = ir.FloatType()


def _vector(kind: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(kind, lanes)


def instruction_lanes() -> int:
    """Return to how many sums one instruction of this processor adds bytes; 0 if it has none."""
    if config.CPU_NAME or config.CPU_FEATURES or not config.ENABLE_AVX:
        return 0  # compiled for another processor than this one
    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512vnni") else 8 if features.get("avxvnni") else 0


def instruction(typed: Callable[..., Any]) -> Any:
    """Make what returns a signature and a generator of code a function of compiled loops."""
    return intrinsic(typed)


class Integers(types.Type):  # type: ignore[misc]
    """Sixteen int32 in a register, or sixty-four bytes."""

    def __init__(self) -> None:
        super().__init__(name="Integers")


class Floats(types.Type):  # type: ignore[misc]
    """Sixteen float32 in a register."""

    def __init__(self) -> None:
        super().__init__(name="Floats")


@register_model(Integers)
class _IntegersModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(_WORD))


@register_model(Floats)
class _FloatsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(_FLOAT))


_REGISTERS: Final = {
    types.float32: (Floats(), _FLOAT),
    types.int32: (Integers(), _WORD),
    types.uint8: (Integers(), _WORD),
}


def _register(array: Any) -> tuple[types.Type, ir.Type]:
    """Return what holds numbers of an array, in numba's terms, and what one lane is in LLVM's.

    Raises:
        TypingError: for any other array than those that are read and written right.
    """
    if array.layout != "C" or array.dtype not in _REGISTERS:
        raise TypingError(f"registers hold float32, int32 and uint8 in C order, not {array}")
    return _REGISTERS[array.dtype]


def _shuffled(builder: Any, x: Any, y: Any, places: Iterable[int]) -> Any:
    places = list(places)
    return builder.shuffle_vector(x, y, ir.Constant(_vector(_WORD, len(places)), places))


def _filled(builder: Any, value: Any) -> Any:
    """Return one value sixteen times."""
    nothing = ir.Constant(_vector(value.type), ir.Undefined)
    first = builder.insert_element(nothing, value, _WORD(0))
    return _shuffled(builder, first, nothing, [0] * LANES)


def _at(context: Any, builder: Any, kind: Any, array: Any, place: Any, to: ir.Type) -> Any:
    """Return the address of a place of an array in C order, as one of another type."""
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [place]), to.as_pointer())


def _leading(builder: Any, count: Any) -> Any:
    """Return a mask of the first `count` lanes."""
    lanes = ir.Constant(_vector(_WORD), list(range(LANES)))
    return builder.icmp_signed("<", lanes, _filled(builder, builder.trunc(count, _WORD)))


def _masked(builder: Any, name: str, kind: ir.Type, arguments: list[Any], lane: ir.Type) -> Any:
    """Call LLVM's masked load or store of sixteen lanes."""
    suffix = f"v{LANES}{'f32' if lane == _FLOAT else 'i32'}.p0"
    signature = ir.FunctionType(kind, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.masked.{name}.{suffix}"
    )
    return builder.call(function, arguments)


@instruction
def zeros(_: Any, words: Any) -> Typed:
    """Return sixteen sums of nothing, for products with such weights."""
    register, lane = _register(words)

    def generate(*_: Any) -> Any:
        return ir.Constant(_vector(lane), [lane(0)] * LANES)

    return register(words), generate


@instruction
def weights(_: Any, words: Any, place: Any) -> Typed:
    """Return the sixteen weights from a place of an array on: float32, or int32 of four bytes."""
    register, lane = _register(words)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _at(context, builder, signature.args[0], args[0], args[1], _vector(lane))
        return builder.load(address, align=4)

    return register(words, place), generate


@instruction
def leading(_: Any, x: Any, place: Any, count: Any) -> Typed:
    """Return numbers of a float32 array, from a place on; those after `count` are zero."""
    register, _ = _register(x)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _vector(_FLOAT)
        address = _at(context, builder, signature.args[0], args[0], args[1], vector)
        nothing = ir.Constant(vector, [_FLOAT(0)] * LANES)
        arguments = [address, _WORD(4), _leading(builder, args[2]), nothing]
        return _masked(builder, "load", vector, arguments, _FLOAT)

    return register(x, place, count), generate


@instruction
def spread(_: Any, x: Any, place: Any) -> Typed:
    """Return a float32, or four bytes, from a place of an array on, sixteen times."""
    register, lane = _register(x)
    align = x.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _at(context, builder, signature.args[0], args[0], args[1], lane)
        return _filled(builder, builder.load(address, align=align))

    return register(x, place), generate


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


def _of_bytes(builder: Any, sums: Any, x: Any, w: Any) -> Any:
    lanes = instruction_lanes()
    if lanes:
        return _with_instruction(builder, lanes, sums, x, w)
    return _with_products(builder, sums, x, w)


def _of_floats(builder: Any, sums: Any, x: Any, w: Any) -> Any:
    """Add products, in one rounding where that is one instruction."""
    together = ("contract",)
    return builder.fadd(sums, builder.fmul(x, w, flags=together), flags=together)


@instruction
def dot(_: Any, sums: Any, x: Any, w: Any) -> Typed:
    """Return sums with the products of `x` and `w` added: one each, or those of four bytes."""
    add = _of_floats if isinstance(sums, Floats) else _of_bytes

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        return add(builder, *args)

    return sums(sums, x, w), generate


@instruction
def plus(_: Any, x: Any, y: Any) -> Typed:
    """Return the sums of two registers of floats."""

    def generate(_: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return Floats()(x, y), generate


@instruction
def store(_: Any, sums: Any, out: Any, place: Any, count: Any) -> Typed:
    """Write the first `count` sums to an int32 or float32 array, from a place on."""
    _, lane = _register(out)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, array, first, limit = args
        if value.type != _vector(lane):
            value = builder.sitofp(value, _vector(lane))
        address = _at(context, builder, signature.args[1], array, first, value.type)
        arguments = [value, address, _WORD(4), _leading(builder, limit)]
        _masked(builder, "store", ir.VoidType(), arguments, lane)
        return context.get_dummy_value()

    return types.void(sums, out, place, count), generate
