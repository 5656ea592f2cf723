"""Items of a benchmark by how much candidates differ on them, and what each does to a pair's order.

Pure functions of tables of items x candidates; lower is better. Two candidates are compared by the
mean of their differences over items, so leaving out an item moves that mean by a known amount
(`Influence`), and the items that speak most for the leader tell how few of them carry its lead
(`PairOnItems.turning`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PairOnItems:
    """Two candidates on the items of a benchmark."""

    first: str
    """The candidate that the difference is taken from."""
    second: str
    """The other one."""
    differences: "pd.Series[float]"
    """By item, the score of `second` minus that of `first`: above 0 speaks for `first`."""

    @property
    def mean(self) -> float:
        """The difference of the candidates' means, in the unit of the scores."""
        return float(self.differences.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean, over items; 0 for a single item."""
        count = len(self.differences)
        return float(self.differences.std(ddof=1)) / count**0.5 if count > 1 else 0.0

    @property
    def without(self) -> "pd.Series[float]":
        """By item, the mean difference of all other items; NaN for the only one."""
        count = len(self.differences)
        if count < 2:
            return self.differences * np.nan
        return (count * self.mean - self.differences) / (count - 1)

    @property
    def influence(self) -> "pd.Series[float]":
        """By item, how much it moves the mean: the mean minus that of all other items."""
        return self.mean - self.without

    @property
    def most_influential(self) -> str | None:
        """The item that moves the mean most; None of a single item, and where none moves it."""
        if len(self.differences) < 2 or float(self.influence.abs().max()) == 0:
            return None
        return str(self.influence.abs().idxmax())

    @property
    def turning(self) -> "list[str]":
        """The fewest items without which the order of the two is the other one, those that speak
        most for the leader first; empty where no order can be turned, since the two are equal."""
        lead = np.sign(self.mean)
        if lead == 0:
            return []
        ordered = (self.differences * lead).sort_values(ascending=False, kind="stable")
        left = float(ordered.sum()) - np.cumsum(ordered.to_numpy(dtype=np.float64))
        # Without all items there is no order.
        turned = np.flatnonzero(left[:-1] < 0)
        return [] if len(turned) == 0 else [str(item) for item in ordered.index[: turned[0] + 1]]


def pair_on_items(table: "pd.DataFrame", first: str, second: str) -> PairOnItems:
    """Two columns of a table of items x candidates."""
    return PairOnItems(first, second, table[second] - table[first])


def spread(table: "pd.DataFrame") -> "pd.Series[float]":
    """By item, how much candidates differ on it: of two the distance, of more the standard
    deviation over them (population), which one candidate that is bad everywhere does not decide.
    """
    if table.shape[1] == 2:
        first, second = table.columns
        return (table[first] - table[second]).abs()
    return table.std(axis=1, ddof=0)


def most_different(table: "pd.DataFrame", count: int) -> list[str]:
    """The `count` items with the largest spread, largest first; equal ones in the table's order."""
    ordered = spread(table).sort_values(ascending=False, kind="stable")
    return [str(item) for item in ordered.index[:count]]
