"""A hash is computed once for as long as the file system says that the file is as it was."""

import os
import shutil
import time
from pathlib import Path

import pytest

from dataselect.store import Store, files, known_hashes


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read, in a time when no file is too fresh."""
    names: list[str] = []

    def sha256_of(path: Path) -> str:
        names.append(path.name)
        return files.sha256_of(path)

    monkeypatch.setattr(known_hashes, "sha256_of", sha256_of)
    monkeypatch.setattr(known_hashes, "SETTLED_SECONDS", -60)
    return names


def hash_in(store: Path, path: Path) -> str:
    return Store(store).hashes([path])[path]


def test_an_unchanged_file_is_read_once(tmp_path: Path, weights: Path, read: list[str]) -> None:
    store = tmp_path / "store"
    for _ in range(3):
        assert hash_in(store, weights) == files.sha256_of(weights)
    assert read == [weights.name]
    assert hash_in(tmp_path / "another", weights) == files.sha256_of(weights)
    assert len(read) == 2


def test_a_file_is_known_by_any_of_its_paths(
    tmp_path: Path, weights: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_in(tmp_path / "store", weights)
    (tmp_path / "link").symlink_to(weights)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "link", Path("model.safetensors")):
        assert hash_in(tmp_path / "store", path) == files.sha256_of(weights)
    assert len(read) == 1


def test_a_change_is_seen_though_size_and_modification_time_are_as_before(
    tmp_path: Path, weights: Path, read: list[str]
) -> None:
    before = hash_in(tmp_path / "store", weights)
    stat = weights.stat()
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert weights.stat().st_mtime_ns == stat.st_mtime_ns
    after = hash_in(tmp_path / "store", weights)
    assert after == files.sha256_of(weights) != before
    # And one that was moved in its place, with its own times.
    other = tmp_path / "other"
    other.write_bytes(b"another")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    shutil.move(other, weights)
    assert hash_in(tmp_path / "store", weights) == files.sha256_of(weights) != after
    assert len(read) == 3


def test_a_file_that_was_just_written_is_not_remembered(
    tmp_path: Path, weights: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_hashes, "SETTLED_SECONDS", 3.0)
    assert time.time() - weights.stat().st_mtime < 3
    for _ in range(2):
        hash_in(tmp_path / "store", weights)
    assert len(read) == 2


def test_a_file_that_is_written_while_it_is_read_is_not_remembered(
    tmp_path: Path, weights: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = files.sha256_of

    def written_meanwhile(path: Path) -> str:
        found = counted(path)
        path.write_bytes(b"more")
        return found

    monkeypatch.setattr(known_hashes, "sha256_of", written_meanwhile)
    hash_in(tmp_path / "store", weights)
    monkeypatch.setattr(known_hashes, "sha256_of", counted)
    assert hash_in(tmp_path / "store", weights) == files.sha256_of(weights)


@pytest.mark.parametrize("damage", [b'{"path": "x", "sta', b"[]\n3\n\xff\n", b""])
def test_a_damaged_memo_costs_time_only(
    tmp_path: Path, weights: Path, read: list[str], damage: bytes
) -> None:
    store = tmp_path / "store"
    hash_in(store, weights)
    memo = store / "hashes.jsonl"
    memo.write_bytes(damage)
    for _ in range(2):
        assert hash_in(store, weights) == files.sha256_of(weights)
    memo.unlink()
    memo.mkdir()
    assert hash_in(store, weights) == files.sha256_of(weights)
