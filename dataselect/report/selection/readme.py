"""README.md of a report: for the people who decide, most important first.

It is a view of the document alone; what it says and in which order is in `sections`, which the HTML
page shares.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dataselect.report.items.links import item_lines
from dataselect.report.markdown import code
from dataselect.report.selection.sections import opening, repeat_lines, sections


def readme(document: Mapping[str, Any], command: str, pages: Sequence[str] = ()) -> str:
    """The Markdown text; `command` repeats the run, `pages` are paths of pages of its items."""
    parts = [f"# {code(document['run'])}", *opening(document)]
    for title, body in {**sections(document), **item_lines(pages), **repeat_lines(command)}.items():
        parts += [f"## {title}", *body]
    return "\n\n".join(parts) + "\n"
