"""Target accuracies from a file, and how far proxies agree with them."""

from pathlib import Path

import pandas as pd
import pytest

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.target_agreement import (
    read_target_accuracy,
    read_target_table,
    target_agreement,
)
from dataselect.errors import InputError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "truth.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_accuracy_is_the_mean_over_the_benchmarks(tmp_path: Path) -> None:
    path = write(tmp_path, "gsm8k,id,arc\n0.25,web,0.75\n1,blend,0\n1e-1,books,0.3\n")
    found = read_target_accuracy(path)
    assert found == pytest.approx({"web": 0.5, "blend": 0.5, "books": 0.2})
    assert list(found) == ["web", "blend", "books"]


def test_accuracies_of_each_benchmark_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "gsm8k,id,arc\n0.25,web,0.75\n1,blend,0\n")
    assert read_target_table(path) == {
        "web": {"gsm8k": 0.25, "arc": 0.75},
        "blend": {"gsm8k": 1, "arc": 0},
    }


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid,arc\nweb,0.5\n",
        "id,arc\r\nweb,0.5\r\n",
        "id,arc\n\nweb,0.5\n\n",
        '"id","arc"\n"web","0.5"',
    ],
    ids=["byte-order-mark", "windows-lines", "blank-lines", "quoted"],
)
def test_a_file_may_come_from_a_spreadsheet(tmp_path: Path, text: str) -> None:
    assert read_target_accuracy(write(tmp_path, text)) == {"web": 0.5}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "needs a column 'id'"),
        ("name,arc\nweb,0.5\n", 1, "needs a column 'id'"),
        ("id\nweb\n", 1, "one for each benchmark"),
        ("id,arc\nweb,0.5\nweb,0.6\n", 3, "'web' comes twice"),
        ("id,arc,seed\nweb,0.5,1\n", 1, "column 'seed' is no accuracy by its name"),
        ("id,arc,arc_stderr\nweb,0.5,0.1\n", 1, "column 'arc_stderr' is no accuracy"),
        ("id,arc,loss\nweb,0.5,0.1\n", 1, "column 'loss' is no accuracy by its name"),
        ("id,arc\nweb,0.5\n,0.6\n", 3, "no id"),
        ("arc,id\n0.5,web\n0.6\n", 3, "1 cells under 2 columns"),
        ("id,arc\nweb,45.2\n", 2, "not a number from 0 to 1"),
        ("id,arc\nweb,-0.1\n", 2, "not a number from 0 to 1"),
        ("id,arc\nweb,nan\n", 2, "not a number from 0 to 1"),
        ("id,arc\nweb,good\n", 2, "column 'arc' says 'good', which is not a finite number"),
        ("id,arc\nweb,\n", 2, "not a number from 0 to 1"),
        ("id,arc,csqa\nweb,0.5\n", 2, "2 cells under 3 columns"),
        ("id,arc\nweb,0.5,0.6\n", 2, "3 cells under 2 columns"),
        ("id,arc\n\n\nweb,2\n", 4, "not a number from 0 to 1"),
    ],
)
def test_a_bad_file_is_refused_with_the_line(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as refused:
        read_target_accuracy(path)
    assert str(refused.value).startswith(f"{path}:{line}: ")
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: .*; check the path in 'evidence'"),
        (b"id,arc\nweb\xff,0.5\n", "is not UTF-8 text"),
        (b'id,arc\nweb,"' + b"0" * 200_000, "is not CSV"),
    ],
    ids=["missing", "not-utf-8", "not-csv"],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "truth.csv" if content is None else write(tmp_path, content)
    with pytest.raises(InputError, match=message):
        read_target_accuracy(path)


def scores(**values: float) -> pd.Series:
    return pd.Series(values)


def test_agreement_counts_pairs_of_candidates_whose_truth_is_known() -> None:
    target = {"a": 0.9, "b": 0.5, "c": 0.1, "elsewhere": 0.3}
    found = target_agreement(
        target,
        {
            "rbridge": scores(a=1.0, b=2.0, c=3.0, unknown=0.0),
            "accuracy": scores(a=3.0, b=2.0, c=1.0, unknown=9.0),
            "label_nll": scores(a=1.0, b=3.0, c=2.0, unknown=0.0),
        },
        bootstrap=Bootstrap(draws=100, seed=0, confidence=0.9),
    )
    assert found is not None
    assert found.target == {"a": 0.9, "b": 0.5, "c": 0.1}
    assert found.pairs == 3
    accuracies = {name: each.decision_accuracy for name, each in found.by_metric.items()}
    assert accuracies == pytest.approx({"rbridge": 1.0, "accuracy": 0.0, "label_nll": 2 / 3})
    assert found.by_metric["rbridge"].kendall_tau == 1.0
    assert found.by_metric["label_nll"].decision_accuracy_interval is not None


@pytest.mark.parametrize(
    "target",
    [{}, {"a": 0.1, "b": 0.2}, {"a": 0.1, "b": 0.1, "c": 0.1}, {"x": 0.1, "y": 0.2, "z": 0.3}],
    ids=["none", "two", "all-equal", "others"],
)
def test_nothing_is_said_of_agreement_when_too_little_is_known(target: dict[str, float]) -> None:
    metrics = {"rbridge": scores(a=1.0, b=2.0, c=3.0)}
    assert (
        target_agreement(target, metrics, bootstrap=Bootstrap(draws=10, seed=0, confidence=0.9))
        is None
    )
