"""The store: keys, publishing under real kills, damage, workspaces, the ledger, the lock."""

import errno
import fcntl
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataselect.errors import IncompleteError, InputError, LockedError, PassingError
from dataselect.store import Store, canonical_json, content_key, lock, write_atomic

SPEC = {"tokens": 1000, "seed": 0, "rate": 3e-3}
LARGE = bytes(2 << 20)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
specs = st.dictionaries(st.text(), values, max_size=4)
# How fast examples are drawn says nothing here, and machines that test are busy.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def reversed_order(value: Any) -> Any:
    """The same content with every mapping's keys inserted in the opposite order."""
    if isinstance(value, dict):
        return {key: reversed_order(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [reversed_order(element) for element in value]
    return value


def exact(value: Any) -> Any:
    """Content with types told apart, since Python has 1 == 1.0 == True and 0.0 == -0.0."""
    if isinstance(value, dict):
        return {key: exact(element) for key, element in value.items()}
    if isinstance(value, list):
        return [exact(element) for element in value]
    return (type(value).__name__, repr(value))


def publish(store: Store, spec: dict[str, Any] = SPEC, **files: bytes) -> None:
    with store.publish("tokens", spec) as folder:
        for name, data in (files or {"a": b"text"}).items():
            (folder / name).write_bytes(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said a first line; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@unhurried
@given(specs)
def test_the_key_does_not_depend_on_the_order_of_mappings(spec: dict[str, Any]) -> None:
    assert content_key("tokens", reversed_order(spec)) == content_key("tokens", spec)


@unhurried
@given(specs, specs)
def test_keys_agree_exactly_when_the_content_does(a: dict[str, Any], b: dict[str, Any]) -> None:
    same = exact(a) == exact(b)
    assert (content_key("tokens", a) == content_key("tokens", b)) is same


@unhurried
@given(values, st.data())
def test_one_changed_value_changes_the_key(value: Any, data: st.DataObject) -> None:
    other = data.draw(values.filter(lambda drawn: exact(drawn) != exact(value)))
    assert content_key("k", {"x": [value]}) != content_key("k", {"x": [other]})


@unhurried
@given(values)
def test_canonical_json_reads_back_as_the_same_content(value: Any) -> None:
    assert exact(json.loads(canonical_json(value))) == exact(value)


def test_canonical_json_is_compact_sorted_utf8() -> None:
    assert canonical_json({"b": [1, 1.0, None], "a": "é"}) == '{"a":"é","b":[1,1.0,null]}'.encode()
    assert canonical_json((1, 2)) == b"[1,2]"


def test_the_key_of_a_known_spec_is_the_same_on_every_machine() -> None:
    assert content_key("tokens", {"b": 1, "a": [0.1, "ü"]}) == "1fd6ba0785a57379f93b70850f6de03a"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "\ud800"])
def test_numbers_and_text_that_json_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (two kinds of it)
        canonical_json({"x": [value]})


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1}}, b"bytes", Path("x"), object()])
def test_types_that_json_does_not_have_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"string|cannot hold"):
        canonical_json([value])


@pytest.mark.parametrize("kind", ["", "../x", "A", "a/b", ".hidden"])
def test_a_kind_that_is_no_folder_name_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="kind"):
        content_key(kind, {})


def test_a_published_artifact_is_found_by_its_spec_in_any_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("tokens", SPEC) is None
    with store.publish("tokens", SPEC) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.json").write_text('{"n": 3}')
        (folder / "large").write_bytes(LARGE)
    artifact = store.find("tokens", reversed_order(SPEC))
    assert artifact is not None
    assert artifact.spec == SPEC
    assert set(artifact.files) == {"sub/a.json", "large"}
    assert artifact.json("sub/a.json") == {"n": 3}
    assert artifact.file("large").read_bytes() == LARGE
    assert artifact.verified() == tmp_path / "artifacts" / "tokens" / content_key("tokens", SPEC)
    assert store.find("tokens", {**SPEC, "seed": 1}) is None
    with pytest.raises(KeyError):
        artifact.file("other")


def test_finding_in_a_store_that_does_not_exist_makes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.find("tokens", SPEC) is None
    assert store.ledger() == []
    store.clean()
    assert names(tmp_path) == []


def test_nothing_is_visible_before_the_end_or_after_an_exception(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.publish("tokens", SPEC) as folder:  # noqa: PT012
        (folder / "a").write_bytes(b"half")
        assert store.find("tokens", SPEC) is None
        raise KeyboardInterrupt
    assert store.find("tokens", SPEC) is None
    assert names(tmp_path / "tmp") == []


def test_what_is_published_first_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.publish("tokens", SPEC) as slow:
        (slow / "a").write_bytes(b"slow")
        publish(store, a=b"fast")
    artifact = store.find("tokens", SPEC)
    assert artifact is not None
    assert artifact.file("a").read_bytes() == b"fast"
    assert names(tmp_path / "tmp") == []


def test_everything_is_on_disk_before_the_rename_makes_it_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def recording_fsync(descriptor: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def recording_rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "rename", recording_rename)
    with Store(tmp_path).publish("tokens", SPEC) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_bytes(b"text")
    seen = steps.index("rename")
    assert {"a", "sub", "artifact.json", folder.name} == set(steps[:seen])
    assert steps.index("a") < steps.index("sub") < steps.index(folder.name)
    assert steps[seen + 1 :] == ["tokens", "artifacts", tmp_path.name]


def test_a_failing_disk_leaves_nothing_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(PassingError, match="no space left on its disk; make room and run"):
            publish(store)
    assert store.find("tokens", SPEC) is None
    assert names(tmp_path / "tmp") == []


def test_links_are_refused_because_their_target_can_change(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match="link"), store.publish("tokens", SPEC) as folder:
        (folder / "a").symlink_to(tmp_path)
    assert store.find("tokens", SPEC) is None


PUBLISH_AND_WAIT = """
import sys, time
from pathlib import Path
from dataselect.store import Store
with Store(Path(sys.argv[1])).publish("tokens", {"n": 1}) as folder:
    (folder / "a").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""

PUBLISH_FOR_EVER = """
import itertools, sys
from pathlib import Path
from dataselect.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for n in itertools.count():
    with store.publish("tokens", {"n": n}) as folder:
        for name in "abc":
            (folder / name).write_bytes(bytes([n % 256]) * 100_000)
"""


def test_kill_9_while_publishing_leaves_nothing_visible_and_clean_removes_the_rest(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    with child(PUBLISH_AND_WAIT, tmp_path) as writer:
        store.clean()
        assert len(names(tmp_path / "tmp")) == 1, "a living writer's folder was removed"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert store.find("tokens", {"n": 1}) is None
    assert not (tmp_path / "artifacts").exists()
    store.clean()
    assert names(tmp_path / "tmp") == []
    publish(store, {"n": 1})
    assert store.find("tokens", {"n": 1}) is not None


def test_after_kill_9_at_any_moment_every_visible_artifact_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kind = tmp_path / "artifacts" / "tokens"
    for delay in (0.0, 0.013, 0.05, 0.11):
        before = len(names(kind))
        with child(PUBLISH_FOR_EVER, tmp_path) as writer:
            while len(names(kind)) == before:
                time.sleep(0.001)
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    for n in range(len(names(kind))):
        artifact = store.find("tokens", {"n": n})
        assert artifact is not None
        artifact.verified()
        assert set(artifact.files) == {"a", "b", "c"}
    assert not (tmp_path / "damaged").exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "record"])
def test_a_damaged_artifact_is_moved_aside_and_can_be_made_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    publish(store)
    path = tmp_path / "artifacts" / "tokens" / content_key("tokens", SPEC)
    match damage:
        case "flip":
            (path / "a").write_bytes(b"tezt")
        case "truncate":
            (path / "a").write_bytes(b"tex")
        case "remove":
            (path / "a").unlink()
        case "record":
            (path / "artifact.json").write_text('{"spec": ')
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        assert store.find("tokens", SPEC) is None
    assert "computed again" in caplog.text
    assert names(tmp_path / "damaged") == [f"tokens-{path.name}.1"]
    publish(store)
    assert store.find("tokens", SPEC) is not None


def test_a_flipped_bit_in_a_large_file_is_met_at_its_first_use(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, large=LARGE)
    artifact = store.find("tokens", SPEC)
    assert artifact is not None
    (artifact.path / "large").write_bytes(LARGE[:-1] + b"\x01")
    with pytest.raises(IncompleteError, match=r"large .*SHA-256.* run the same command again"):
        artifact.file("large")
    assert store.find("tokens", SPEC) is None
    assert len(names(tmp_path / "damaged")) == 1


def test_a_damaged_artifact_does_not_stop_its_own_replacement(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store)
    path = tmp_path / "artifacts" / "tokens" / content_key("tokens", SPEC)
    (path / "a").unlink()
    publish(store, a=b"anew")
    artifact = store.find("tokens", SPEC)
    assert artifact is not None
    assert artifact.file("a").read_bytes() == b"anew"


def test_a_workspace_outlives_failures_and_goes_when_published(tmp_path: Path) -> None:
    store = Store(tmp_path)
    state = store.workspace("proxy", SPEC) / "state"
    state.write_bytes(b"step 10")
    with pytest.raises(RuntimeError), store.publish("proxy", SPEC):
        raise RuntimeError
    assert (store.workspace("proxy", SPEC) / "state").read_bytes() == b"step 10"
    with store.publish("proxy", SPEC) as folder:
        state.rename(folder / "state")
    artifact = store.find("proxy", SPEC)
    assert artifact is not None
    assert artifact.file("state").read_bytes() == b"step 10"
    assert names(tmp_path / "work") == []


def test_clean_removes_the_workspace_of_published_work_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store)
    store.workspace("tokens", SPEC)
    unfinished = store.workspace("tokens", {"n": 2})
    store.clean()
    assert names(tmp_path / "work") == [unfinished.name]


def test_the_ledger_keeps_what_was_spent_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.note("proxy", SPEC, {"name": "a", "status": "failed", "flops": 1e15})
    store.note("proxy", SPEC, {"name": "a", "status": "done", "flops": 2e15})
    first, second = store.ledger()
    assert (first["status"], second["flops"]) == ("failed", 2e15)
    assert first["key"] == content_key("proxy", SPEC)
    assert first["kind"] == "proxy"
    assert "T" in first["time"]


def test_a_torn_last_line_of_the_ledger_costs_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    store.note("proxy", SPEC, {"name": "a"})
    store.note("proxy", SPEC, {"name": "b"})
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert [record["name"] for record in store.ledger()] == ["a"]
    store.note("proxy", SPEC, {"name": "c"})
    assert [record["name"] for record in store.ledger()] == ["a", "c"]
    assert "ledger.jsonl:2" in caplog.text


def test_where_a_file_system_has_no_locks_stores_are_shared_and_costs_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    store = Store(tmp_path)
    store.note("proxy", SPEC, {"name": "a"})
    monkeypatch.setattr(fcntl, "flock", none)
    with lock(tmp_path, "the store", shared=True):
        publish(store)
        store.note("proxy", SPEC, {"name": "b"})
        store.note("proxy", SPEC, {"name": "c"})
    assert [record["name"] for record in store.ledger()] == ["a", "b", "c"]
    with pytest.raises(InputError, match="cannot lock the report"), lock(tmp_path, "the report"):
        pass


HOLD_LOCK = """
import sys, time
from pathlib import Path
from dataselect.store import lock
with lock(Path(sys.argv[1]), "the store"):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_lock_and_gets_it_after_kill_9(
    tmp_path: Path,
) -> None:
    with child(HOLD_LOCK, tmp_path) as holder:
        with (
            pytest.raises(LockedError, match=rf"process {holder.pid} on .* --store") as caught,
            lock(tmp_path, "the store"),
        ):
            pass
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lock(tmp_path, "the store"):
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_lock_is_free_after_its_block_and_not_inside_it(tmp_path: Path) -> None:
    with (
        lock(tmp_path, "the store"),
        pytest.raises(LockedError, match=str(os.getpid())),
        lock(tmp_path, "the store"),
    ):
        pass
    with pytest.raises(RuntimeError, match="mine"), lock(tmp_path, "the store"):
        raise RuntimeError("mine")
    with lock(tmp_path, "the store"):
        assert (tmp_path / ".lock").exists()


def test_a_lock_on_a_file_is_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=r"the store .*; choose another"), lock(file, "the store"):
        pass


def test_writing_replaces_a_file_whole_or_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["report.json"]


def test_the_store_and_compute_import_nothing_heavy() -> None:
    code = (
        "import sys, dataselect.store, dataselect.compute; "
        "print({'torch', 'transformers', 'pandas', 'numpy', 'scipy'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


def test_what_is_missing_is_built_once_and_then_found(tmp_path: Path) -> None:
    store, built = Store(tmp_path), []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "value.json").write_text("[1]")

    first = store.get_or_build("thing", {"a": 1}, build)
    assert first.json("value.json") == [1]
    assert store.get_or_build("thing", {"a": 1}, build).path == first.path
    assert len(built) == 1


def test_a_build_that_fails_leaves_nothing_and_its_error_is_raised(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise InputError("here", "it is wrong", "write another")

    with pytest.raises(InputError, match="it is wrong"):
        store.get_or_build("thing", {"a": 1}, build)
    assert store.find("thing", {"a": 1}) is None
    assert list((tmp_path / "tmp").iterdir()) == []


def test_clean_leaves_folders_alone_that_no_store_has_named(tmp_path: Path) -> None:
    # As where a store is put into a folder of the user's that has a `tmp` and a `work`.
    store = Store(tmp_path)
    with store.publish("thing", {"a": 1}) as folder:
        (folder / "value").write_text("1")
    key = content_key("thing", {"a": 1})
    mine = [tmp_path / name for name in ("tmp/my_results", "tmp/thing-1", "work/thing", "work/-x")]
    left = [tmp_path / "tmp" / f"thing-{key}-0123abcd", tmp_path / "work" / f"thing-{key}"]
    for folder in (*mine, *left):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    store.clean()
    assert all((folder / "file").exists() for folder in mine)
    assert not any(folder.exists() for folder in left)
