"""Registers of float32 numbers as values of compiled functions, and what is done with them.

numba has no vectors, and LLVM finds loops over parts of arrays too doubtful to make any where the
arrays might overlap. So compiled functions say which registers they want: `load` and `store` take
addresses (of `place`), the operators + - * / work number by number.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import models, overload, register_model

from dataselect.proxies.fused.compiling import LANES, inner, written

KIND = ir.VectorType(ir.FloatType(), LANES)
_POINTER = KIND.as_pointer()
# Products may be fused into sums; all else is computed as it is written, and NaN stays NaN.
_FLAGS = ("contract",)


class _Vector(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="Vector")


VECTOR = _Vector()
Vector = Any
"""A register, in annotations."""


@register_model(_Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, KIND)


@written
def place(typing: Any, array: Any, at: Any) -> Any:
    """The address of a number of an array, by its place in memory order."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        value, at = arguments
        data = context.make_array(signature.args[0])(context, builder, value).data
        return builder.ptrtoint(builder.gep(data, [at]), at.type)

    return types.intp(array, types.intp), emit


@written
def load(typing: Any, address: Any) -> Any:
    """The numbers from an address on."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _POINTER), align=4)

    return VECTOR(types.intp), emit


@written
def store(typing: Any, address: Any, vector: Any) -> Any:
    """Write numbers from an address on."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        address, vector = arguments
        builder.store(vector, builder.inttoptr(address, _POINTER), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, VECTOR), emit


@written
def spread(typing: Any, number: Any) -> Any:
    """The same number in every place."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        none = ir.Constant(KIND, ir.Undefined)
        one = builder.insert_element(none, arguments[0], ir.IntType(32)(0))
        return builder.shuffle_vector(one, none, ir.Constant(_bits(), [0] * LANES))

    return VECTOR(types.float32), emit


@written
def total(typing: Any, vector: Any) -> Any:
    """The sum of the numbers."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        number = ir.FloatType()
        name, kind = f"llvm.vector.reduce.fadd.v{LANES}f32", ir.FunctionType(number, [number, KIND])
        add = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(add, [number(0.0), arguments[0]], fastmath=("reassoc",))

    return types.float32(VECTOR), emit


@written
def highest(typing: Any, vector: Any) -> Any:
    """The largest of the numbers that are not NaN."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        name, kind = f"llvm.vector.reduce.fmax.v{LANES}f32", ir.FunctionType(ir.FloatType(), [KIND])
        call = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(call, arguments)

    return types.float32(VECTOR), emit


@written
def root(typing: Any, vector: Any) -> Any:
    """The square root of each number."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(KIND, [KIND])
        call = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32")
        return builder.call(call, arguments)

    return VECTOR(VECTOR), emit


def _bits() -> ir.VectorType:
    return ir.VectorType(ir.IntType(32), LANES)


def _of_two(emit_two: Callable[[ir.IRBuilder, Any, Any], Any]) -> Any:
    @written
    def made(typing: Any, a: Any, b: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            return emit_two(builder, *arguments)

        return VECTOR(VECTOR, VECTOR), emit

    return made


_add = _of_two(lambda builder, a, b: builder.fadd(a, b, flags=_FLAGS))
_subtract = _of_two(lambda builder, a, b: builder.fsub(a, b, flags=_FLAGS))
_multiply = _of_two(lambda builder, a, b: builder.fmul(a, b, flags=_FLAGS))
_divide = _of_two(lambda builder, a, b: builder.fdiv(a, b, flags=_FLAGS))

# NaN in the first vector stays, as it compares with nothing.
at_least = _of_two(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), b, a))
"""The larger of the numbers of two vectors."""
at_most = _of_two(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), b, a))
"""The smaller."""


def _operate(sign: Any, compute: Callable[[Any, Any], Any]) -> None:
    """Let a sign between two vectors mean this."""

    def choose(a: Any, b: Any) -> Any:
        # numba looks further where None is returned.
        return (lambda a, b: compute(a, b)) if a is VECTOR and b is VECTOR else None  # noqa: PLW0108

    overload(sign, strict=False)(choose)


_operate(operator.add, _add)
_operate(operator.sub, _subtract)
_operate(operator.mul, _multiply)
_operate(operator.truediv, _divide)


@written
def _power_of_two(typing: Any, rounded: Any) -> Any:
    """2^n of numbers that are `_ROUND` + n."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        def each(number: int) -> ir.Constant:
            return ir.Constant(_bits(), [number] * LANES)

        n = builder.shl(builder.bitcast(arguments[0], _bits()), each(23))
        return builder.bitcast(builder.add(n, each(127 << 23)), KIND)

    return VECTOR(VECTOR), emit


_SMALLEST, _LARGEST = np.float32(-87.0), np.float32(88.0)
_BITS = np.float32(math.log2(math.e))
# log 2 in two parts, of which the first one times a small whole number is exact.
_LOG_2, _LOG_2_REST = np.float32(0.693145752), np.float32(1.42860677e-6)
# A sum with this number, 1.5 x 2^23, has no digits after the point.
_ROUND = np.float32(12_582_912.0)
_1, _2, _3, _4, _5, _6 = (np.float32(1 / math.factorial(n)) for n in range(1, 7))


@inner
def exponential(x: Vector) -> Vector:
    """e^x to about two units in the last place, for x from -87 to 88, else of the nearer end.

    NaN stays NaN.
    """
    x = at_most(at_least(x, spread(_SMALLEST)), spread(_LARGEST))
    rounded = x * spread(_BITS) + spread(_ROUND)
    n = rounded - spread(_ROUND)
    rest = (x - n * spread(_LOG_2)) - n * spread(_LOG_2_REST)
    y = spread(_6) * rest + spread(_5)
    y = y * rest + spread(_4)
    y = y * rest + spread(_3)
    y = y * rest + spread(_2)
    y = y * rest + spread(_1)
    y = y * rest + spread(_1)
    return y * _power_of_two(rounded)
