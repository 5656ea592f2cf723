"""Turned copies of matrices: the products want one factor's rows along their sums."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from dataselect.proxies.fused.compiling import inner, written

_NUMBER = ir.FloatType()
_FOUR = ir.VectorType(_NUMBER, 4)


def _turn(rows: int) -> Any:
    """An intrinsic that turns `rows` (4 or 1) of four numbers, times a factor.

    Its arguments: the address of the first number, the distance of rows, the factor; the address
    and the distance of rows of the result.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, x_row, factor, y, y_row = arguments
        none = ir.Constant(_FOUR, ir.Undefined)

        def at(address: Any, row: Any, n: int, kind: Any) -> Any:
            place = builder.add(address, builder.mul(row, row.type(4 * n)))
            return builder.inttoptr(place, kind.as_pointer())

        def mixed(a: Any, b: Any, *order: int) -> Any:
            mask = ir.Constant(ir.VectorType(ir.IntType(32), 4), list(order))
            return builder.shuffle_vector(a, b, mask)

        one = builder.insert_element(none, factor, ir.IntType(32)(0))
        scale = mixed(one, none, 0, 0, 0, 0)
        lines = [
            builder.fmul(builder.load(at(x, x_row, n, _FOUR), align=4), scale) for n in range(rows)
        ]
        if rows == 1:
            for n in range(4):
                number = builder.extract_element(lines[0], ir.IntType(32)(n))
                builder.store(number, at(y, y_row, n, _NUMBER), align=4)
        else:
            a, b = mixed(*lines[:2], 0, 4, 1, 5), mixed(*lines[:2], 2, 6, 3, 7)
            c, d = mixed(*lines[2:], 0, 4, 1, 5), mixed(*lines[2:], 2, 6, 3, 7)
            low, high = (0, 1, 4, 5), (2, 3, 6, 7)
            turned = (mixed(a, c, *low), mixed(a, c, *high), mixed(b, d, *low), mixed(b, d, *high))
            for n, line in enumerate(turned):
                builder.store(line, at(y, y_row, n, _FOUR), align=4)
        return context.get_dummy_value()

    @written
    def made(typing: Any, x: Any, x_row: Any, factor: Any, y: Any, y_row: Any) -> Any:
        n = types.intp
        return types.void(n, n, types.float32, n, n), emit

    return made


_turn_4, _turn_1 = _turn(4), _turn(1)


@inner
def turn(
    x: int, x_row: int, rows: int, columns: int, factor: np.float32, y: int, y_row: int
) -> None:
    """y (columns, rows) = x (rows, columns) turned, times a factor; columns a multiple of 4.

    x and y are addresses, `x_row` and `y_row` the distances of their rows in numbers.
    """
    for row in range(0, rows - 3, 4):
        for column in range(0, columns, 4):
            _turn_4(
                x + 4 * (row * x_row + column), x_row, factor, y + 4 * (column * y_row + row), y_row
            )
    for row in range(rows // 4 * 4, rows):
        for column in range(0, columns, 4):
            _turn_1(
                x + 4 * (row * x_row + column), x_row, factor, y + 4 * (column * y_row + row), y_row
            )
