"""Files of given checkpoints are gigabytes: a second command does not read what did not change."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dataselect.config.checkpoints import Checkpoints
from dataselect.scoring.series import resolve
from dataselect.store import Store, known_hashes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "step1"
    made.mkdir()
    for name in ("config.json", "model.safetensors"):
        (made / name).write_bytes(name.encode())
        os.utime(made / name, (1e9, 1e9))
    return made


def test_a_series_in_a_store_is_hashed_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_hashes, "SETTLED_SECONDS", 0.0)
    read = []
    plain = known_hashes.sha256_of
    monkeypatch.setattr(known_hashes, "sha256_of", lambda path: read.append(path) or plain(path))

    def identity() -> object:
        (member,) = resolve(Checkpoints(model=str(folder)), tmp_path, "proxies")
        return replace(member, store=Store(tmp_path / "store")).checkpoint.identity

    first, again = identity(), identity()
    assert first == again
    assert len(read) == 2
    (folder / "model.safetensors").write_bytes(b"others")
    assert identity() != first
    assert len(read) == 3
