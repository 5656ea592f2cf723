"""Hub datasets through `datasets`, on folders made here, since nothing can be downloaded."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dataselect.config.manifest import Source
from dataselect.corpus.hub import hub_rows
from dataselect.corpus.rows import RowCounts, open_rows
from dataselect.corpus.sampling import HUB_ROWS, peek
from dataselect.errors import InputError
from dataselect.redaction import redact


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    folder = tmp_path / "dataset"
    folder.mkdir()
    for part in range(3):
        rows = [{"text": f"{part}-{i}", "id": i} for i in range(4)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"train-{part}.jsonl").write_text(text)
    (folder / "test.jsonl").write_text('{"text": "test", "id": 0}\n')
    return str(folder)


def texts(source: Source, seed: int, streaming: bool) -> list[object]:
    return [value for _, value in hub_rows(source, seed, streaming)]


def refusal(source: Source) -> str:
    with pytest.raises(InputError) as caught:
        list(hub_rows(source, 0, streaming=True))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("streaming", [True, False])
def test_rows_come_once_in_an_order_drawn_from_the_seed(dataset: str, streaming: bool) -> None:
    source = Source(id="hub", path=dataset)
    orders = [texts(source, seed, streaming) for seed in (1, 1, 2, 3, 4)]
    assert sorted(map(str, orders[0])) == [f"{part}-{i}" for part in range(3) for i in range(4)]
    assert orders[0] == orders[1]
    assert len({tuple(map(str, order)) for order in orders}) > 1


def test_streaming_reads_file_after_file_in_the_seed_s_order(dataset: str) -> None:
    source = Source(id="hub", path=dataset)
    orders = {tuple(map(str, texts(source, seed, streaming=True))) for seed in range(12)}
    starts = {tuple(text[0] for text in order[::4]) for order in orders}
    assert len(starts) > 2
    for order in orders:
        assert [text[2] for text in order] == list("0123") * 3
        assert sorted(text[0] for text in order[::4]) == list("012")


def test_split_and_data_files_choose(dataset: str) -> None:
    assert texts(Source(id="hub", path=dataset, split="test"), 0, True) == ["test"]
    assert len(texts(Source(id="hub", path=dataset, data_files="train-1.jsonl"), 0, True)) == 4


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"text_column": "txt"}, ("columns: 'text', 'id'", "did you mean 'text'?")),
        ({"split": "nosplit"}, ("Bad split", "set split:")),
        ({"name": "config"}, ("BuilderConfig", "set name:")),
        ({"data_files": "no-*.jsonl"}, ("hub: ", "check path, data_files")),
    ],
)
def test_wrong_choices_name_the_fix(
    dataset: str, keys: dict[str, Any], parts: tuple[str, ...]
) -> None:
    message = refusal(Source(id="hub", path=dataset, **keys))
    assert all(part in message for part in parts), message


def test_truncated_file_is_one_line(dataset: str) -> None:
    (Path(dataset) / "train-1.jsonl").write_text('{"text": "x"}\n{"text": "cut')
    assert refusal(Source(id="hub", path=dataset)).startswith(f"hub: {dataset}: ")


def fake_datasets(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    module = ModuleType("datasets")
    module.__dict__.update(load_dataset=load, disable_progress_bars=lambda: None)
    monkeypatch.setitem(sys.modules, "datasets", module)


class Stream:
    """A dataset whose columns are unknown before reading, and which breaks off."""

    column_names = None
    num_shards = 1

    def __init__(self, rows: list[dict[str, Any]], error: Exception | None = None) -> None:
        self._rows, self._error = rows, error

    def shard(self, num_shards: int, index: int) -> "Stream":
        assert (num_shards, index) == (1, 0)
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._rows
        if self._error is not None:
            raise self._error


def test_connection_lost_while_reading_is_one_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ConnectionError(
        "timeout at https://u:pw@cdn.host/part-1?Signature=SECRET\nheader hf_abcdefghijklmnop"
    )
    fake_datasets(monkeypatch, lambda *_, **__: Stream([{"text": "x"}], error))
    message = refusal(Source(id="hub", path="owner/name"))
    assert "hub: owner/name: " in message
    assert "https://cdn.host/part-1" in message
    assert "check the network" in message
    assert not any(secret in message for secret in ("SECRET", "pw@", "abcdefgh"))


def test_offline_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the Hub (OfflineModeIsEnabled)")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fake_datasets(monkeypatch, load)
    assert "HF_HUB_OFFLINE is set" in refusal(Source(id="hub", path="owner/name"))


def test_private_dataset_asks_for_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    class DatasetNotFoundError(FileNotFoundError):
        pass

    def load(*_: object, **__: object) -> None:
        raise DatasetNotFoundError("Dataset 'owner/name' is a gated dataset on the Hub.")

    fake_datasets(monkeypatch, load)
    assert "hf auth login" in refusal(Source(id="hub", path="owner/name"))


def test_peek_takes_the_first_rows_and_refuses_an_empty_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(id="hub", path="owner/name")
    good = Stream([{"text": "x"}] * HUB_ROWS, ConnectionError("read beyond the first rows"))
    fake_datasets(monkeypatch, lambda *_, **__: good)
    peek(source, tmp_path)
    fake_datasets(monkeypatch, lambda *_, **__: Stream([]))
    with pytest.raises(InputError, match="hub: owner/name: the dataset is empty"):
        peek(source, tmp_path)


def test_peek_refuses_a_hub_dataset_whose_first_rows_are_mostly_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(id="hub", path="owner/name")
    lists = [{"text": ["x"]}] * (HUB_ROWS - 1)
    fake_datasets(monkeypatch, lambda *_, **__: Stream([{"text": "x"}, *lists, *lists]))
    with pytest.raises(InputError, match="99 of 100 rows sampled have no usable text"):
        peek(source, tmp_path)
    empty = [{"text": ""}] * (HUB_ROWS - 1)
    fake_datasets(monkeypatch, lambda *_, **__: Stream([{"text": "x"}, *empty, *empty]))
    assert "99 of 100 rows sampled have no usable text (99%; 99 empty)" in peek(source, tmp_path)


def test_columns_unknown_beforehand_are_checked_on_the_first_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_datasets(monkeypatch, lambda *_, **__: Stream([{"Text": "x"}]))
    assert "did you mean 'Text'?" in refusal(Source(id="hub", path="owner/name"))


def test_open_rows_asks_for_the_source_s_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[tuple[object, ...], dict[str, object]]] = []

    def load(*args: object, **keys: object) -> Stream:
        asked.append((args, keys))
        return Stream([{"text": "a"}, {"text": None}, {"text": " "}])

    fake_datasets(monkeypatch, load)
    source = Source(
        id="hub", path="owner/name", name="c", split="s", data_dir="d", revision="r", data_files="f"
    )
    counts = RowCounts()
    assert list(open_rows(source, tmp_path, 0, counts)) == ["a"]
    assert counts == RowCounts(read=3, used=1, empty=1, non_text=1)
    expected = {"split": "s", "data_files": "f", "data_dir": "d", "revision": "r"}
    assert asked == [(("owner/name", "c"), {**expected, "streaming": True})]


def test_redaction_leaves_ordinary_text_alone() -> None:
    assert redact("a@b.c costs 3? #1 and/or C:/x") == "a@b.c costs 3? #1 and/or C:/x"
    assert redact("see s3://key:secret@bucket/a.gz?x=1, then") == "see s3://bucket/a.gz then"
