"""Whatever processes do, and whenever they stop, die or wake: claims keep their promises.

Processes of several machines are played in one, step by step, on a real file system. Hypothesis
chooses who does what next: claim, save, publish, fail, stop, wake, die.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataselect.store import Claim, LostClaimError, Store, content_key
from dataselect.store.owner import _Heart
from dataselect.store.process import Process

KEYS = (0, 1)
NAMES = ("a", "b", "c")
MEMORY = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)
"""Where the many small files take no disk's time."""


class _Silent(_Heart):
    """What a played process owns. It gives signs of life only when it acts."""

    def reset(self) -> None:
        super().reset()
        self._beats = True


@dataclass
class Played:
    """A process on a machine of its own."""

    name: str
    heart: _Silent = field(default_factory=_Silent)
    held: dict[Any, Claim] = field(default_factory=dict)
    contexts: dict[int, AbstractContextManager[Any]] = field(default_factory=dict)
    """Open claims, by key."""
    publishing: dict[int, AbstractContextManager[Path]] = field(default_factory=dict)
    """Folders that are being filled, by key."""
    stopped: bool = False
    lives: int = 1
    """Processes of this name so far."""


class World:
    """Three processes, two keys, one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.played = {name: Played(name) for name in NAMES}
        self.published: dict[int, str] = {}
        """What was seen of each key first."""
        self.dead: list[Played] = []
        """Kept, because an open claim that is collected as garbage would end in order."""
        self.events: Counter[str] = Counter()

    def possible(self) -> dict[str, Callable[[], None]]:
        """What can happen next, by a name for it."""
        steps: dict[str, Callable[[], None]] = {}
        for name, who in self.played.items():
            if who.stopped:
                steps[f"{name} wakes"] = partial(self.wake, who)
                continue
            steps[f"{name} stops"] = partial(self.stop, who)
            steps[f"{name} dies"] = partial(self.die, who)
            steps[f"{name} cleans"] = partial(self.act, who, Store.clean)
            for key in KEYS:
                choices = {"asks for": self.ask}
                if key in who.publishing:
                    choices = {"publishes": self.publish}
                elif key in who.contexts:
                    choices = {
                        "saves": self.save,
                        "begins to publish": self.begin_to_publish,
                        "releases": self.release,
                    }
                for what, do in choices.items():
                    steps[f"{name} {what} {key}"] = partial(do, who, key)
        return steps

    def act(self, who: Played, what: Callable[[Store], object]) -> None:
        """Let a process act, with its own memory; the disk need not be forced."""
        process = Process(f"host {who.name}", f"boot {who.name}", "n", who.lives, "0")
        with ExitStack() as stack:
            for target, value in (
                ("dataselect.store.owner._heart", who.heart),
                ("dataselect.store.owner.this_process", lambda: process),
                ("dataselect.store.store._held", who.held),
                ("dataselect.store.artifact.sync", lambda path: None),
                ("dataselect.store.store.sync_tree", lambda path: None),
            ):
                stack.enter_context(patch(target, value))
            what(Store(self.root))

    def silence(self, who: Played) -> None:
        """Let the last sign of life of a process be long ago."""
        for owner in who.heart._owners.values():
            if owner.path.exists():
                os.utime(owner.path, (1, 1))

    def ask(self, who: Played, key: int) -> None:
        def ask(store: Store) -> None:
            context = store.claim("thing", {"n": key}, wait=False)
            found = context.__enter__()
            if isinstance(found, Claim):
                who.contexts[key] = context
                self.events["claimed" if found.lost is None else "taken over"] += 1
                (store.workspace("thing", {"n": key}) / f"by {who.name}").touch()
            else:
                context.__exit__(None, None, None)
                assert (found is None) == (key not in self.published)
                self.events["found" if found else "busy"] += 1

        self.act(who, ask)

    def save(self, who: Played, key: int) -> None:
        def save(store: Store) -> None:
            try:
                folder = store.workspace("thing", {"n": key})
            except LostClaimError:
                self.events["a loser tried to save"] += 1
                return
            (folder / "state").write_text(who.name)

        self.act(who, save)

    def begin_to_publish(self, who: Played, key: int) -> None:
        def begin(store: Store) -> None:
            context = store.publish("thing", {"n": key})
            (context.__enter__() / "maker").write_text(f"{who.name}{who.lives}")
            who.publishing[key] = context

        self.act(who, begin)

    def publish(self, who: Played, key: int) -> None:
        def publish(store: Store) -> None:
            was_there = key in self.published
            claim = next(claim for place, claim in who.held.items() if place[1] == folder(key))
            was_held = claim.is_held()
            try:
                who.publishing.pop(key).__exit__(None, None, None)
            except LostClaimError:
                assert not was_held, "it had the claim"
                self.events["a loser tried to publish"] += 1
                return
            assert was_held, "whoever lost its claim has published"
            self.events["published again" if was_there else "published"] += 1

        self.act(who, publish)

    def release(self, who: Played, key: int) -> None:
        """The end of the work: after publishing, or because it failed."""
        self.act(who, lambda store: who.contexts.pop(key).__exit__(None, None, None))

    def stop(self, who: Played) -> None:
        who.stopped = True
        self.silence(who)

    def wake(self, who: Played) -> None:
        who.stopped = False
        for owner in who.heart._owners.values():
            owner.touch()

    def die(self, who: Played) -> None:
        """Without a word: what it has on disk stays, and its next life knows nothing of it."""
        self.silence(who)
        self.dead.append(who)
        self.played[who.name] = Played(who.name, lives=who.lives + 1)

    def check(self) -> None:
        """What must hold at any moment."""
        for key in KEYS:
            # Asked of the files, since asking an owner is a sign of life.
            valid = [
                who.name
                for who in self.played.values()
                for place, claim in who.held.items()
                if place[1] == folder(key) and not who.stopped and claim.owner.path.exists()
            ]
            assert len(valid) <= 1, f"{valid} have one claim"
            found = Store(self.root).find("thing", {"n": key})
            assert (found is not None) or key not in self.published, "it has gone"
            if found is not None:
                found.verified()
                text = found.file("maker").read_text()
                assert self.published.setdefault(key, text) == text, "it was published over"
        assert not (self.root / "damaged").exists()


def folder(key: int) -> str:
    return f"thing-{content_key('thing', {'n': key})}"


seen: Counter[str] = Counter()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,  # so that what must be among the steps is
)
@given(st.data())
def play(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as root:
        world = World(Path(root))
        for _ in range(30):
            steps = world.possible()
            steps[data.draw(st.sampled_from(sorted(steps)))]()
            world.check()
        seen.update(world.events)


def test_claims_keep_their_promises_whatever_happens_next() -> None:
    play()
    assert set(seen) >= {
        "claimed",
        "taken over",
        "busy",
        "published",
        "found",
        "a loser tried to save",
        "a loser tried to publish",
    }, f"hypothesis has not tried everything: {seen}"
