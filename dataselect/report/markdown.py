"""The little Markdown that a report needs: foreign text made harmless, and tables."""

import re
from collections.abc import Sequence

from dataselect.report.numbers import one_line

# What means something inside a line, and the middle of what GitHub takes for an address.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~$&@!]|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
# What begins a list only at the start of a line.
_OPENING = re.compile(r"^\d{1,9}(?=[.)])|^(?=[-+=])")


def escape(text: str) -> str:
    """`text` so that it shows as it is, anywhere in a line of Markdown or in a table's cell."""
    shown = _MARKUP.sub(lambda match: f"\\{match[0]}", one_line(text))
    return _OPENING.sub(lambda match: f"{match[0]}\\", shown)


def code(name: str) -> str:
    """A code span for an id or a hash, which hold no ticks."""
    return f"`{name}`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> str:
    """A table of cells that are Markdown already; `right` has "r" for each right-aligned column."""
    sides = ["--:" if side == "r" else ":--" for side in right.ljust(len(head))[: len(head)]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, sides, *rows])
