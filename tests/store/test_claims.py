"""Claims on keys: one process makes an artifact, the others wait, take over, and never collide.

Processes are real, with real signals; leases are short.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from dataselect.errors import InputError
from dataselect.store import Artifact, Claim, Lease, LostClaimError, Store, Work, content_key
from dataselect.store.owner import _Heart
from dataselect.store.process import Process, _machine, this_process

SPEC = {"n": 1}
SHORT = Lease(heartbeat_seconds=0.1, expiry_seconds=0.6, poll_seconds=0.05)

BUILD = """
import sys, time
from pathlib import Path
from dataselect.store import Lease, Store, Work
root, name = Path(sys.argv[1]), sys.argv[2]
store = Store(root, lambda work, holder: print("waits", work, holder, flush=True),
              Lease(0.1, 0.6, 0.05))
def make(claim):
    folder = store.workspace("thing", {"n": 1})
    found = sorted(p.name for p in folder.iterdir())
    (folder / f"by {name}").write_text(name)
    (folder / "state").write_text(name)
    print("builds", folder.name, *found, flush=True)
    while not (root / f"go {name}").exists():
        time.sleep(0.02)
        (folder / "state").write_text(name)
    with store.publish("thing", {"n": 1}) as out:
        (out / "maker").write_text(name)
artifact = store.get_or_claim("thing", {"n": 1}, make, Work(name, saved="state"))
print("has", artifact.file("maker").read_text(), flush=True)
"""


class Builder:
    """A process that builds `SPEC` in a store until it may end, and what it says."""

    def __init__(self, root: Path, name: str) -> None:
        self._go = root / f"go {name}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(root), name],
            stdout=subprocess.PIPE,
            text=True,
        )

    def go(self) -> None:
        """Let it end its work."""
        self._go.parent.mkdir(exist_ok=True)
        self._go.touch()

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.wait(20)
        return self.process.returncode


@contextmanager
def builder(root: Path, name: str) -> Iterator[Builder]:
    made = Builder(root, name)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        assert made.process.stdout is not None
        made.process.stdout.close()


def maker(store: Store) -> str:
    found = store.find("thing", SPEC)
    assert found is not None
    return found.file("maker").read_text()


def left(root: Path) -> dict[str, list[str]]:
    """What is left of claims, owners, unfinished and unpublished work."""
    folders = ("claims", "owners", "work", "tmp")
    names = {name: sorted(p.name for p in (root / name).glob("*")) for name in folders}
    return {name: found for name, found in names.items() if found}


def test_of_two_processes_at_one_key_one_builds_and_the_other_waits_and_reads(
    tmp_path: Path,
) -> None:
    with builder(tmp_path, "a") as first:
        assert first.says().startswith("builds")
        with builder(tmp_path, "b") as second:
            said = second.says()
            assert said.startswith(f"waits b process {first.process.pid} on ")
            assert said.endswith("(a)")
            first.go()
            assert (first.says(), second.says()) == ("has a", "has a")
            assert (first.end(), second.end()) == (0, 0)
    assert left(tmp_path) == {}
    assert Store(tmp_path).ledger() == [], "waiting cost something"


def test_a_killed_owner_is_taken_over_at_once_and_its_work_goes_on(tmp_path: Path) -> None:
    with builder(tmp_path, "a") as first:
        folder = first.says().split()[1]
        first.signal(signal.SIGKILL)
        first.process.wait()
        with builder(tmp_path, "b") as second:
            # At once, and in the same folder: a command finds its output where it left it.
            assert second.says() == f"builds {folder} by a state"
            second.go()
            assert second.says() == "has b"
    assert left(tmp_path) == {}
    (lost,) = Store(tmp_path).ledger()
    assert (lost["name"], lost["status"], lost["attempts"]) == ("a", "failed", 1)
    assert lost["lost"].startswith(f"process {first.process.pid} on ")
    # It saved all the time, and all that came after the last state is lost.
    assert 0 <= lost["wall_seconds"] < 5


def test_a_stopped_owner_that_wakes_after_it_was_taken_over_publishes_nothing(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    with builder(tmp_path, "a") as first:
        assert first.says().split()[1].count(".") == 0
        first.signal(signal.SIGSTOP)
        with builder(tmp_path, "b") as second:
            assert second.says().startswith("waits b")
            builds, folder, *inherited = second.says().split()
            # A folder of its own, with a copy of what the other had saved.
            assert (builds, folder[-2:], inherited) == ("builds", ".2", ["by", "a", "state"])
            first.signal(signal.SIGCONT)
            # It notices, waits for the one who took over, and takes what that one made.
            said = first.says()
            assert said.startswith(f"waits a process {second.process.pid} on ")
            first.go()
            second.go()
            assert (first.says(), second.says()) == ("has b", "has b")
            assert (first.end(), second.end()) == (0, 0)
    assert maker(store) == "b"
    assert left(tmp_path) == {}
    assert [record["name"] for record in store.ledger()] == ["a"]


@pytest.mark.parametrize("moment", ["before", "filled", "sealed", "checked"])
def test_whoever_lost_its_claim_cannot_publish_at_any_moment(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process takes over while this one is at a moment of publishing, and is not done."""
    store = Store(tmp_path, lease=SHORT)
    taken: list[subprocess.Popen[str]] = []

    def take_over() -> None:
        # As seen by another machine that has heard nothing of this process for long.
        (owner,) = {path.name for path in (tmp_path / "owners").iterdir()}
        script = (
            "import sys, time; from pathlib import Path;"
            "from dataselect.store import Store, Claim; import dataselect.store.process as p;"
            "p.Process.seen_from_here = lambda self: 'elsewhere';"
            "store = Store(Path(sys.argv[1]));"
            "context = store.claim('thing', {'n': 1}); claim = context.__enter__();"
            "assert isinstance(claim, Claim); print('took', flush=True); time.sleep(60)"
        )
        os.utime(tmp_path / "owners" / owner, (1, 1))
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        taken.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "took\n"

    def then_take_over(name: str) -> None:
        target = f"dataselect.store.store.{name}"
        module = sys.modules["dataselect.store.store"]
        original = getattr(module, name)

        def wrapped(*arguments: Any) -> Any:
            result = original(*arguments)
            take_over()
            return result

        monkeypatch.setattr(target, wrapped)

    # No sign of life in between: this process is as good as stopped. A heart of its own, since that
    # of an earlier test may beat already.
    monkeypatch.setattr("dataselect.store.owner._Heart._beat", lambda self: None)
    monkeypatch.setattr("dataselect.store.owner._heart", _Heart())
    try:
        with store.claim("thing", SPEC) as claim:
            assert isinstance(claim, Claim)
            if moment == "before":
                take_over()
            if moment in ("sealed", "checked"):
                then_take_over({"sealed": "seal", "checked": "_require"}[moment])
            with (  # noqa: PT012
                pytest.raises(LostClaimError, match="taken it over"),
                store.publish("thing", SPEC) as folder,
            ):
                (folder / "maker").write_text("the one who lost")
                if moment == "filled":
                    take_over()
        assert store.find("thing", SPEC) is None
        holder = store._claims.holder(f"thing-{content_key('thing', SPEC)}")
        assert holder is not None, "the one who lost released the other's claim"
        assert holder.process is not None
        assert holder.process.pid == taken[0].pid
    finally:
        for process in taken:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_without_waiting_a_key_of_another_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path, lease=SHORT)
    with builder(tmp_path, "a") as other:
        assert other.says().startswith("builds")
        with store.claim("thing", SPEC, wait=False) as answer:
            assert answer is None
        with store.claim("thing", {"n": 2}, wait=False) as answer:
            assert isinstance(answer, Claim)


def test_a_thread_that_has_a_claim_has_it_again_and_another_thread_waits(tmp_path: Path) -> None:
    store, order = Store(tmp_path, lease=SHORT), list[str]()

    def other() -> None:
        with store.claim("thing", SPEC) as claim:
            assert isinstance(claim, Claim)
            order.append("other")

    thread = threading.Thread(target=other)
    with store.claim("thing", SPEC) as outer:
        thread.start()
        with store.claim("thing", SPEC) as inner:
            assert inner is outer
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "other"]
    assert left(tmp_path) == {}


def test_a_build_that_fails_frees_its_key_and_keeps_its_workspace(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(claim: Claim) -> NoReturn:
        (store.workspace("thing", SPEC) / "state").write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.get_or_claim("thing", SPEC, fail)
    assert set(left(tmp_path)) == {"work"}
    with store.claim("thing", SPEC) as claim:
        assert isinstance(claim, Claim)
        assert (store.workspace("thing", SPEC) / "state").read_text() == "half"


def test_a_takeover_that_fails_frees_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    store = Store(tmp_path, lease=SHORT)
    with builder(tmp_path, "a") as dead:
        assert dead.says().startswith("builds")
        dead.signal(signal.SIGKILL)
        dead.process.wait()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "note", full)
        with pytest.raises(OSError, match="No space"), store.claim("thing", SPEC):
            pass
    with store.claim("thing", SPEC, wait=False) as claim:
        assert isinstance(claim, Claim)
        assert (store.workspace("thing", SPEC) / "by a").exists()


def test_what_was_published_while_this_one_waited_for_the_claim_is_not_made_again(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    with store.publish("thing", SPEC) as folder:
        (folder / "maker").write_text("a")
    with store.claim("thing", SPEC) as found:
        assert isinstance(found, Artifact)
    assert left(tmp_path) == {}


@pytest.mark.parametrize("call", ["claim", "publish", "clean"])
def test_a_store_that_cannot_be_written_is_one_line(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*arguments: Any, **options: Any) -> NoReturn:
        raise OSError(30, "Read-only file system")

    store = Store(tmp_path)
    monkeypatch.setattr(Path, "mkdir", read_only)
    calls = {
        "clean": store.clean,
        "claim": store.claim("thing", SPEC).__enter__,
        "publish": store.publish("thing", SPEC).__enter__,
    }
    with pytest.raises(InputError, match=r"the store cannot be written .*--store") as caught:
        calls[call]()
    assert "\n" not in str(caught.value)


def test_what_is_in_a_store_that_cannot_be_written_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*arguments: Any, **options: Any) -> NoReturn:
        raise OSError(30, "Read-only file system")

    store = Store(tmp_path)
    with store.publish("thing", SPEC) as folder:
        (folder / "maker").write_text("a")
    monkeypatch.setattr(Path, "mkdir", read_only)
    monkeypatch.setattr(os, "rename", read_only)

    def build(folder: Path) -> NoReturn:
        raise AssertionError("it is there")

    assert store.get_or_build("thing", SPEC, build).file("maker").read_text() == "a"


def test_clean_keeps_what_the_living_have_and_removes_what_the_dead_left(tmp_path: Path) -> None:
    store = Store(tmp_path, lease=SHORT)
    with builder(tmp_path, "a") as alive:
        assert alive.says().startswith("builds")
        before = left(tmp_path)
        assert set(before) == {"claims", "owners", "work"}
        store.clean()
        assert left(tmp_path) == before
        alive.signal(signal.SIGKILL)
        alive.process.wait()
    store.clean()
    # The claim stays until somebody takes over, who counts the attempt.
    assert left(tmp_path) == before
    with store.publish("thing", SPEC) as folder:
        (folder / "maker").write_text("b")
    store.clean()
    assert left(tmp_path) == {}


def test_a_claim_of_a_process_that_has_ended_can_be_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path, lease=SHORT)
    with builder(tmp_path, "a") as other:
        assert other.says().startswith("builds")
        store.forget_claim("thing", SPEC)
        assert "claims" in left(tmp_path), "it lives"
        other.signal(signal.SIGKILL)
        other.process.wait()
    store.forget_claim("thing", SPEC)
    assert "claims" not in left(tmp_path)
    with store.claim("thing", SPEC) as claim:
        assert isinstance(claim, Claim)
        assert claim.lost is None
    assert store.ledger() == []


def test_a_claim_that_cannot_be_read_counts_as_its_owner_does(tmp_path: Path) -> None:
    store = Store(tmp_path, lease=SHORT)
    slot = tmp_path / "claims" / f"thing-{content_key('thing', SPEC)}"
    slot.mkdir(parents=True)
    (slot / "0123456789abcdef.1").write_bytes(b"torn")
    with store.claim("thing", SPEC) as claim:
        assert isinstance(claim, Claim)
    assert "claims" not in left(tmp_path)


@contextmanager
def holding(script: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `script` with the store's folder, from when it says that it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_a_stop_of_the_process_s_heartbeat_by_a_native_call_is_no_death(tmp_path: Path) -> None:
    # The kernel says that it runs, so silence alone is not enough.
    store = Store(tmp_path, lease=SHORT)
    hold = (
        "import sys, time, threading; from pathlib import Path; import dataselect.store.owner as o;"
        "from dataselect.store import Store, Lease;"
        "o._Heart._beat = lambda self: None;"
        "c = Store(Path(sys.argv[1]), None, Lease(.1, .3, .1)).claim('thing', {'n': 1});"
        "c.__enter__(); print('ready', flush=True); time.sleep(60)"
    )
    with holding(hold, tmp_path) as process:
        time.sleep(1)
        with store.claim("thing", SPEC, wait=False) as answer:
            assert answer is None
        process.kill()


def test_processes_are_told_apart_by_boot_namespace_and_start() -> None:
    me = this_process()
    assert me.seen_from_here() == "running"
    assert Process.read(json.loads(json.dumps(me.record()))) == me
    other = {"boot": "another", "namespace": "pid:[1]", "started": "1"}
    seen = {
        name: Process.read({**me.record(), name: value}).seen_from_here()
        for name, value in other.items()
    }
    assert seen == {"boot": "elsewhere", "namespace": "elsewhere", "started": "gone"}
    with subprocess.Popen(["sleep", "60"]) as child:
        there = Process.read({**me.record(), "pid": child.pid, "started": ""})
        assert there.seen_from_here() == "elsewhere", "its start is not known"
        child.kill()
    assert there.seen_from_here() == "gone"


def test_where_the_kernel_tells_nothing_of_processes_only_their_end_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dataselect.store.process._PROC", Path("/nowhere"))
    _machine.cache_clear()
    try:
        me = this_process()
        assert me.seen_from_here() == "elsewhere"
        with subprocess.Popen(["true"]) as child:
            child.wait()
        there = Process.read({**me.record(), "pid": child.pid})
        assert there.seen_from_here() == "gone"
        assert Process.read({**there.record(), "boot": "other"}).seen_from_here() == "elsewhere"
    finally:
        _machine.cache_clear()


def test_a_lease_must_outlast_its_heartbeat() -> None:
    with pytest.raises(ValueError, match="heartbeat"):
        Lease(heartbeat_seconds=2, expiry_seconds=1)


def test_the_loss_of_several_works_of_one_owner_is_shared_among_them(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from dataselect.store import *;"
        "s = Store(Path(sys.argv[1]), None, Lease(.1, 5, .1));"
        "cs = [s.claim('thing', {'n': n}, Work('a', gpus=2, share=.5)) for n in (1, 2)];"
        "[c.__enter__() for c in cs]; print('ready', flush=True); time.sleep(60)"
    )
    with holding(hold, tmp_path) as process:
        time.sleep(1)
        process.kill()
        process.wait()
    store = Store(tmp_path)
    with store.claim("thing", SPEC, Work("b")) as claim:
        assert isinstance(claim, Claim)
    (lost,) = store.ledger()
    assert 0.3 < lost["wall_seconds"] < 0.8
    assert lost["gpu_seconds"] == pytest.approx(2 * lost["wall_seconds"])
