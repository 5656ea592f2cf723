"""report.html: the README's sections as one file, with the pictures in it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dataselect.report.html_markup import escape, figure, to_html
from dataselect.report.html_page import Section, page
from dataselect.report.items.links import TITLE, links
from dataselect.report.markdown import escape as escaped
from dataselect.report.pictures.selection import FOLDER, selection_pictures
from dataselect.report.selection.sections import opening, repeat_lines, sections

_IMAGE = re.compile(r"!\[.*\]\((?P<file>[^()]+)\)")


def report_html(
    document: Mapping[str, Any],
    command: str,
    drawn: Mapping[str, str],
    pages: Sequence[str] = (),
) -> str:
    """The page; `drawn` is the SVG of each picture by its name, `command` repeats the run, `pages`
    are paths of pages of its items."""
    alts = selection_pictures(document)
    figures = {
        f"{FOLDER}/{alts[name].file}": figure(svg, alts[name].alt, name)
        for name, svg in drawn.items()
    }
    first = [f"<h1>{escape(document['run'])}</h1>\n"]
    for part in opening(document):
        kind = ' class="next"' if part == escaped(document.get("next_step") or "") else ""
        first.append(to_html(part).replace("<p>", f"<p{kind}>", 1))
    parts = [
        Section(_plain(title), _body(body, figures)) for title, body in sections(document).items()
    ]
    parts += [Section(TITLE, links(pages))] if pages else []
    parts += [Section(title, _body(body, {})) for title, body in repeat_lines(command).items()]
    return page(f"{document['run']}: which data to train on", "".join(first), parts)


def _body(parts: Sequence[str], figures: Mapping[str, str]) -> str:
    """HTML of a section; pictures of other folders are left out, since the page stands alone."""
    made = []
    for part in parts:
        found = _IMAGE.fullmatch(part)
        made.append(to_html(part) if found is None else figures.get(found["file"], ""))
    return "\n".join(made)


def _plain(title: str) -> str:
    return title.replace("`", "")
