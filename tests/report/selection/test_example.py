"""reports/example: the pages of a recorded run are those that its report.json gives today."""

import re
import shutil
from pathlib import Path

import pytest

from dataselect.errors import InputError
from dataselect.report.selection.files import rewrite

EXAMPLE = Path(__file__).parents[3] / "reports" / "example"
AGAIN = "run `dataselect report reports/example` and look at what changed"


@pytest.fixture
def unrendered() -> None:
    """Pages are compared, with the texts of their pictures."""


def test_the_example_is_what_its_record_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pages name the folder, so it has the same name here.
    monkeypatch.chdir(tmp_path)
    folder = Path("reports/example")
    folder.mkdir(parents=True)
    shutil.copy(EXAMPLE / "report.json", folder)
    for path in rewrite(folder):
        made = path.read_text(encoding="utf-8")
        there = (EXAMPLE / path.relative_to(folder)).read_text(encoding="utf-8")
        if path.parent.name == "plots":
            continue  # drawn alike by one version of matplotlib alone
        assert _without_drawings(made) == _without_drawings(there), AGAIN
    drawn = {path.name for path in (EXAMPLE / "plots").iterdir()}
    assert drawn == {path.name for path in (folder / "plots").iterdir()}, AGAIN


def _without_drawings(text: str) -> str:
    """A page without what is inside its pictures; their texts stay."""
    return re.sub(r"(<svg[^>]*aria-label=\"[^\"]*\")[^>]*>.*?</svg>", r"\1", text, flags=re.DOTALL)


def test_a_folder_of_scores_is_told_from_a_report(tmp_path: Path) -> None:
    (tmp_path / "scores_2026-01-01.csv").write_text("id,rbridge\n")
    with pytest.raises(InputError, match="it holds the scores of `dataselect score`; give the"):
        rewrite(tmp_path)
