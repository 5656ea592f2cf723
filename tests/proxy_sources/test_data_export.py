"""The folder that a command trains on: tokens as they are, and a description to read them by."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.config.manifest import Source
from dataselect.corpus.prepare import Share, Stream
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.proxy_sources.data_export import hand, write_data
from dataselect.proxy_sources.megatron_index import write_index


def test_shards_are_raw_ids_and_the_description_says_how_to_mix_them(
    inputs: Any, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.jsonl").write_text('{"body": "a"}\n')
    stream = Stream("web", "key", inputs.share.folder, 2000, 2000, {})
    source = Source(id="web", path="texts", text_column="body")
    hub = Source(id="books", path="some/books", name="small", revision="abc")
    handed = (
        hand(stream, Share("key", inputs.share.folder, 3000), 0.75, source, tmp_path),
        hand(replace(stream, source="books"), inputs.share, 0.25, hub, tmp_path),
    )
    folder = tmp_path / "data"
    write_data(folder, inputs.tokenizer, handed, {"candidate": "blend", "tokens": 4000})
    described = json.loads((folder / "data.json").read_text())
    web, books = described["sources"]
    assert (described["candidate"], described["tokens"]) == ("blend", 4000)
    assert (web["id"], web["weight"], web["tokens"], web["epochs"]) == ("web", 0.75, 3000, 1.5)
    assert web["files"] == [str(tmp_path / "texts" / "one.jsonl")]
    assert web["text_column"] == "body"
    assert books["load_dataset"] == {
        "path": "some/books",
        "name": "small",
        "revision": "abc",
        "split": "train",
    }
    (shard,) = web["shards"]
    dtype = np.dtype(described["dtype"]).newbyteorder("<")
    ids = np.fromfile(folder / shard["file"], dtype)
    assert len(ids) == shard["tokens"] == web["available_tokens"] == 2000
    assert (ids == np.fromfile(inputs.share.folder / "tokens-00000.bin", "<u2")).all()
    tokenizer = load_tokenizer(folder / described["tokenizer"])
    assert tokenizer.eos_token_id == described["end_of_text"]
    assert len(tokenizer) == described["vocab_size"]


def test_a_folder_that_is_there_stays_and_a_half_written_one_is_written_anew(
    inputs: Any, tmp_path: Path
) -> None:
    stream = Stream("web", "key", inputs.share.folder, 2000, 2000, {})
    source = Source(id="web", path="dataselect/desk", name="worked")
    handed = (hand(stream, inputs.share, 1.0, source, tmp_path),)
    (tmp_path / "data.unfinished" / "tokens" / "web").mkdir(parents=True)
    for facts in ({"tokens": 1}, {"tokens": 2}):
        write_data(tmp_path / "data", inputs.tokenizer, handed, facts)
    assert json.loads((tmp_path / "data" / "data.json").read_text())["tokens"] == 1


def read_index(path: Path) -> tuple[int, "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Type, document lengths and offsets, by the format's own description."""
    data = path.read_bytes()
    assert data[:9] == b"MMIDIDX\x00\x00"
    assert np.frombuffer(data, "<u8", 1, 9) == [1]
    count, documents = np.frombuffer(data, "<u8", 2, 18).tolist()
    lengths = np.frombuffer(data, "<i4", count, 34)
    offsets = np.frombuffer(data, "<i8", count, 34 + 4 * count)
    begins = np.frombuffer(data, "<i8", documents, 34 + 12 * count)
    assert begins.tolist() == list(range(count + 1))
    assert len(data) == 34 + 12 * count + 8 * documents
    return data[17], lengths, offsets


@pytest.mark.parametrize(("dtype", "code"), [("uint16", 8), ("uint32", 4)])
@given(
    documents=st.lists(st.lists(st.integers(1, 60_000), max_size=5), max_size=6),
    rest=st.lists(st.integers(1, 60_000), min_size=1, max_size=5),
)
def test_the_index_cuts_the_tokens_into_their_documents(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    code: int,
    documents: list[list[int]],
    rest: list[int],
) -> None:
    whole = [[*document, 0] for document in documents] + [rest]
    shard = tmp_path_factory.getbasetemp() / f"shard-{dtype}.bin"
    ids = np.array([each for document in whole for each in document])
    shard.write_bytes(ids.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
    kind, lengths, offsets = read_index(write_index(shard, dtype, end_of_text=0))
    data, size = shard.read_bytes(), np.dtype(dtype).itemsize
    read = [
        np.frombuffer(data, dtype, length, offset).tolist()
        for length, offset in zip(lengths, offsets, strict=True)
    ]
    assert (kind, read) == (code, whole)
    assert size * sum(lengths) == len(data)
