"""docs/glossary.md has an entry for every heading and column of reports."""

import re
from html import unescape
from pathlib import Path

import pytest

from dataselect.report.items import page as items_page
from dataselect.report.tables.score_frames import HEADLINES, MASK_HEADLINES

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
EXAMPLE = ROOT / "reports" / "example" / "report.html"
SYMBOLS = ["R^φ", "rBridge", "NLL", "z-score", "P(best k)", "Kendall's tau", "6ND", "FLOPs", "*"]
ITEM_PAGES = re.compile(r'"((?:row|mean over|above the|score here|spread|marks|turns the)[a-z ]*)"')


def _plain(text: str) -> str:
    """A term as it is looked up: without a unit, the number of a k, and capitals."""
    text = re.sub(r"\bbest \d+\)", "best k)", text).lower()
    return re.sub(r"(?:, %| in stage \d+)$", "", text).strip()


def entries() -> dict[str, str]:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", GLOSSARY.read_text(), re.MULTILINE)
    words: dict[str, str] = {}
    for terms, meaning in rows:
        if terms not in {"word"}:
            words |= {_plain(each): meaning for each in [terms, *terms.split(", ")]}
    return words


def _headings() -> list[str]:
    """Headings of sections and of columns in the report that comes with the repository."""
    text = EXAMPLE.read_text()
    found = re.findall(r"<(?:th|h2)\b[^>]*>(.*?)</(?:th|h2)>", text, re.DOTALL)
    named = [
        unescape(re.sub(r"<[^>]+>", "", each)).strip() for each in found if "<code" not in each
    ]
    return sorted({each for each in named if each})


@pytest.mark.parametrize("term", _headings())
def test_heading_of_the_report_has_an_entry(term: str) -> None:
    _check(term)


@pytest.mark.parametrize("term", [*SYMBOLS, *HEADLINES.values(), *MASK_HEADLINES.values()])
def test_symbol_and_metric_has_an_entry(term: str) -> None:
    _check(term)


def test_columns_of_the_pages_of_items_have_entries() -> None:
    found = ITEM_PAGES.findall(Path(str(items_page.__file__)).read_text())
    assert {"row", "mean over all items", "above the best", "score here", "spread"} <= set(found)
    for term in found:
        _check(term)


def test_words_of_reading_a_report_are_in_the_glossary() -> None:
    page = (ROOT / "docs" / "report.md").read_text().split("## Words", 1)[1]
    assert "glossary.md" in page


def _check(term: str) -> None:
    known = entries()
    near = [each for each in known if _plain(term) in each.split() or each == _plain(term)]
    assert near, f"docs/glossary.md has no entry {term!r}"


def test_every_entry_is_a_sentence() -> None:
    for term, meaning in entries().items():
        assert meaning.endswith("."), term
