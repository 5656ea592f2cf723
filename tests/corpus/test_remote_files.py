"""Texts at URLs are the texts that the same files are here; what changes is found.

The server is fsspec's memory file system; benchmarks/store reads the same from one that speaks S3.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from dataselect.config.manifest import Source
from dataselect.corpus import remote_files
from dataselect.corpus.files import find_files, origin
from dataselect.corpus.fingerprint import fingerprint, require_unchanged
from dataselect.corpus.rows import open_rows
from dataselect.corpus.sampling import peek
from dataselect.errors import InputError
from dataselect.formats.zstd import zstd

TEXTS = [f"text {number}: é" for number in range(300)]


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    remote_files._listings.clear()
    yield
    system.store.clear()


def source(**keys: Any) -> Source:
    return Source(id="src", **keys)


def write(base: Path) -> dict[str, bytes]:
    """A file of each form, here; their contents by name."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    table = pa.table({"text": TEXTS})
    base.mkdir()
    (base / "a.jsonl").write_bytes(lines)
    (base / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    (base / "c.jsonl.zst").write_bytes(zstd.compress(lines))
    (base / "d.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    pq.write_table(table, base / "e.parquet", row_group_size=70)
    with (
        pa.OSFile(str(base / "f.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as to,
    ):
        to.write_table(table, max_chunksize=50)
    return {path.name: path.read_bytes() for path in sorted(base.iterdir())}


def put(files: dict[str, bytes], prefix: str = "bucket/web") -> str:
    system = fsspec.filesystem("memory")
    for name, content in files.items():
        system.pipe_file(f"/{prefix}/{name}", content)
    remote_files._listings.clear()
    return f"memory://{prefix}"


def texts(where: Source, base: Path) -> list[str]:
    return list(open_rows(where, base, seed=0))


def test_each_form_reads_as_the_same_file_here(tmp_path: Path) -> None:
    url = put(write(tmp_path / "web"))
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.txt", "e.parquet", "f.arrow"):
        here, there = source(path=f"web/{name}"), source(path=f"{url}/{name}")
        assert texts(there, tmp_path) == texts(here, tmp_path)
        assert peek(there, tmp_path) == peek(here, tmp_path) == ""
        assert origin(there, tmp_path) == "remote"
        described = fingerprint(there, tmp_path)["files"]
        assert [file["name"] for file in described] == [name]
        assert set(described[0]) == {"name", "form", "bytes", "modified"}


def test_patterns_lists_and_folders(tmp_path: Path) -> None:
    line = b'{"text": "x"}\n'
    url = put({"x/1.jsonl": line, "x/2.jsonl": line, "y/3.jsonl": line, "y/notes.md": b"#"})

    def names(**keys: Any) -> list[str]:
        return [file.name for file in find_files(source(**keys), tmp_path).files]

    assert names(path="json", data_files=f"{url}/**/*.jsonl") == [
        "x/1.jsonl",
        "x/2.jsonl",
        "y/3.jsonl",
    ]
    assert names(path="json", data_files=[f"{url}/x/2.jsonl", f"{url}/x/*.jsonl"]) == [
        "1.jsonl",
        "2.jsonl",
    ]
    assert names(path=url) == ["x/1.jsonl", "x/2.jsonl", "y/3.jsonl"]
    assert names(path=url, data_files="x/*") == ["1.jsonl", "2.jsonl"]
    assert names(path=url, data_dir="y") == ["3.jsonl"]
    assert names(path="json", data_dir=f"{url}/x") == ["1.jsonl", "2.jsonl"]


def test_splits_and_saved_datasets_are_those_of_a_folder_here(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "saved"
    parts = {"train": ["a", "b"], "test": ["c"]}
    datasets.DatasetDict(
        {name: datasets.Dataset.from_dict({"text": each}) for name, each in parts.items()}
    ).save_to_disk(str(folder))
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    url = put(files, "bucket/saved")
    there = source(path=url)
    assert sorted(texts(there, tmp_path)) == ["a", "b"]
    assert texts(source(path=url, split="test"), tmp_path) == ["c"]
    assert find_files(there, tmp_path).note == "only split train is read, not test"
    with pytest.raises(InputError, match="memory://bucket/saved") as caught:
        texts(source(path=url, split="nope"), tmp_path)
    assert "/tmp" not in str(caught.value)


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    files = {"a.jsonl": b'{"text": "x"}\n'}
    before = fingerprint(source(path=put(files)), tmp_path)
    assert "memory" not in json.dumps(before)
    put({"a.jsonl": b'{"text": "y"}\n'})
    with pytest.raises(InputError, match="changed while they were read"):
        require_unchanged(source(path="memory://bucket/web"), tmp_path, before)


def test_a_run_that_has_read_its_texts_needs_their_server_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = b'{"text": "x"}\n'
    sources = [source(path=put({"a.jsonl": line}, f"bucket/{name}")) for name in "ab"]
    for each in sources:
        fingerprint(each, tmp_path)

    def down(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(MemoryFileSystem, "info", down)
    for each in sources:
        assert find_files(each, tmp_path).note == ""
    with pytest.raises(InputError, match=r"cannot be listed .*no network"):
        fingerprint(sources[0], tmp_path)


@pytest.mark.parametrize(
    ("about", "known"),
    [
        ({"ETag": '"abc-2"', "LastModified": 1}, {"etag": "abc-2"}),
        ({"md5Hash": "q==", "etag": "x"}, {"md5": "q=="}),
        ({"content_settings": {"content_md5": bytearray(b"\1\2")}, "etag": "x"}, {"md5": "0102"}),
        ({"content_settings": {"content_md5": None}, "etag": "0x8"}, {"etag": "0x8"}),
        ({"blob_id": "b", "lfs": None}, {"blob": "b"}),
        ({"blob_id": "b", "lfs": {"sha256": "s"}}, {"sha256": "s"}),
        ({"mtime": 3.5}, {"modified": "3.5"}),
        ({}, {}),
    ],
)
def test_the_strongest_checksum_counts(about: dict[str, Any], known: dict[str, str]) -> None:
    assert remote_files._version(about) == known


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"path": "memory://bucket/none"}, "there is nothing at"),
        ({"path": "json", "data_files": "memory://bucket/web/*.none"}, "no file matches"),
        ({"path": "json", "data_files": "memory://bucket/web"}, "is a folder; write"),
        ({"path": "json", "data_files": ["memory://bucket/web/a.jsonl", "b.jsonl"]}, "is here"),
        ({"path": "https://host/a.jsonl?key=hidden"}, "https:// is not read"),
        ({"path": "file:///x/a.jsonl"}, "write the path without file://"),
        ({"path": "s3://key:hidden@bucket/a.jsonl"}, "user or password"),
        ({"path": "memory://bucket/web/a.csv"}, "CSV files are not read"),
        ({"path": "memory://bucket/web/a.jsonl", "revision": "v1"}, "revision"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_without_secrets(
    tmp_path: Path, keys: dict[str, Any], problem: str
) -> None:
    put({"a.jsonl": b'{"text": "x"}\n', "a.csv": b"text\nx\n"})
    with pytest.raises(InputError) as caught:
        find_files(source(**keys), tmp_path)
    assert problem in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_server_that_fails_in_the_middle_is_one_line_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put(write(tmp_path / "web"))

    class Broken:
        def read(self, size: int) -> bytes:
            raise RuntimeError("https://host/x?sig=hidden hung up")

        def close(self) -> None: ...

    rows = source(path=f"{url}/a.jsonl")
    find_files(rows, tmp_path)
    monkeypatch.setattr(MemoryFileSystem, "open", lambda *_, **__: Broken())
    with pytest.raises(InputError, match=r"memory://bucket/web/a.jsonl: cannot be read .*hung up"):
        texts(rows, tmp_path)


def test_the_hub_is_read_at_the_commit_that_its_branch_is_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from types import SimpleNamespace as Facts

    import huggingface_hub

    asked = []

    class Api:
        def __init__(self, endpoint: str) -> None: ...

        def repo_info(self, repo_id: str, **keys: Any) -> Any:
            asked.append((repo_id, keys))
            return Facts(sha="c0ffee")

    class System:
        endpoint = "https://hub"

        def resolve_path(self, path: str) -> Any:
            below = path.removeprefix("datasets/org/web@v1").lstrip("/")
            return Facts(repo_id="org/web", repo_type="dataset", revision="v1", path_in_repo=below)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    pinned = remote_files._pinned(System(), "datasets/org/web@v1/data/*.parquet")
    assert pinned == "datasets/org/web@c0ffee/data/*.parquet"
    assert asked == [("org/web", {"repo_type": "dataset", "revision": "v1"})]
