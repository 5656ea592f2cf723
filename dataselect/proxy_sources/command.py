"""A proxy that a command trains: the team's own trainer, run as a job.

The command gets folders for its input and output, runs under `supervise`, and must leave a Hugging
Face checkpoint (config.json and safetensors) in {output}, or several in folders of it. They are
published in the store under everything that determines them: the command with its placeholders
filled in, the data and the tokenizer. Paths are not part of the key, so another store or a moved
manifest finds the same proxy.

The workspace survives interruptions and failures: the next attempt gets {output} unchanged, for
trainers that can resume. In the end only the checkpoints' files are kept, no optimizer state.

Not covered: changes of the trainer's code. Mark them in the command's arguments (`--version 2`).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.config.checkpoints import Checkpoints
from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.cost import training_flops
from dataselect.errors import IncompleteError, InputError, PassingError
from dataselect.proxy_sources import supervise
from dataselect.proxy_sources.data_export import HandedSource, write_data
from dataselect.proxy_sources.given import describe
from dataselect.proxy_sources.source import MadeProxy, Origin, Point, steps_of
from dataselect.redaction import redact
from dataselect.scoring.checkpoint import Precision
from dataselect.scoring.series import Member, resolve
from dataselect.store import Artifact, Claim, LostClaimError, Store, Work
from dataselect.store.sealed import read_own, write_own

if TYPE_CHECKING:
    from dataselect.proxies.train import Progress

KIND = "external"

_PATHS = {name: "{" + name + "}" for name in ("data", "output", "tokenizer")}
_KEPT = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_LAST_LINE = 200
_FROM_OUTSIDE = {128 + number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)}
"""Exit codes of a command that somebody ended: the system for its memory, or a scheduler."""
_LOOK_SECONDS = 1.0
"""Time between two looks whether another process has taken over."""


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint that a command left, in the store."""

    artifact: Artifact
    name: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """The artifact's key and the checkpoint's name in it."""
        return {"external": self.artifact.key, "checkpoint": self.name}

    def folder(self) -> Path:
        """The checkpoint's folder, its files verified."""
        for file in self.artifact.files:
            if file.startswith(f"{self.name}/"):
                self.artifact.file(file)
        return self.artifact.path / self.name


@dataclass(frozen=True)
class CommandSource:
    """See `ProxySource`."""

    words: tuple[str, ...]
    """The command with its placeholders."""
    values: Mapping[str, str]
    """Values of the placeholders that are not paths."""
    working_folder: Path
    tokens: int | None
    """Training tokens; None if unknown."""
    seed: int
    tokenizer: Tokenizer | None = None
    """None unless the command uses it."""
    data: tuple[HandedSource, ...] = ()
    """Empty unless the command uses {data}."""
    late: int = 1
    """Score this many of its last checkpoints."""

    origin: Origin = "command"
    kind: str = KIND
    precision: Precision = "float32"

    @property
    def spec(self) -> Mapping[str, Any]:
        """The command without paths, the data, the tokenizer and the tokens."""
        return {
            "command": self._filled(_PATHS),
            "tokens": self.tokens,
            "tokenizer": None if self.tokenizer is None else self.tokenizer.hash,
            "data": [
                {"stream": each.share.stream, "tokens": each.share.tokens} for each in self.data
            ],
        }

    def find(self, store: Store) -> MadeProxy | None:
        """The proxy; None unless the command has left at least `late` checkpoints."""
        artifact = store.find(KIND, self.spec)
        if artifact is None:
            return None
        facts = artifact.json("facts.json")
        points = tuple(
            Point(
                StoredCheckpoint(artifact, each["folder"]),
                each["label"],
                each["step"],
                each["tokens"],
            )
            for each in facts["checkpoints"]
        )
        if len(points) < self.late:
            return None
        return MadeProxy(
            points=points[-self.late :],
            parameters=facts["parameters"],
            tokens=self.tokens,
            tokenizer=facts["tokenizer"],
            segmentation=facts["segmentation"],
        )

    def make(self, store: Store, name: str, device: str, progress: "Progress") -> MadeProxy:
        """Run the command, unless its result is in the store. IncompleteError names its log."""
        work = Work(name)
        store.get_or_claim(KIND, self.spec, lambda claim: self._make(store, name, claim), work)
        proxy = self.find(store)
        if proxy is None:
            raise IncompleteError(
                f"{name}: the command left fewer checkpoints than the {self.late} to be averaged; "
                "let it leave more ({checkpoints} says how many), or lower 'average'"
            )
        return proxy

    def _make(self, store: Store, name: str, claim: Claim) -> None:
        work = store.workspace(KIND, self.spec)
        output, log, finished = work / "output", work / "train.log", work / "finished.json"
        output.mkdir(exist_ok=True)
        clock = _Clock()
        try:
            known = read_own(finished, store.damaged)
            if known is not None:
                spent = known
            else:
                self._run(work, output, log, name, claim)
                spent = clock.read()
            members = self._checkpoints(output, log, name)
            facts = describe(members[-1].checkpoint.folder())
            # After this a kill does not repeat the training.
            write_own(finished, spent)
        except BaseException:
            # Whoever took it over has recorded what was lost, and works on what was left.
            if claim.is_held():
                finished.unlink(missing_ok=True)
                store.note(KIND, self.spec, {"name": name, "status": "failed", **clock.read()})
            raise
        with store.publish(KIND, self.spec) as folder:
            checkpoints = [
                _keep(member, step, folder / f"checkpoint-{place:04d}")
                for place, (member, step) in enumerate(zip(members, steps_of(members), strict=True))
            ]
            facts |= {"checkpoints": checkpoints, **spent}
            (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            shutil.copyfile(log, folder / "train.log")
        flops = training_flops(facts["parameters"], self.tokens or 0)
        store.note(KIND, self.spec, {"name": name, "status": "done", "flops": flops, **spent})

    def _run(self, work: Path, output: Path, log: Path, name: str, claim: Claim) -> None:
        paths = {"output": str(output)}
        if self.tokenizer is not None:
            paths["tokenizer"] = str(self.tokenizer.folder)
            if self.data:
                write_data(work / "data", self.tokenizer, self.data, self._facts())
                paths["data"] = str(work / "data")
        words = self._filled(paths)
        code = _supervised(words, self.working_folder, log, work / "lock", claim)
        if code is None:
            raise LostClaimError(name)
        if code:
            kind = PassingError if code in _FROM_OUTSIDE else IncompleteError
            raise kind(f"{name}: {_ending(code)}; {_log_hint(log)}")

    def _facts(self) -> dict[str, Any]:
        return {
            "candidate": self.values["candidate"],
            "stage": self.values["stage"],
            "seed": self.seed,
            "tokens": self.tokens,
        }

    def _filled(self, paths: Mapping[str, str]) -> list[str]:
        return [word.format(**{**_PATHS, **self.values, **paths}) for word in self.words]

    def _checkpoints(self, output: Path, log: Path, name: str) -> tuple[Member, ...]:
        """The checkpoints that the command left, oldest first, each with a tokenizer."""
        if not any(output.glob("config.json")) and not any(output.glob("*/config.json")):
            raise IncompleteError(
                f"{name}: the command ended well and left no config.json in {output}, nor in a "
                f"folder of it; {_log_hint(log)}"
            )
        try:
            members = resolve(Checkpoints(model=str(output)), output, str(output))
        except InputError as error:
            raise IncompleteError(
                f"{name}: what the command left cannot be read: {error.problem}; {_log_hint(log)}"
            ) from error
        for member in members:
            folder = member.place
            assert isinstance(folder, Path), "a folder was resolved"
            if any((folder / file).exists() for file in _TOKENIZER_FILES):
                continue
            if self.tokenizer is None:
                raise IncompleteError(
                    f"{name}: the command left no tokenizer in {folder}; save it beside the model, "
                    f"or take the plan's with {{tokenizer}}; {_log_hint(log)}"
                )
            for file in self.tokenizer.folder.glob("*.json"):
                if file.name not in ("artifact.json", "facts.json"):
                    shutil.copyfile(file, folder / file.name)
        return members


def _keep(member: Member, step: int, folder: Path) -> dict[str, Any]:
    """Link a checkpoint's files into `folder` and describe it."""
    assert isinstance(member.place, Path), "a folder was resolved"
    folder.mkdir()
    for pattern in _KEPT:
        for file in sorted(member.place.glob(pattern)):
            _link(file, folder / file.name)
    return {"folder": folder.name, "label": member.label, "step": step, "tokens": member.tokens}


def _link(file: Path, to: Path) -> None:
    """Hard-link the file where safe and possible, else copy it: checkpoints may be large."""
    if not file.is_symlink():
        with suppress(OSError):
            os.link(file, to)
            return
    shutil.copyfile(file, to)


class _Clock:
    """Wall seconds, and CPU seconds of this process and its ended children, since construction."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), self._cpu_now()

    def read(self) -> dict[str, float]:
        return {
            "wall_seconds": time.monotonic() - self._wall,
            "cpu_seconds": self._cpu_now() - self._cpu,
        }

    @staticmethod
    def _cpu_now() -> float:
        return sum(os.times()[:4])


def _supervised(words: list[str], folder: Path, log: Path, lock: Path, claim: Claim) -> int | None:
    """Run the command under `supervise`; its exit code, or None if it was ended because another
    process has taken over."""
    with subprocess.Popen(  # noqa: S603 (the user's own command)
        [sys.executable, supervise.__file__, str(log), str(lock), "--", *words],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        # Kept open until the command has ended: closing this pipe ends the command.
        try:
            while not claim.known_lost:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(_LOOK_SECONDS)
            return None
        finally:
            assert process.stdin is not None, "it was opened with a pipe"
            process.stdin.close()
            process.wait()


def _ending(code: int) -> str:
    if code == supervise.NOT_STARTED:
        return "the command was not found, or could not be started"
    if code == supervise.STILL_RUNNING:
        return "an earlier start of the command is still running"
    if code > 128:
        return f"the command was ended by signal {code - 128}"
    return f"the command ended with exit code {code}"


def _log_hint(log: Path) -> str:
    """Where the log is, and its last line."""
    text = log.read_bytes()[-4000:].decode("utf-8", "replace") if log.exists() else ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    last = f" (last line: {redact(lines[-1])[:_LAST_LINE]})" if lines else ""
    return f"its output is in {log}{last}"
