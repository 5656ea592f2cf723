"""Cells that no program means: a NUL, and a name that says that there is none."""

from pathlib import Path

import pytest

from dataselect.errors import InputError
from dataselect.formats.csvfile import read_csv


@pytest.mark.parametrize(
    ("text", "line"), [("id,a\0rc\nx,1\n", 1), ("id,arc\nx,1\n\0y,2\n", 3), ("id,arc\nx,1\0\n", 2)]
)
def test_a_nul_byte_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=f":{line}: it holds a NUL byte"):
        read_csv(file)


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "N/A", "<NA>"])
def test_a_missing_name_is_no_name(tmp_path: Path, cell: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"id,arc\nx,1\n{cell},2\n")
    _, rows = read_csv(file)
    with pytest.raises(InputError, match=r"a\.csv:3: the row has no id"):
        rows[1].text("id")


@pytest.mark.parametrize("cell", ["none", "null", "nano", "0", "-"])
def test_a_name_may_be_any_other_text(tmp_path: Path, cell: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"id,arc\n{cell},2\n")
    assert read_csv(file)[1][0].text("id") == cell
