"""Links of the documents lead to files and headings that exist; the site is made of all of them."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="site", scope="module")
def _site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_site", ROOT / "docs" / "make_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documents() -> list[Path]:
    folders = ("docs", "benchmarks", "findings", "stages", "candidates")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.md")]
    return sorted([*found, ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "reports/README.md"])


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them; the second of a name ends in -1."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        numbered = (f"{name}-{number}" for number in range(1, 100))
        found.add(name if name not in found else next(n for n in numbered if n not in found))
    return found


@pytest.mark.parametrize("page", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page: Path, site: ModuleType) -> None:
    found: list[tuple[str, str]] = []

    def look(text: str) -> str:
        found.extend((match[2], (match[3] or "")[1:]) for match in site.LINK.finditer(text))
        return text

    site.outside_code(page.read_text(), look)
    for target, anchor in found:
        if "://" in target:
            assert urlsplit(target).scheme == "https", target
            assert urlsplit(target).netloc, target
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} is not there"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{target}#{anchor}"


def test_every_page_is_in_the_site_once(site: ModuleType) -> None:
    text = (ROOT / "mkdocs.yml").read_text().replace("!!python/object/apply:", "!")
    nav = list(_pages(YAML().load(text)["nav"]))
    assert len(nav) == len(set(nav))
    wanted = {site.site_path(path) for path in site.pages()}
    assert wanted <= set(nav)


def _pages(part: object) -> list[str]:
    if isinstance(part, str):
        return [part]
    inside = part.values() if isinstance(part, dict) else part
    assert not isinstance(inside, str)
    return [page for each in inside for page in _pages(each)]  # type: ignore[attr-defined]


def test_links_are_rewritten_to_where_pages_are(site: ModuleType) -> None:
    page = ROOT / "docs" / "start.md"
    text = (
        "[a](../README.md#try-it) [b](../benchmarks/speed/README.md) `[c](d.md)` [e](plan.md#mix)"
    )
    assert site.rewritten(page, text) == (
        "[a](index.md#try-it) [b](benchmarks/speed/README.md) `[c](d.md)` [e](plan.md#mix)"
    )
    first = ROOT / "README.md"
    assert site.rewritten(first, "[`f`](docs/plan.md) [g](benchmarks/speed)") == (
        "[`f`](plan.md) [g](benchmarks/speed/README.md)"
    )
    notebook = ROOT / "docs/notebooks/tables.ipynb"
    assert site.site_path(notebook) == "notebooks/tables.md"


def test_site_is_built_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    subprocess.run([sys.executable, str(ROOT / "docs/make_site.py")], check=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "index.html").read_text()
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?://[^\s\">]+)", page)
    assert loaded == [], "the site loads nothing from other hosts"
    assert "Choose between your twelve datasets" in page
