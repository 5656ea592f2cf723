"""Links from a report to the pages of its items, as long as these are of the same scores.

A page carries the `stamp` of the scores that it shows. After a run that changed them the page is of
another ranking, and the report does not lead to it.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

ITEMS_FOLDER = "items"
"""The folder of the pages, in that of the report."""
META = "dataselect-scores"
"""Name of the stamp in a page's head."""
TITLE = "Items"
"""The heading of the section that links to them."""
_WORDS = "The items on which candidates differ most, token by token, in this report's folder:"
_STAMP = re.compile(rf'<meta name="{META}" content="([0-9a-f]+)">')
_HEAD_BYTES = 4096


def stamp(content: Mapping[str, Any]) -> str:
    """A hash of what a report's scores are of: checkpoints, benchmarks, traces, items left out."""
    provenance = content["provenance"]
    of = [provenance["proxies"], provenance["benchmarks"], content["exclusions"]]
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:32]


def stamped_pages(folder: Path) -> dict[str, str]:
    """The stamp of each page of items by its path in the report's folder; others are not ours."""
    found = {}
    for path in sorted((folder / ITEMS_FOLDER).glob("*.html")):
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES).decode(errors="replace")
        except OSError:
            continue
        if (known := _STAMP.search(head)) is not None:
            found[f"{ITEMS_FOLDER}/{path.name}"] = known[1]
    return found


def item_pages(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """Paths in the report's folder of the pages that show the items of this very report."""
    wanted = stamp(content)
    return [path for path, known in stamped_pages(folder).items() if known == wanted]


def item_lines(pages: Sequence[str]) -> dict[str, list[str]]:
    """The section of the README, by its heading; none without pages."""
    if not pages:
        return {}
    return {TITLE: [_WORDS, "\n".join(f"- [{_name(path)}]({path})" for path in pages)]}


def links(pages: Sequence[str]) -> str:
    """The same as HTML."""
    rows = (f'<li><a href="{escape(path)}">{escape(_name(path))}</a></li>' for path in pages)
    return f"<p>{_WORDS}</p>\n<ul>{''.join(rows)}</ul>\n"


def _name(path: str) -> str:
    return path.removeprefix(f"{ITEMS_FOLDER}/").removesuffix(".html")
