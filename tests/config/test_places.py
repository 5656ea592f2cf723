"""Places in messages are without detours, and lead where the user's own path leads."""

from pathlib import Path

import pytest

from dataselect.config.places import beside


def test_a_detour_that_leads_nowhere_else_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candidates").mkdir()
    assert beside(Path("candidates"), "../data/web.jsonl") == Path("data/web.jsonl")
    assert beside(Path("candidates"), "web.jsonl") == Path("candidates/web.jsonl")
    assert beside(Path(), "../other/x") == Path("../other/x")
    assert beside(Path("candidates"), tmp_path / "y") == tmp_path / "y"


def test_through_a_link_the_path_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "far" / "inside").mkdir(parents=True)
    (tmp_path / "far" / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "inside")
    found = beside(tmp_path / "link", "../data")
    assert found == tmp_path / "link" / ".." / "data"
    assert found.is_dir(), "not data beside the link"
