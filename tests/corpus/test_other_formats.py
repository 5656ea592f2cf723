"""Training data that is no text is named, with what to do instead, and never read as text."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataselect.config.manifest import Source
from dataselect.corpus.files import local_files
from dataselect.errors import InputError

MDS_INDEX = {
    "shards": [
        {
            "column_encodings": ["str"],
            "column_names": ["text"],
            "column_sizes": [None],
            "compression": None,
            "format": "mds",
            "hashes": [],
            "raw_data": {"basename": "shard.00000.mds", "bytes": 9, "hashes": {}},
            "samples": 1,
            "size_limit": 67108864,
            "version": 2,
            "zip_data": None,
        }
    ],
    "version": 2,
}
LITDATA_INDEX = {
    "chunks": [{"chunk_bytes": 9, "chunk_size": 1, "dim": None, "filename": "chunk-0-0.bin"}],
    "config": {"chunk_bytes": 9, "chunk_size": None, "compression": None, "data_format": ["str"]},
    "updated_at": "0.0",
}
TEXT = b'{"text": "x"}\n'


def write(base: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(data)


def refusal(base: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        local_files(Source(id="src", **keys), base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (
            {"index.json": MDS_INDEX, "shard.00000.mds": b"\1"},
            ["d holds MDS shards of MosaicML Streaming", "streaming.StreamingDataset reads them"],
        ),
        (
            {"train/index.json": MDS_INDEX, "train/shard.00000.mds.zstd": b"\1"},
            ["d/train holds MDS shards"],
        ),
        # Streaming's shards of JSON lines look like text, one row for each sample.
        ({"index.json": MDS_INDEX, "shard.00000.json": TEXT}, ["d holds MDS shards"]),
        ({"shard.00000.mds": b"\1"}, ["d holds MDS shards"]),
        (
            {"index.json": LITDATA_INDEX, "chunk-0-0.bin": b"\1"},
            ["d holds chunks of litdata", "litdata.StreamingDataset reads them"],
        ),
        (
            {"web_text_document.bin": b"\1", "web_text_document.idx": b"MMIDIDX\x00\x00"},
            ["d holds token ids of Megatron-LM", "name the text that they were made from"],
        ),
        ({"part-0.npy": b"\1"}, ["d holds token ids instead of text"]),
        ({"train.bin": b"\1", "val.bin": b"\1", "meta.pkl": b""}, ["token ids instead of text"]),
        ({"00000.tar": b"\1", "00001.tar": b"\1"}, ["tar archives (WebDataset)", "unpack them"]),
        ({"a.csv": b"text\nx\n"}, ["CSV files, which are not read", "convert them to JSON lines"]),
        ({"train.csv": b"text\n", "test.jsonl": TEXT}, ["CSV files, which are not read"]),
        (
            {"a.csv": b"text\n", "b.csv": b"text\n", "c.jsonl": TEXT},
            ["holds more CSV files than text files", "name the files to read in data_files"],
        ),
        ({"a.jsonl": TEXT, "b.jsonl.bz2": b"\1"}, [".bz2 files are not read"]),
        ({"CC-MAIN-0.warc.wet.gz": b"\1"}, ["web archives (WET)"]),
    ],
)
def test_folders_of_other_formats(tmp_path: Path, files: dict[str, Any], parts: list[str]) -> None:
    write(tmp_path / "d", files)
    message = refusal(tmp_path, path="d")
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("shard.00000.mds", "MDS shards of MosaicML Streaming are not read"),
        ("tokens.npy", "token ids instead of text are not read"),
        ("a.csv", "CSV files are not read"),
        ("a.tar", ".tar files are not read"),
    ],
)
def test_a_single_file_of_another_format(tmp_path: Path, name: str, part: str) -> None:
    write(tmp_path, {name: b"\1"})
    assert part in refusal(tmp_path, path=f"./{name}")
    assert part in refusal(tmp_path, path=".", data_files=name)


def test_an_index_of_one_s_own_is_text(tmp_path: Path) -> None:
    write(tmp_path / "d", {"index.json": {"text": "x", "shards": 3}})
    (file,) = local_files(Source(id="src", path="d"), tmp_path)
    assert file.name == "index.json"


def test_token_ids_beside_text_do_not_hide_it(tmp_path: Path) -> None:
    write(tmp_path / "d", {"train.bin": b"\1", "val.bin": b"\1", "input.txt": b"x\n"})
    assert [f.name for f in local_files(Source(id="src", path="d"), tmp_path)] == ["input.txt"]
