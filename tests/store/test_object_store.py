"""An object store behind local folders: what is read is what was put there, or nothing is.

The objects lie in a folder (`file://`), so that tests can spoil them; benchmarks/store does the
same with a server that speaks S3.
"""

import json
import logging
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from dataselect.errors import IncompleteError, InputError
from dataselect.store import Store, in_use, open_store
from dataselect.store import objects as objects_module
from dataselect.store import sharing as sharing_module
from dataselect.store.objects import Objects, UnreachableError
from dataselect.store.opened import STORE_FOLDER_VARIABLE
from dataselect.store.sharing import Sharing

SPEC = {"tokens": 1000}
SMALL, LARGE = b'{"steps": 3}', bytes(2 << 20)


class Shaky(LocalFileSystem):
    """A file system whose server may be down, or silent."""

    protocol = "shaky"
    down = False
    silent: threading.Event | None = None
    asked = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return LocalFileSystem._strip_protocol(str(path).replace("shaky://", "file://"))

    def _answer(self) -> None:
        Shaky.asked += 1
        if Shaky.silent is not None:
            Shaky.silent.wait()
        if Shaky.down:
            raise ConnectionError("https://user:secret@host/x?sig=secret is down")

    def cat_file(self, *arguments: Any, **options: Any) -> Any:
        self._answer()
        return super().cat_file(*arguments, **options)

    def put_file(self, *arguments: Any, **options: Any) -> Any:
        self._answer()
        return super().put_file(*arguments, **options)

    def get_file(self, *arguments: Any, **options: Any) -> Any:
        self._answer()
        return super().get_file(*arguments, **options)


@pytest.fixture(name="shaky")
def _shaky(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    monkeypatch.setattr(Shaky, "down", False)
    monkeypatch.setattr(Shaky, "silent", None)
    return f"shaky://{bucket}"


@pytest.fixture(autouse=True)
def _little_is_fetched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing_module, "_WHOLE_BYTES", 1 << 20)


@pytest.fixture(name="bucket")
def _bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture(name="host")
def _host(tmp_path: Path, bucket: Path) -> Callable[..., Store]:
    """A store of a host with a folder of its own."""

    def host(name: str, url: str = f"file://{bucket}") -> Store:
        return Store(tmp_path / name, sharing=Sharing(tmp_path / name, url))

    return host


def build(store: Store, large: bytes = LARGE) -> list[str]:
    """The artifact of SPEC; the names of what was computed for it."""
    made = []

    def fill(folder: Path) -> None:
        made.append(str(folder))
        (folder / "facts.json").write_bytes(SMALL)
        (folder / "sub").mkdir()
        (folder / "sub/model.bin").write_bytes(large)

    store.get_or_build("proxy", SPEC, fill)
    return made


def objects(bucket: Path) -> list[Path]:
    return sorted(path for path in (bucket / "artifacts").rglob("*") if path.is_file())


def test_another_host_computes_nothing_and_fetches_large_files_when_they_are_used(
    host: Callable[..., Store],
) -> None:
    assert build(host("a"))
    other = host("b")
    assert not build(other)
    found = other.find("proxy", SPEC)
    assert found is not None
    assert found.json("facts.json") == {"steps": 3}
    assert list(other.root.rglob("model.bin")) == []
    assert found.file("sub/model.bin").read_bytes() == LARGE
    whole = other.find("proxy", SPEC)
    assert whole is not None
    assert whole.path == found.path == other.root / "artifacts/proxy" / found.key
    # Without the object store, the folder is a store as any other.
    assert Store(other.root).find("proxy", SPEC) is not None


def test_a_small_artifact_is_fetched_whole_at_once(host: Callable[..., Store]) -> None:
    build(host("a"), large=b"small")
    other = host("b")
    found = other.find("proxy", SPEC)
    assert found is not None
    assert found.elsewhere is None
    assert not list((other.root / "remote").rglob("facts.json"))


def spoilt(data: bytes, how: str, rng: np.random.Generator) -> bytes | None:
    """Content of an object after an accident; None: it is gone."""
    position = int(rng.integers(len(data)))
    changed = bytes([data[position] ^ int(rng.integers(1, 256))])
    return {
        "flipped": data[:position] + changed + data[position + 1 :],
        "truncated": data[:position],
        "empty": b"",
        "longer": data + b"x",
        "gone": None,
    }[how]


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "longer", "gone", "swapped"])
def test_whatever_is_spoilt_nothing_wrong_is_read_and_the_artifact_is_replaced(
    host: Callable[..., Store], bucket: Path, how: str
) -> None:
    rng = np.random.default_rng(0)
    large = rng.bytes(len(LARGE))
    build(host("a"), large)
    first = {path: path.read_bytes() for path in objects(bucket)}
    assert len(first) == 4
    for number, (path, data) in enumerate(first.items()):
        other = list(first.values())[number - 1]
        new = other if how == "swapped" else spoilt(data, how, rng)
        path.unlink()
        if new is not None:
            path.write_bytes(new)
        reader = host(f"{how}{number}")
        found = read(reader, large) or read(reader, large)
        assert found == large
        # Whoever comes next finds a good one.
        later = host(f"{how}{number}-later")
        assert not build(later, large)
        assert read(later, large) == large
        shutil.rmtree(bucket / "artifacts")
        for place, content in first.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def read(store: Store, large: bytes) -> bytes | None:
    """The artifact's large file, computed if need be; None if it must be asked for again."""
    build(store, large)
    found = store.find("proxy", SPEC)
    assert found is not None
    assert found.json("facts.json") == {"steps": 3}
    try:
        return found.file("sub/model.bin").read_bytes()
    except IncompleteError as error:
        return None if "run the same command again" in str(error) else b""


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/../b", "a\\b", "./a", "a//b"])
def test_a_manifest_cannot_name_files_outside_the_artifact(
    host: Callable[..., Store], bucket: Path, name: str
) -> None:
    build(host("a"), large=b"")
    (manifest,) = bucket.rglob("manifest.json")
    content = json.loads(manifest.read_bytes())
    content["files"][name] = content["files"]["facts.json"]
    manifest.write_text(json.dumps(content))
    assert host("b").find("proxy", SPEC) is None


KILLED = """
import os, signal, sys
from pathlib import Path
from dataselect.store import Store
from dataselect.store.objects import Objects
from dataselect.store.sharing import Sharing
Objects.create = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
root = Path(sys.argv[1])
store = Store(root, sharing=Sharing(root, sys.argv[2]))
store.get_or_build("proxy", {"tokens": 1000}, lambda f: (f / "facts.json").write_text("{}"))
"""


def test_a_kill_between_upload_and_manifest_shows_nothing_and_the_next_start_uploads(
    host: Callable[..., Store], bucket: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a"), f"file://{bucket}"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert {path.name for path in objects(bucket)} == {"artifact.json", "facts.json"}
    assert host("b").find("proxy", SPEC) is None
    with in_use(host("a")):
        pass
    assert host("c").find("proxy", SPEC) is not None


def test_without_network_the_run_goes_on_alone_says_so_once_and_uploads_later(
    host: Callable[..., Store], shaky: str, caplog: pytest.LogCaptureFixture
) -> None:
    Shaky.down = True
    store = host("a", shaky)
    with in_use(store):
        assert build(store)
        Shaky.asked = 0
        for number in range(100):
            assert store.find("proxy", {"other": number}) is None
    # One try at the end; nothing is asked for a while after a failure.
    assert Shaky.asked == 1
    first, last = [record.getMessage() for record in caplog.records]
    assert "goes on with the folder" in first
    assert "1 artifacts are not in" in last
    assert "secret" not in caplog.text
    Shaky.down = False
    assert host("b").find("proxy", SPEC) is None
    with in_use(host("a", shaky)):
        pass
    assert host("b2").find("proxy", SPEC) is not None


def test_large_files_that_cannot_be_fetched_end_the_job_with_one_line(
    host: Callable[..., Store], shaky: str
) -> None:
    build(host("a"))
    other = host("b", shaky)
    found = other.find("proxy", SPEC)
    assert found is not None
    Shaky.down = True
    with pytest.raises(IncompleteError, match=r"cannot be fetched now .* run the same command"):
        found.file("sub/model.bin")
    Shaky.down = False
    assert host("b", shaky).find("proxy", SPEC) is not None


def test_a_server_that_is_silent_is_given_up(
    bucket: Path, shaky: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects_module, "_ANSWER_SECONDS", 0.2)
    (bucket / "x").write_bytes(b"late")
    Shaky.silent = threading.Event()
    store = Objects(shaky)
    with pytest.raises(UnreachableError, match="no answer"):
        store.get("x", tmp_path / "x", 0)
    # An answer that comes late is not mistaken for the file.
    Shaky.silent.set()
    for thread in threading.enumerate():
        if thread.name == "object store":
            thread.join()
    assert not (tmp_path / "x").exists()


def test_of_two_hosts_that_make_one_artifact_the_first_upload_stays_and_both_have_it(
    host: Callable[..., Store],
) -> None:
    first, second = host("a"), host("b")
    with second.publish("proxy", SPEC) as folder:
        with first.publish("proxy", SPEC) as other:
            (other / "facts.json").write_text('"first"')
        (folder / "facts.json").write_text('"second"')
    for store in (first, second, host("c")):
        found = store.find("proxy", SPEC)
        assert found is not None
        assert found.json("facts.json") == "first"


def test_what_was_computed_before_is_shared_when_it_is_used(
    host: Callable[..., Store], tmp_path: Path
) -> None:
    build(Store(tmp_path / "a"))
    store = host("a")
    with in_use(store):
        assert not build(store)
    assert host("b").find("proxy", SPEC) is not None


def test_workers_share_too_and_leave_the_notes_to_their_driver(
    host: Callable[..., Store], shaky: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = pickle.loads(pickle.dumps(host("a", shaky)))
    Shaky.down = True
    build(sent)
    assert caplog.record_tuples == [] or max(r.levelno for r in caplog.records) < logging.WARNING
    Shaky.down = False
    with in_use(host("a", shaky)):
        pass
    assert host("b").find("proxy", SPEC) is not None


def test_what_was_absent_is_looked_for_again_before_it_is_made(
    host: Callable[..., Store],
) -> None:
    other = host("b")
    assert other.find("proxy", SPEC) is None
    build(host("a"))
    assert other.find("proxy", SPEC) is None, "remembered for a while"
    assert not build(other)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://KEY:hidden@bucket/x", "has a user or password"),
        ("s3://hidden@bucket/x", "has a user or password"),
        ("gs://bucket/x?token=hidden", "has a query"),
        ("az://box/x#hidden", "has a query"),
        ("s3:///x", "names no bucket"),
        ("https://host/x", "cannot be a store"),
        ("nonsense://bucket/x", "no protocol of fsspec"),
        ("simplecache::s3://bucket", "not"),
    ],
)
def test_a_url_that_cannot_be_a_store_is_refused_without_its_secrets(
    tmp_path: Path, url: str, problem: str
) -> None:
    if not url.startswith("simplecache"):
        with pytest.raises(InputError, match=problem) as caught:
            open_store(url)
        assert "hidden" not in str(caught.value)


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for protocol, extra in (("s3", "s3"), ("gs", "gcs"), ("az", "azure")):
        for library in ("s3fs", "gcsfs", "adlfs"):
            monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(InputError, match=rf"pip install 'dataselect\[{extra}\]'"):
            open_store(f"{protocol}://bucket/x")


def test_a_newer_layout_is_refused(host: Callable[..., Store], bucket: Path) -> None:
    (bucket / "dataselect-store.json").write_text('{"format": 2}')
    with pytest.raises(InputError, match="not of format 1"), in_use(host("a")):
        pass


def test_the_local_folder_is_the_usual_one_or_that_of_the_environment(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store(f"file://{bucket}").root == tmp_path / ".dataselect"
    monkeypatch.setenv(STORE_FOLDER_VARIABLE, str(tmp_path / "fast"))
    assert open_store(f"file://{bucket}").root == tmp_path / "fast"
    assert open_store("plain").root == tmp_path / "plain"
