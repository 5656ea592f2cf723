"""The stream of texts: its order, its counts, and where it stops."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.config.manifest import Source
from dataselect.corpus import rows as rows_module
from dataselect.corpus.rows import RowCounts, open_rows
from dataselect.corpus.sampling import peek
from dataselect.errors import InputError
from dataselect.synthetic import world


def write(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def source(path: str = "d", **keys: Any) -> Source:
    return Source(id="src", path=path, **keys)


def refusal(base: Path, src: Source) -> str:
    with pytest.raises(InputError) as caught:
        list(open_rows(src, base, seed=0))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    for file in range(4):
        write(tmp_path / f"d/{file}.jsonl", [{"text": f"{file}-{i}"} for i in range(25)])
    return tmp_path


def test_every_text_comes_once(numbered: Path) -> None:
    texts = list(open_rows(source(), numbered, seed=3))
    assert Counter(texts) == Counter(f"{file}-{i}" for file in range(4) for i in range(25))


def test_order_is_the_seed_s(numbered: Path) -> None:
    first = list(open_rows(source(), numbered, seed=3))
    assert first == list(open_rows(source(), numbered, seed=3))
    assert first != list(open_rows(source(), numbered, seed=4))


def test_files_are_taken_in_an_order_drawn_from_the_seed(
    numbered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "BUFFER_DOCUMENTS", 1)
    starts = {next(open_rows(source(), numbered, seed))[0] for seed in range(30)}
    assert starts == set("0123")


def test_long_documents_shorten_the_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.jsonl", [{"text": f"{i}" * 100} for i in range(50)])
    monkeypatch.setattr(rows_module, "BUFFER_CHARACTERS", 1000)
    counts = RowCounts()
    next(open_rows(source("a.jsonl"), tmp_path, 0, counts))
    assert counts.read <= 11


def test_stream_reads_no_further_than_its_buffer(
    numbered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "BUFFER_DOCUMENTS", 10)
    counts = RowCounts()
    taken = list(islice(open_rows(source(), numbered, 0, counts), 5))
    assert len(taken) == 5
    assert counts.read == 15


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(
        st.tuples(st.sampled_from([1, 2, 7, 10_001, 2**32, 2**33]), st.integers(1, 9)), max_size=20
    ),
    seed=st.integers(0, 9),
    ahead=st.integers(1, 4),
)
def test_draws_in_blocks_are_those_of_single_calls(
    runs: list[tuple[int, int]], seed: int, ahead: int
) -> None:
    bounds = [bound for bound, times in runs for _ in range(times)]
    single = np.random.default_rng(seed)
    expected = [int(single.integers(bound)) for bound in bounds]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "_DRAWS_AHEAD", ahead)
        draws = rows_module._Draws(np.random.default_rng(seed))
        assert [draws.below(bound) for bound in bounds] == expected


ROWS = st.one_of(
    st.builds(lambda text: {"text": text}, st.text(max_size=20)),
    st.just({"text": None}),
    st.just({"text": 7}),
    st.just({"other": "x"}),
    st.just(["no object"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=30), st.integers(0, 9))
def test_counts_add_up_to_the_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], seed: int
) -> None:
    base = tmp_path_factory.mktemp("rows")
    write(base / "a.jsonl", [{"text": "first"}, *rows])
    counts = RowCounts()
    texts = list(open_rows(source("a.jsonl", bad_rows="skip"), base, seed, counts))
    assert counts.read == len(rows) + 1
    assert counts.read == counts.used + counts.bad + counts.empty + counts.non_text
    assert counts.used == len(texts)
    assert all(text.strip() for text in texts)
    assert counts.bad == sum(isinstance(row, list) for row in rows)


def test_bad_row_ends_the_stream_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": "cut off')
    message = refusal(tmp_path, source("a.jsonl"))
    assert f"{tmp_path / 'a.jsonl'}:2: the file ends inside this line" in message
    assert "bad_rows: skip" in message


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    content = b'{"text": "x"}\n{"text": "\xff"}\n[]\n{"text": "cut'
    (tmp_path / "a.jsonl").write_bytes(content)
    counts = RowCounts()
    assert list(open_rows(source("a.jsonl", bad_rows="skip"), tmp_path, 0, counts)) == ["x"]
    assert counts == RowCounts(read=4, used=1, bad=3)


def test_half_of_a_surrogate_pair_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "ok \\ud83d\\ude00"}\n{"text": "no \\ud83d"}\n')
    assert "a.jsonl:2: half of a surrogate pair at character 4" in refusal(
        tmp_path, source("a.jsonl")
    )


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "the dataset is empty"),
        ("\n\n", "the dataset is empty"),
        ('{"text": null}\n{"text": " \\n"}\n', "no usable text in 2 rows (0 bad, 1 empty, 1 not"),
    ],
)
def test_source_without_usable_text_is_refused(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    message = refusal(tmp_path, source("a.jsonl"))
    assert part in message
    with pytest.raises(InputError):
        peek(source("a.jsonl"), tmp_path)


def test_missing_files_are_reported_before_the_first_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_rows(source("gone.jsonl"), tmp_path, seed=0)


@pytest.mark.parametrize(
    ("content", "part"), [("nonsense\n", "a.jsonl:1: "), ('{"body": "x"}\n', "no column 'text'")]
)
def test_peek_finds_what_is_wrong_in_the_first_rows(
    tmp_path: Path, content: str, part: str
) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match=part):
        peek(source("a.jsonl"), tmp_path)


def test_synthetic_world_streams_endlessly_in_its_own_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def documents(genre: str, seed: int) -> Iterator[str]:
        number = 0
        while True:
            yield f"{genre} {seed} {number}"
            number += 1

    monkeypatch.setattr(world, "documents", documents)
    monkeypatch.setattr(world, "GENRES", {"made-up": None})
    made_up = source("dataselect/desk", name="made-up")
    counts = RowCounts()
    stream = open_rows(made_up, tmp_path, 5, counts)
    assert list(islice(stream, 3)) == ["made-up 5 0", "made-up 5 1", "made-up 5 2"]
    assert counts == RowCounts(read=3, used=3)
    peek(made_up, tmp_path)


@pytest.mark.parametrize("genre", [None, "no-such"])
def test_synthetic_world_names_its_genres(tmp_path: Path, genre: str | None) -> None:
    with pytest.raises(InputError, match=next(iter(world.GENRES))):
        peek(source("dataselect/desk", name=genre), tmp_path)
