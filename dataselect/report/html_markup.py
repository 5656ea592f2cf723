"""From a report's Markdown and pictures to the inside of an HTML page.

A page says what the README says, so it is rendered from the same Markdown, in which foreign text is
escaped. Here it could not act anyway: HTML in Markdown is text, and neither links nor images are
made, so nothing can be loaded from a page or lead out of it. `escape` is for all else.
"""

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from dataselect.report.pictures.colours import THEME

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_COLOUR = re.compile(r"#[0-9a-f]{6}\b", re.IGNORECASE)
_LOCAL = re.compile(r"url\(#([^)]+)\)")
_OUT = ("pruned", "diverged", "failed")
"""How the status of a candidate begins that is out of the race."""


def escape(text: str) -> str:
    """`text` for HTML, inside an element or an attribute."""
    return html.escape(text, quote=True)


def to_html(markdown: str) -> str:
    """HTML of a part of a report."""
    return str(_MARKDOWN.render(markdown))


def figure(svg: str, alt: str, name: str) -> str:
    """A picture in the page, with its text; `svg` is one that matplotlib drew.

    Its colours become those of the page where that has one, so that it suits light and dark; its
    inner names begin with `name`, since all pictures of a page share one space of names.
    """
    root = ET.fromstring(svg)  # noqa: S314 - our own drawing
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}metadata":
                parent.remove(child)
    used = {use[1:] for each in root.iter() if (use := each.get(f"{{{_XLINK}}}href"))}
    used |= {
        name
        for each in root.iter()
        for text in each.attrib.values()
        for name in _LOCAL.findall(text)
    }
    for each in root.iter():
        _own(each, name, used)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", alt)
    ET.register_namespace("", _SVG)
    text = ET.tostring(root, encoding="unicode")
    return f'<figure class="plot">{text}</figure>'


def _own(element: ET.Element, prefix: str, used: set[str]) -> None:
    """Give an element of a picture names and colours that fit into the page."""
    link = element.attrib.pop(f"{{{_XLINK}}}href", None)
    if link is not None:
        element.set("href", f"#{prefix}-{link[1:]}")
    identity = element.attrib.pop("id", None)
    if identity in used:
        element.set("id", f"{prefix}-{identity}")
    for key, value in element.attrib.items():
        text = _LOCAL.sub(lambda found: f"url(#{prefix}-{found[1]})", value)
        if key in ("style", "fill", "stroke"):
            text = _COLOUR.sub(_of_theme, text)
        element.set(key, text)


def _of_theme(found: re.Match[str]) -> str:
    """A colour of the page in place of one of the pictures', which stays where there is none."""
    name = THEME.get(found[0].lower())
    return found[0] if name is None else f"var(--{name},{found[0]})"


def _markdown() -> MarkdownIt:
    rules = ("image", "autolink", "html_inline", "html_block", "reference", "lheading")
    made = MarkdownIt("commonmark", {"html": False}).enable("table").disable(list(rules))
    for name, rule in {
        "table_open": _table_open,
        "table_close": _table_close,
        "tr_open": _row_open,
        "th_open": _head_open,
        "th_close": _head_close,
        "link_open": _nothing,
        "link_close": _nothing,
    }.items():
        made.add_render_rule(name, rule)
    return made


def _table_open(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    # A wide table scrolls in its own box, also by keyboard.
    return '<div class="scroll" tabindex="0" role="group" aria-label="table"><table>\n'


def _table_close(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    return "</table></div>\n"


def _row_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """A row, greyed where a cell after the second says that the candidate is out."""
    cells = []
    for token in tokens[at + 1 :]:
        if token.type == "tr_close":
            break
        if token.type == "inline":
            cells.append(token.content)
    out = any(cell.startswith(_OUT) for cell in cells[2:])
    return '<tr class="out">\n' if out else "<tr>\n"


def _head_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    if not tokens[at + 1].content:
        return "<td>"  # what heads nothing is no heading
    tokens[at].attrSet("scope", "col")
    return self.renderToken(tokens, at, options, env)


def _head_close(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    return "</th>\n" if tokens[at - 1].content else "</td>\n"


def _nothing(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return ""


_MARKDOWN = _markdown()
