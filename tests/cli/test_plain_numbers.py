"""Options take numbers as people write them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dataselect.cli import app


def agree(folder: Path, *options: str) -> Result:
    for name, column in (("p", "x"), ("t", "arc")):
        rows = "".join(f"{each},{i}\n" for i, each in enumerate("abcd"))
        (folder / f"{name}.csv").write_text(f"id,{column}\n{rows}")
    return CliRunner().invoke(
        app, ["agree", *options, str(folder / "p.csv"), str(folder / "t.csv")]
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "2_5"),
        ("--seed=2_5",),
        ("--draws", "10_00"),
        ("--confidence", "0_9"),
        ("--confidence=.9_5",),
        ("--seed", "\uff11"),
        ("--confidence", "0x1"),
    ],
)
def test_what_python_alone_takes_for_a_number_is_refused(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = agree(tmp_path, *options)
    assert result.exit_code == 2, result.output
    assert "number" in result.stderr or "integer" in result.stderr


def test_thousands_may_be_parted_and_other_options_hold_any_text(tmp_path: Path) -> None:
    assert agree(tmp_path, "--draws", "2_000", "--seed", "1_000").exit_code == 0
    result = agree(tmp_path, "--lower", "2_5")
    assert "p.csv has no metric '2_5'" in result.stderr
