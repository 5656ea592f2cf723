"""Rows that say that they were measured differently."""

from pathlib import Path

import pytest

from dataselect.calibration.accuracies import read_accuracies
from dataselect.errors import InputError
from dataselect.formats.score_table import read_score_table
from dataselect.transfer.pairs import read_pairs

CASES = {
    "num_fewshot": ("5", "0", "n-shot"),
    "n-shot": ("5", "0", "n-shot"),
    "limit": ("", "100", None),
    "Limit": ("1000", "100", "limit"),
    "task_version": ("3.0", "2.0", "task version"),
    "filter": ("strict-match", "flexible-extract", "filter"),
    "target_size": ("7B", "13B", "target's size"),
    "chat_template": ("none", "llama", "chat template"),
}


def table(folder: Path, header: str, column: str, rows: list[str], cells: list[str]) -> Path:
    path = folder / "t.csv"
    lines = [f"{row},{cell}" for row, cell in zip(rows, cells, strict=True)]
    path.write_text("\n".join([f"{header},{column}", *lines]) + "\n")
    return path


@pytest.mark.parametrize("column", CASES)
@pytest.mark.parametrize("kind", ["accuracies", "pairs"])
def test_rows_of_one_benchmark_that_were_measured_differently_are_refused(
    tmp_path: Path, kind: str, column: str
) -> None:
    usual, other, name = CASES[column]
    if kind == "accuracies":
        rows = [f"{n}B,a,0.{n}" for n in range(1, 6)]
        path = table(tmp_path, "tokens,benchmark,accuracy", column, rows, [usual] * 4 + [other])
    else:
        rows = [f"a,{2 - n / 10},0.{n},{n}" for n in range(1, 6)]
        header = "benchmark,metric,accuracy,tokens"
        path = table(tmp_path, header, column, rows, [usual] * 4 + [other])

    def notes() -> tuple[str, ...]:
        if kind == "accuracies":
            return read_accuracies(path, ["a"]).notes
        return read_pairs(path).notes

    if name is None:
        assert "a: 4 of 5 rows do not say their limit: not compared" in notes()
        return
    with pytest.raises(InputError) as refused:
        notes()
    assert f"t.csv:6: its {name} for a is '{other}', and that of line 2 '{usual}'" in str(
        refused.value
    )


def test_other_benchmarks_may_be_measured_otherwise_and_spellings_are_alike(tmp_path: Path) -> None:
    rows = ["1B,a,0.1", "2B,a,0.2", "1B,b,0.1"]
    path = table(tmp_path, "tokens,benchmark,accuracy", "num_fewshot", rows, ["5", "5.0", "0"])
    assert read_accuracies(path, ["a", "b"]).notes == ()


def test_candidates_that_were_measured_differently_are_noted(tmp_path: Path) -> None:
    rows = ["a,0.1", "b,0.2", "c,0.3"]
    path = table(tmp_path, "id,arc", "num_fewshot", rows, ["5", "5", "0"])
    found = read_score_table(path)
    assert found.metrics == ("arc",)
    assert found.doubts == (
        "t.csv: the rows differ in 'num_fewshot' (5 in 2, 0 in 1): not measured alike",
    )
