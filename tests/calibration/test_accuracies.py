"""A target's accuracies from a CSV file: by benchmark and tokens, every fault with its line."""

from pathlib import Path

import pytest

from dataselect.calibration.accuracies import read_accuracies
from dataselect.errors import InputError


def read(
    path: Path, text: str, benchmarks: tuple[str, ...] = ("a",)
) -> dict[str, dict[int, float]]:
    path = path / "target.csv"
    path.write_text(text)
    return {name: dict(known) for name, known in read_accuracies(path, benchmarks).values.items()}


def test_tokens_are_read_as_people_write_them_and_other_benchmarks_are_left(tmp_path: Path) -> None:
    text = (
        "tokens,accuracy,benchmark,by\n250B,31.5,a,me\n3.75T,60,a,\n1e9,0,b,\n4B,,a,\n250B,9,c,\n"
    )
    assert read(tmp_path, text, ("a", "b")) == {
        "a": {250 * 10**9: 31.5, 3_750 * 10**9: 60.0},
        "b": {10**9: 0.0},
    }
    found = read_accuracies(tmp_path / "target.csv", ["a"])
    assert (found.name, found.origins["a", 3_750 * 10**9]) == ("target.csv", "target.csv:3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens,benchmark\n1,a\n", "target.csv:1: no column accuracy"),
        ("tokens,benchmark,accuracy\nmany,a,1\n", "target.csv:2: tokens: 'many' is not a number"),
        ("tokens,benchmark,accuracy\n1,a,101\n", "target.csv:2: accuracy 101 is neither"),
        ("tokens,benchmark,accuracy\n1,a,x\n", "target.csv:2: column 'accuracy' says 'x'"),
        ("tokens,benchmark,accuracy\n1,a,0\n1.0,a,1\n", "1 tokens comes twice (before in line 2)"),
        ("tokens,benchmark,accuracy\n1,A,0\n", "no accuracy of benchmark 'a'; did you mean 'A'?"),
        ("tokens,benchmark,accuracy\n1,b,0\n1,c,0\n", "the file has b, c"),
        ("tokens,benchmark,accuracy\n1,,0\n", "target.csv:2: the row has no benchmark"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
