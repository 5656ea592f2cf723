"""Stand-ins for file paths where the content is in memory; errors name them like a path.

A frame is read through its CSV text, so it gets the same checks and errors as a file. Line numbers
are those of that text: line 1 is the header, line 2 the first row.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataselect.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class InMemory:
    """The value of an argument, shown as in `functions (a mapping)`."""

    argument: str
    """Name of the argument."""
    kind: str
    """What the value is, such as "a mapping"."""

    def __str__(self) -> str:
        return f"{self.argument} ({self.kind})"

    @property
    def name(self) -> str:
        """The same text as `str`; paths have this attribute too."""
        return str(self)


@dataclass(frozen=True)
class Frame(InMemory):
    """A pandas frame in place of a CSV file."""

    frame: "pd.DataFrame"
    """Named levels of its index count as columns."""

    def csv_text(self) -> str:
        """The frame as CSV; floats round-trip. Raises InputError for several levels of columns."""
        if self.frame.columns.nlevels > 1:
            raise InputError(str(self), "its columns have several levels", "flatten them")
        known = {None, *self.frame.columns}
        levels = [name for name in self.frame.index.names if name not in known]
        table = self.frame.reset_index(levels) if levels else self.frame
        return table.to_csv(index=False, lineterminator="\n")


def frame(argument: str, content: "pd.DataFrame") -> Frame:
    """The frame that was passed as `argument`."""
    return Frame(argument, "a frame", content)


Origin = Path | InMemory
"""Where a value comes from: a file or an argument."""

Table = Path | Frame
"""A CSV file, or a frame with its columns."""
