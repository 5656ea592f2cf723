"""CSV files of scores: what is read, and which line is wrong."""

import math
from pathlib import Path

import pytest

from dataselect.errors import InputError
from dataselect.formats.score_table import read_score_table

LABELS = ("seed", "size")


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "scores.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_metrics_are_all_columns_but_the_id_and_the_labels(tmp_path: Path) -> None:
    text = "nll,seed,id,acc\n1.5,0,web,50\n1e-1,1,web,-2\n3,0,books,\n"
    table = read_score_table(write(tmp_path, text), LABELS)
    assert (table.labels, table.metrics, table.ids) == (("seed",), ("nll", "acc"), ["web", "books"])
    assert table.values["nll"] == [1.5, 0.1, 3]
    assert table.values["acc"][:2] == [50, -2]
    assert math.isnan(table.values["acc"][2])
    assert table.texts["seed"] == ["0", "1", "0"]


def test_a_label_that_nobody_asked_for_is_no_metric(tmp_path: Path) -> None:
    table = read_score_table(write(tmp_path, "id,seed,arc\nweb,3,1\n"))
    assert (table.labels, table.metrics) == ((), ("arc",))
    assert table.notes == (
        "scores.csv: no metric, left out: column 'seed' (rename one that is a metric)",
    )
    wanted = read_score_table(write(tmp_path, "id,seed\nweb,3\n"), wanted=("seed",))
    assert (wanted.labels, wanted.metrics) == ((), ("seed",))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid,arc\nweb,0.5\n",
        "id,arc\r\nweb,0.5\r\n",
        "id,arc\n\nweb,0.5\n\n",
        '"id","arc"\n"web","0.5"',
        " id , arc \n web , 0.5 \n",
        "id,arc,,\nweb,0.5,,\n",
        "Unnamed: 0,id,arc\n0,web,0.5\n",
        "id,arc,arc_low,arc_high,seconds,note\nweb,0.5,0.4,0.6,12,quick\n",
    ],
    ids=[
        *("byte-order-mark", "windows-lines", "blank-lines", "quoted", "spaces", "empty-columns"),
        *("row-numbers", "bookkeeping"),
    ],
)
def test_a_file_may_come_from_a_spreadsheet(tmp_path: Path, text: str) -> None:
    table = read_score_table(write(tmp_path, text))
    assert (table.ids, table.metrics) == (["web"], ("arc",))
    assert table.values["arc"] == [0.5]


def test_a_size_is_one_however_it_is_written(tmp_path: Path) -> None:
    text = "id,size,arc\na,4M,1\nb,4000000,2\nc,4e6,3\na,1B,1\n"
    table = read_score_table(write(tmp_path, text), LABELS)
    assert table.texts["size"] == ["4M", "4M", "4M", "1B"]


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "NA", "n/a", "None", "null", "-"])
def test_a_missing_value_may_be_written_in_many_ways(tmp_path: Path, cell: str) -> None:
    table = read_score_table(write(tmp_path, f"id,arc,csqa\nweb,{cell},1\n"))
    assert math.isnan(table.values["arc"][0])


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", ":1", "needs a column 'id' and one for each metric"),
        ("name,arc\nweb,0.5\n", ":1", "needs a column 'id'"),
        ("id\nweb\n", ":1", "needs a column 'id' and one for each metric"),
        ("id,seed\nweb,1\n", ":1", "it has no metric"),
        ("id,arc,arc\nweb,1,2\n", ":1", "column 'arc' comes twice"),
        (",id,arc\n0,web,2\n", ":1", "a column has no name"),
        ("id,arc\n", "", "it has no row"),
        ("id,arc\nweb,0.5\n,0.6\n", ":3", "the row has no id"),
        ("id,seed,arc\nweb,,0.6\n", ":2", "the row has no seed"),
        ("id,arc,csqa\nweb,0.5\n", ":2", "2 cells under 3 columns"),
        ("id,arc\nweb,0.5,0.6\n", ":2", "3 cells under 2 columns"),
        ("id,arc\nweb,good\n", ":2", "column 'arc' says 'good', which is not a finite number"),
        ("id,arc\nweb,2_5\n", ":2", "column 'arc' says '2_5', which is not a finite number"),
        ("id,arc\nweb,\u0662.5\n", ":2", "which is not a finite number"),
        ("id,arc\n\n\nweb,inf\n", ":4", "column 'arc' says 'inf'"),
        ("id,arc\nweb,Infinity\n", ":2", "which is not a finite number"),
        ("id,arc\nweb,1e5_0\n", ":2", "which is not a finite number"),
        ("id,arc\nweb,\uff11\uff12\n", ":2", "which is not a finite number"),
        ("id,arc\nweb,0x10\n", ":2", "which is not a finite number"),
        ('id,arc\nweb,"1,5"\n', ":2", "which is not a finite number"),
        ("id,arc\nweb,1e999\n", ":2", "which is not a finite number"),
        (
            "id,arc\nweb,1e308\n",
            ":2",
            "column 'arc' says '1e308', which is too large to be a score",
        ),
        ("id,arc\nweb,1e-310\n", ":2", "says '1e-310', which is too small to be a score"),
        ("id;arc\nweb;0,5\n", ":1", "its cells are separated by semicolons"),
        ("id\tarc\nweb\t0.5\n", ":1", "its cells are separated by tabs"),
        ("id,arc,\nweb,0.5,x\n", ":1", "a column has no name"),
        ("id,seed,step\nweb,1,2\n", ":1", "it has no metric by its names ('step')"),
        ("id,size,arc\nweb,4M,1\nweb,4000000,2\n", ":3", "'web', size '4000000' comes twice"),
        ("id,seed,arc\nweb,1,1\nweb,1.0,2\n", ":3", "'web', seed '1.0' comes twice"),
        ("id,arc\nweb,50%\n", ":2", "column 'arc' says '50%'"),
        ("id,arc\nweb,1\nweb,2\n", ":3", "'web' comes twice (before in line 2)"),
        ("id,seed,arc\nweb,1,1\nweb,2,2\nweb,1,3\n", ":4", "'web', seed '1' comes twice"),
    ],
)
def test_a_bad_file_is_refused_with_the_line(
    tmp_path: Path, text: str, line: str, problem: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as refused:
        read_score_table(path, LABELS)
    assert str(refused.value).startswith(f"{path}{line}: ")
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_rows_of_one_candidate_are_told_how_to_be_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, "id,seed,arc\nweb,1,1\nweb,1,3\n")
    with pytest.raises(InputError, match="or add a column 'size'"):
        read_score_table(path, LABELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, ": cannot be read: No such file or directory; check the path"),
        (b"id,arc\nweb\xff,0.5\n", ": is not UTF-8 text; save it as UTF-8"),
        (b'id,arc\nweb,"' + b"0" * 200_000, ":2: is not CSV: "),
        (b'id,arc\nweb,"1\n', ":2: is not CSV: "),
    ],
    ids=["missing", "not-utf-8", "a-huge-field", "an-open-quote"],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "scores.csv" if content is None else write(tmp_path, content)
    with pytest.raises(InputError, match=f"scores.csv{message}"):
        read_score_table(path)
