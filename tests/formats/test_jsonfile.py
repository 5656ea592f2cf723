"""JSON files: a key that comes twice is refused, whatever reads the file."""

from pathlib import Path

import pytest
from pydantic import BaseModel

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
