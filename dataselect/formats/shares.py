"""Percentages and shares in one column: 41.3 in some rows and 0.413 in others.

Values alone cannot prove it, since accuracies of early checkpoints are below 1%. What gives it away
is a gap: no value between the small ones and the large, and the same size of both once the large
ones are divided by 100. A curve that rises from 0.8% to 40% without a value between looks the same.

Not covered: a column that is wholly in another unit than its neighbour.
"""

from collections.abc import Sequence
from statistics import median

from dataselect.errors import InputError
from dataselect.formats.in_memory import Table
from dataselect.wording import quoted

_GAP = 5.0
"""Least ratio of the smallest percentage to the largest share."""
_ALIKE = 3.0
"""Largest ratio of the medians of both, in one unit."""


def mixed_units(values: Sequence[float]) -> str:
    """How many values look like shares and like percentages; "" where the column has one unit."""
    shares = [value for value in values if 0 < value <= 1]
    percentages = [value for value in values if value > 1]
    if not shares or not percentages or max(percentages) > 100 or min(values) < 0:
        return ""
    if min(percentages) < _GAP * max(shares):
        return ""
    alike = median(percentages) / 100 / median(shares)
    if not 1 / _ALIKE <= alike <= _ALIKE:
        return ""
    return f"{len(shares)} of {len(values)} values are at most 1, like {max(shares):g}"


def check_one_unit(table: Table, name: str, values: Sequence[float]) -> None:
    """Raise InputError, naming the table, for a column that seems to have two units."""
    if problem := mixed_units(values):
        raise InputError(
            table,
            f"{quoted(name)} seems to mix percentages and shares: {problem}",
            "write all in one unit; of percentages that are right, divide all by 100",
        )
