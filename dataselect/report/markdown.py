"""Markdown for reports: escaping of foreign text, code spans and tables."""

import re
from collections.abc import Sequence

from dataselect.wording import one_line

# Characters with a meaning inside a line, and the middle of what GitHub links as a URL.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~$&@!]|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
_BACKTICKS = re.compile(r"`+")
# One in a code span ends a cell too.
_PIPE = re.compile(r"(?<!\\)\|")
# What starts a list at the beginning of a line.
_OPENING = re.compile(r"^\d{1,9}(?=[.)])|^(?=[-+=])")


def escape(text: str) -> str:
    """`text` escaped so that it renders literally in a line of Markdown or a table cell."""
    shown = _MARKUP.sub(lambda match: f"\\{match[0]}", one_line(text))
    return _OPENING.sub(lambda match: f"{match[0]}\\", shown)


def code(name: str) -> str:
    """A code span, within more backticks than the name has in a row."""
    text = one_line(name)
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(text)), default=0) + 1)
    room = " " if len(fence) > 1 else ""
    return f"{fence}{room}{text}{room}{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> str:
    """A table of Markdown cells; `right` has an "r" at the place of each right-aligned column."""
    sides = ["--:" if side == "r" else ":--" for side in right.ljust(len(head))[: len(head)]]
    whole = [[_PIPE.sub(r"\\|", cell) for cell in cells] for cells in [head, sides, *rows]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in whole)


def image(alt: str, file: str) -> str:
    """A picture, in a paragraph of its own."""
    return f"![{escape(alt)}]({file})"
