"""Products of matrices that fit a core's caches, as tiles of sums in registers.

BLAS libraries copy their factors before they multiply, which pays for large matrices. Those of a
tiny model are as wide as a few registers. Here a tile of the result stays in registers while one
factor is read as registers and the other as single numbers, both where they lie.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from dataselect.proxies.fused.compiling import LANES, Array, external, inner, written
from dataselect.proxies.fused.vectors import place

_NUMBER = ir.FloatType()


def _tile(rows: int, vectors: int, lanes: int = LANES) -> Any:
    """An intrinsic that computes `rows` by `vectors` registers of `lanes` numbers of a product.

    Its arguments are those of `product` without the sizes of the result. LLVM would not find this
    arrangement in a loop over numbers, so it is given in LLVM's own language.
    """
    kind = ir.VectorType(_NUMBER, lanes)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        depth, a_at, a_row, a_step, b_at, b_step, c_at, c_row, add = arguments
        a, b, c = (builder.inttoptr(at, _NUMBER.as_pointer()) for at in (a_at, b_at, c_at))
        every = [(row, n) for row in range(rows) for n in range(vectors)]

        def moved(pointer: Any, by: Any) -> Any:
            return builder.gep(pointer, [by])

        def vector(pointer: Any, n: int) -> Any:
            return builder.bitcast(moved(pointer, depth.type(n * lanes)), kind.as_pointer())

        lines = [moved(c, builder.mul(c_row, depth.type(row))) for row in range(rows)]
        # LLVM keeps these in registers.
        sums = {each: cgutils.alloca_once(builder, kind) for each in every}
        with builder.if_else(builder.icmp_signed("!=", add, add.type(0))) as (adding, starting):
            with adding:
                for row, n in every:
                    builder.store(builder.load(vector(lines[row], n), align=4), sums[row, n])
            with starting:
                for each in every:
                    builder.store(ir.Constant(kind, [0.0] * lanes), sums[each])
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.v{lanes}f32"
        )
        none = ir.Constant(kind, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        with cgutils.for_range(builder, depth) as loop:
            b_here = moved(b, builder.mul(loop.index, b_step))
            a_here = moved(a, builder.mul(loop.index, a_step))
            columns = [builder.load(vector(b_here, n), align=4) for n in range(vectors)]
            for row in range(rows):
                number = builder.load(moved(a_here, builder.mul(a_row, depth.type(row))), align=4)
                one = builder.insert_element(none, number, ir.IntType(32)(0))
                factor = builder.shuffle_vector(one, none, everywhere)
                for n in range(vectors):
                    old = builder.load(sums[row, n])
                    new = builder.call(multiply_add, [factor, columns[n], old])
                    builder.store(new, sums[row, n])
        for row, n in every:
            builder.store(builder.load(sums[row, n]), vector(lines[row], n), align=4)
        return context.get_dummy_value()

    @written
    def tile(
        typing: Any, depth: Any, a: Any, a_row: Any, a_step: Any,
        b: Any, b_step: Any, c: Any, c_row: Any, add: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.intp] * 9), emit

    return tile


# AVX2 has 16 registers, the others 32: sums take about three quarters of them.
_WIDE, _MANY = (2 * LANES, 8) if LANES == 8 else (4 * LANES, 12)
_HALF = _WIDE // 2
NARROW = 8 if LANES == 16 else 4
"""Widths of products are multiples of this."""


def _columns(many: Any, at_once: int, few: Any, one: Any) -> Any:
    """A product as wide as the tiles of `at_once`, four and one rows."""

    @inner
    def columns(
        m: int, k: int, a: int, a_row: int, a_step: int,
        b: int, b_step: int, c: int, c_row: int, add: int,
    ) -> None:  # fmt: skip
        i = 0
        while m - i >= at_once:
            many(k, a + 4 * i * a_row, a_row, a_step, b, b_step, c + 4 * i * c_row, c_row, add)
            i += at_once
        while m - i >= 4:
            few(k, a + 4 * i * a_row, a_row, a_step, b, b_step, c + 4 * i * c_row, c_row, add)
            i += 4
        while m - i >= 1:
            one(k, a + 4 * i * a_row, a_row, a_step, b, b_step, c + 4 * i * c_row, c_row, add)
            i += 1

    return columns


def _tiled(vectors: int, at_once: int, lanes: int = LANES) -> Any:
    return _columns(
        _tile(at_once, vectors, lanes), at_once, _tile(4, vectors, lanes), _tile(1, vectors, lanes)
    )


_wide = _tiled(_WIDE // LANES, 6)
_half = _tiled(_HALF // LANES, _MANY)
_one = _tiled(1, _MANY)
_narrow = _tiled(1, _MANY, NARROW)


@external(*[types.intp] * 11)
def product(
    m: int, n: int, k: int, a: int, a_row: int, a_step: int,
    b: int, b_step: int, c: int, c_row: int, add: int,
) -> None:  # fmt: skip
    """c (m, n) = a (m, k) · b (k, n), or added to it; n is a multiple of NARROW.

    a, b and c are addresses (of `place`), `x_row` and `x_step` the distances between rows and
    between summands in numbers. Rows of b and c are contiguous.
    """
    j = 0
    while n - j >= _WIDE:
        _wide(m, k, a, a_row, a_step, b + 4 * j, b_step, c + 4 * j, c_row, add)
        j += _WIDE
    while n - j >= _HALF:
        _half(m, k, a, a_row, a_step, b + 4 * j, b_step, c + 4 * j, c_row, add)
        j += _HALF
    while n - j >= LANES:
        _one(m, k, a, a_row, a_step, b + 4 * j, b_step, c + 4 * j, c_row, add)
        j += LANES
    while n - j >= NARROW:
        _narrow(m, k, a, a_row, a_step, b + 4 * j, b_step, c + 4 * j, c_row, add)
        j += NARROW


@inner
def _times(a: Array, first: int, rows: int, b: Array, c: Array, c_first: int, add: int) -> None:
    depth, width = b.shape
    factor, result = place(a, first * depth), place(c, c_first * width)
    product(rows, width, depth, factor, depth, 1, place(b, 0), width, result, width, add)


@inner
def times(a: Array, first: int, rows: int, b: Array, c: Array, c_first: int) -> None:
    """c[c_first:] = a[first:] · b for so many rows."""
    _times(a, first, rows, b, c, c_first, first - first)


@inner
def add_times(a: Array, first: int, rows: int, b: Array, c: Array, c_first: int) -> None:
    """c[c_first:] += a[first:] · b for so many rows."""
    _times(a, first, rows, b, c, c_first, first - first + 1)


@inner
def add_outer(a: Array, first: int, rows: int, b: Array, b_first: int, c: Array) -> None:
    """c += a[first:]ᵀ · b[b_first:] over so many rows."""
    many, width = c.shape
    left, right = place(a, first * many), place(b, b_first * width)
    product(many, width, rows, left, 1, many, right, width, place(c, 0), width, 1)
