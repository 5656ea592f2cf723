"""JSON files: a key that comes twice is refused, whatever reads the file."""

import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from dataselect import strict_json
from dataselect.errors import InputError
from dataselect.formats.jsonfile import read_json


class _File(BaseModel):
    scores: dict[str, float]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"scores": {"arc": 1, "arc": 2}}', "the key 'arc' comes twice; keep one of them"),
        ('{"scores": {}, "scores": {"arc": 2}}', "the key 'scores' comes twice"),
        ('{"scores": {"arc": "many"}}', "scores.arc: Input should be a valid number"),
        ('{"scores": ', "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        ('{"scores": {"arc": ' + "9" * 400 + "}}", "a whole number of 400 digits is more than"),
        ('{"scores": {}, "more": -1' + "0" * 5000 + "}", "a whole number of 5,002 digits"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_json(_File, path, "fix it")
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"scores": {"arc": 1, "csqa": 2}}')
    assert read_json(_File, path, "fix it").scores == {"arc": 1, "csqa": 2}


@pytest.mark.parametrize("text", ["[" * 100_000, f"[1{'0' * 309}]", f'{{"a": -{"9" * 5000}}}'])
def test_what_arithmetic_or_recursion_would_fail_on_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|more than numbers can be"):
        strict_json.loads(text)


def test_the_largest_whole_numbers_that_floats_hold_are_read() -> None:
    largest = int(sys.float_info.max)
    assert strict_json.loads(f"[{largest}, -{largest}, 5]") == [largest, -largest, 5]
