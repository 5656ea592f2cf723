"""Write the pages that the documentation's site is built from, into build/site_pages.

    python docs/make_site.py && mkdocs build

Pages keep the relative links that work where the repository is browsed. README.md becomes the
first page, other files keep their path, and those of docs/ lose that folder. A file outside docs/
is brought in if a page links to it, and a notebook becomes a page. What is written is plain
Markdown with links that hold, so that any generator can build it.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "site_pages"
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
CODE = re.compile(r"(^ *```.*?^ *```[^\n]*$|``.+?``|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def site_path(path: Path) -> str:
    """Where a file of the repository is in the site's sources."""
    inside = path.relative_to(ROOT).as_posix()
    if inside == "README.md":
        return "index.md"
    if inside.endswith(".ipynb"):
        inside = f"{inside.removesuffix('.ipynb')}.md"
    return inside.removeprefix("docs/")


def notebook_page(path: Path) -> str:
    """A notebook's cells as Markdown; nothing is run."""
    parts = [f"[The notebook]({path.name}), to be run."]
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    parts[:2] = [parts[1], parts[0]]  # the title comes first
    return "\n\n".join(parts) + "\n"


def text_of(path: Path) -> str:
    return notebook_page(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """`text` with everything changed that is neither a fenced block nor code in a line.

    Code is put aside before, so that a link whose text is code is one piece.
    """
    kept: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    changed = change(CODE.sub(put_aside, text))
    return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], changed)


def links(text: str) -> Iterator[str]:
    """The targets of a page's links and pictures that are files, without anchors."""
    found: list[str] = []

    def look(part: str) -> str:
        found.extend(match[2] for match in LINK.finditer(part) if match[2])
        return part

    outside_code(text, look)
    return (each for each in found if "://" not in each and not each.startswith("mailto:"))


def linked(path: Path, target: str) -> Path:
    """The file that a link leads to; for a folder its README.md if there is one."""
    found = (path.parent / target).resolve()
    readme = found / "README.md"
    return readme if readme.exists() else found


def rewritten(path: Path, text: str) -> str:
    """The text of a page with its links as they are in the site."""
    here = os.path.dirname(site_path(path))

    def one(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        found = linked(path, target)
        if found.is_dir():  # a folder without a page has nothing to show
            return words
        if found.suffix == ".ipynb" and path.suffix == ".ipynb":  # the file itself
            return match[0]
        return f"[{words}]({os.path.relpath(site_path(found), here or '.')}{anchor})"

    return outside_code(text, lambda part: LINK.sub(one, part))


def reached(first: list[Path]) -> list[Path]:
    """The files that can be reached by links from the pages given, these included."""
    found, left = [], list(first)
    while left:
        path = left.pop()
        if path in found:
            continue
        found.append(path)
        if path.suffix in {".md", ".ipynb"}:
            ways = (linked(path, each) for each in links(text_of(path)))
            left += [each for each in ways if each.is_file() and each.is_relative_to(ROOT)]
    return sorted(found)


def pages() -> list[Path]:
    """The files that the site shows before any link is followed."""
    return [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")),
        *sorted((ROOT / "benchmarks").glob("*/README.md")),
    ]


def main() -> None:
    shutil.rmtree(PAGES, ignore_errors=True)
    for path in reached(pages()):
        to = PAGES / site_path(path)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in {".md", ".ipynb"}:
            to.write_text(rewritten(path, text_of(path)), encoding="utf-8")
        if path.suffix != ".md":
            shutil.copyfile(path, to.with_name(path.name))


if __name__ == "__main__":
    main()
