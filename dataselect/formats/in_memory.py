"""What stands for a file's path where its content is in memory, and is named in errors like one.

A frame is read through the CSV text that it would be written to, so it meets the same checks as a
file and the same errors, whose lines are those of that text: line 1 is the head, line 2 the first
row.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataselect.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class InMemory:
    """What an argument holds, such as `functions (a mapping)`."""

    argument: str
    kind: str

    def __str__(self) -> str:
        return f"{self.argument} ({self.kind})"

    @property
    def name(self) -> str:
        """As a path's."""
        return str(self)


@dataclass(frozen=True)
class Frame(InMemory):
    """A pandas frame with the columns of a CSV file; levels of its index with a name are some."""

    frame: "pd.DataFrame"

    def csv_text(self) -> str:
        """The file that it would be; numbers are written so that they are read back the same."""
        if self.frame.columns.nlevels > 1:
            raise InputError(str(self), "its columns have several levels", "flatten them")
        known = {None, *self.frame.columns}
        levels = [name for name in self.frame.index.names if name not in known]
        table = self.frame.reset_index(levels) if levels else self.frame
        return table.to_csv(index=False, lineterminator="\n")


def frame(argument: str, content: "pd.DataFrame") -> Frame:
    """The frame that an argument holds."""
    return Frame(argument, "a frame", content)


Origin = Path | InMemory
"""Where something is from: a file, or an argument that holds it."""

Table = Path | Frame
"""A CSV file, or a frame with its columns."""
