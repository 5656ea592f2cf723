"""A full disk: one line, nothing that looks whole, and it goes on when there is room.

On a tmpfs, so these need the right to mount; benchmarks/reliability/full_disks.py has whole runs.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataselect.errors import InputError, PassingError
from dataselect.report.output import write_out
from dataselect.store import Store
from dataselect.store.sealed import read_own

SPEC = {"n": 1}
LARGE = os.urandom(1 << 20)


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 kB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)


def build(folder: Path) -> None:
    (folder / "small").write_bytes(b"x")
    (folder / "large").write_bytes(LARGE)


def test_an_artifact_is_published_whole_or_not_at_all(disk: Path) -> None:
    store = Store(disk / "store")
    with pytest.raises(PassingError, match="store: no space left on its disk; make room and run"):
        store.get_or_build("tokens", SPEC, build)
    assert store.find("tokens", SPEC) is None
    assert not list((disk / "store" / "tmp").iterdir())
    make_room(disk)
    made = store.get_or_build("tokens", SPEC, build)
    assert (made.verified() / "large").read_bytes() == LARGE


def test_a_state_of_a_training_that_does_not_fit_leaves_the_one_before(disk: Path) -> None:
    import torch

    from dataselect.proxies.saved_state import read_state, settle, write_state

    write_state(disk, "a", {"w": torch.ones(10)}, {"step": 1})
    with pytest.raises(PassingError, match="no space left on its disk"):
        write_state(disk, "a", {"w": torch.ones(10**6)}, {"step": 2})
    assert not list(disk.glob("*.unfinished"))
    assert settle(disk) == 1
    assert read_state(disk)[0]["w"].tolist() == [1.0] * 10


def test_a_file_that_does_not_fit_leaves_the_one_before(disk: Path) -> None:
    path = disk / "transfer.json"
    write_out(path, "{}")
    with pytest.raises(PassingError, match=r"transfer\.json: no space left on its disk"):
        write_out(path, "x" * 10**6)
    assert path.read_text() == "{}"
    assert list(disk.iterdir()) == [path]


@pytest.mark.parametrize("name", ["artifacts", "tmp", "work", "claims", "owners", "ledger.jsonl"])
def test_something_else_where_the_store_needs_its_own_is_one_line(
    tmp_path: Path, name: str
) -> None:
    if name == "ledger.jsonl":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("not a folder")
    store = Store(tmp_path)
    with pytest.raises(InputError, match=r"cannot be written \(.*(ot a directory|exists|Is a dir)"):
        use(store)
    (tmp_path / name).rmdir() if name == "ledger.jsonl" else (tmp_path / name).unlink()
    use(store)
    assert store.find("tokens", SPEC) is not None


def use(store: Store) -> None:
    with store.claim("tokens", SPEC):
        store.workspace("tokens", SPEC)
        store.note("tokens", SPEC, {"name": "a", "status": "done"})
    store.get_or_build("tokens", SPEC, build)


def test_what_lies_in_place_of_our_record_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.json").mkdir()
    assert read_own(tmp_path / "work" / "a.json", tmp_path / "damaged") is None
    assert [each.name for each in (tmp_path / "damaged").iterdir()] == ["work-a.json.1"]
    assert "is a folder; moved to" in caplog.text
