"""README.md of a report: for the people who decide, most important first.

It is a view of the document alone; what it says and in which order is in `sections`, which the HTML
page shares.
"""

from collections.abc import Mapping
from typing import Any

from dataselect.report.markdown import code
from dataselect.report.selection.sections import opening, repeat_lines, sections


def readme(document: Mapping[str, Any], command: str) -> str:
    """The Markdown text; `command` repeats the run."""
    parts = [f"# {code(document['run'])}", *opening(document)]
    for title, body in {**sections(document), **repeat_lines(command)}.items():
        parts += [f"## {title}", *body]
    return "\n\n".join(parts) + "\n"
