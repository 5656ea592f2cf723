"""A job as a folder of files that its driver and the machine it runs on share.

    jobs/<key>/job.json            the call, with what it needs to start; written by the driver
    jobs/<key>/submitted.json      where the scheduler has it
    jobs/<key>/attempt-<n>/        made by the n-th process that runs it, whoever started that
        begun.json                 machine, process, and what the scheduler says of itself
        alive                      touched by its process every few seconds
        seconds.json               wall and CPU time so far, every few seconds
        progress.jsonl             what the job reports
        output.log                 what it prints
        outcome.json               its result or its failure
        ended.json                 how its process ended
    jobs/values/<sha256>.json      long arguments, which many jobs share

A scheduler may start a job again by itself, and tell nobody. Every start makes a folder of its
own, so that attempts are counted by the files they leave, and what a lost one had used is known up
to its last sign of life.

**What is read is checked.** The driver gives the SHA-256 of job.json to the scheduler, and that
of each long argument is in it: a job runs only what was submitted, whoever can write to the folder.
What comes back is data alone (`wire`), with its checksum: a spoilt outcome is none, so that the job
is run again and finds in the store what it has made.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.compute import wire
from dataselect.compute.attempt import Attempt
from dataselect.compute.jobs import Job, Resources
from dataselect.store.sealed import sealed, set_aside, unsealed

ALIVE = "alive"
_LONG = 4096
_TAIL_BYTES = 4000
Fields = dict[str, float | int | str]


class ChangedJobError(ValueError):
    """A file of a job is not what was submitted."""


@dataclass(frozen=True)
class Call:
    """What job.json says."""

    job: Job
    """The call."""
    resources: Resources
    """What it may use."""
    path: tuple[str, ...]
    """`sys.path` of the driver."""


class Encoder:
    """Writes jobs as text; arguments that jobs share are encoded once."""

    def __init__(self, values: Path) -> None:
        self._values = values
        self._known: dict[int, tuple[Any, str]] = {}

    def encode(self, job: Job) -> dict[str, str]:
        """The job's arguments: each as text, or the name of the file of values that has it.

        Raises WireError, naming job and argument.
        """
        encoded = {}
        for name, value in job.arguments.items():
            try:
                encoded[name] = self._encode(value)
            except wire.WireError as error:
                raise wire.WireError(f"job {job.name!r}, argument {name!r}: {error}") from None
        return encoded

    def _encode(self, value: Any) -> str:
        if id(value) in self._known:
            return self._known[id(value)][1]
        text = wire.encode(value)
        if len(text) > _LONG:
            digest = hashlib.sha256(text.encode()).hexdigest()
            path = self._values / f"{digest}.json"
            try:
                _checked(path, digest)
                os.utime(path)
            except (OSError, ChangedJobError):
                # Absent, or spoilt: no job may run with it.
                self._values.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    set_aside(path, "is not what its name says", "it is written anew")
                write(path, text)
            text = f"@{digest}"
        # With the value, so that no other one can get its id.
        self._known[id(value)] = value, text
        return text


def job_key(job: Job, encoded: Mapping[str, str]) -> str:
    """Equal for equal calls under one name, also in another process."""
    call = [job.name, _function_name(job), sorted(encoded.items())]
    return hashlib.sha256(json.dumps(call).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class AttemptFolder:
    """The files of one attempt."""

    path: Path
    """Its folder."""

    @property
    def number(self) -> int:
        """From 1."""
        return int(self.path.name.partition("-")[2])

    @property
    def begun(self) -> dict[str, Any]:
        """Where it runs; empty until that is known."""
        return read(self.path / "begun.json") or {}

    @property
    def seconds(self) -> tuple[float, float]:
        """Wall and CPU seconds up to its last sign of life, or its end."""
        known = read(self.path / "ended.json") or read(self.path / "seconds.json") or {}
        try:
            return float(known["wall_seconds"]), float(known["cpu_seconds"])
        except (KeyError, TypeError, ValueError):
            return 0.0, 0.0

    @property
    def ended(self) -> str | None:
        """Why its process ended; None if that is not known, as while it runs."""
        known = read(self.path / "ended.json")
        return None if known is None else str(known.get("reason", ""))

    @property
    def output_tail(self) -> str:
        """The end of what it printed."""
        return tail(self.path / "output.log")

    def outcome(self) -> Attempt | None:
        """How the job ended; None if it did not, or what it left cannot be read."""
        try:
            written = strict_json.loads((self.path / "outcome.json").read_bytes())
            # An older version wrote the outcome alone.
            text = unsealed(written).get("outcome", written)
            found = wire.decode(text if isinstance(text, str) else json.dumps(text), imports=False)
        except wire.WireError as error:
            return Attempt(None, f"its outcome cannot be read: {error}", "WireError", None, 0, 0)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, Attempt) else None

    def progress(self, offset: int) -> tuple[list[Fields], int]:
        """What the job reported after `offset` bytes, and the next offset."""
        try:
            with (self.path / "progress.jsonl").open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            return [], offset
        whole = text[: text.rfind(b"\n") + 1]
        reports = []
        for line in whole.splitlines():
            with suppress(ValueError):
                fields = strict_json.loads(line)
                if isinstance(fields, dict) and all(
                    type(each) in (int, float, str) for each in fields.values()
                ):
                    reports.append(fields)
        return reports, offset + len(whole)


class JobFolder:
    """The folder of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(
        self, job: Job, encoded: Mapping[str, str], resources: Resources, path: Sequence[str]
    ) -> str:
        """Write the call, and return its SHA-256."""
        call = {
            "name": job.name,
            "function": _function_name(job),
            "arguments": dict(encoded),
            "resources": wire.encode(resources),
            "path": list(path),
        }
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(call, indent=1)
        write(self.path / "job.json", text)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, digest: str) -> dict[str, Any]:
        """What job.json says, as it was written. Raises ChangedJobError if it is not that one."""
        return dict(strict_json.loads(_checked(self.path / "job.json", digest)))

    def call(self, digest: str) -> Call:
        """The call, with its modules imported. Raises ChangedJobError, or WireError."""
        written, arguments = self.read(digest), {}
        for name, told in written["arguments"].items():
            digest = told.removeprefix("@")
            values = self.path.parent / "values"
            text = told if digest == told else _checked(values / f"{digest}.json", digest)
            arguments[name] = wire.decode(text, imports=True)
        function = wire.named(written["function"], imports=True)
        resources = wire.decode(written["resources"], imports=True)
        job = Job(written["name"], function, arguments)
        return Call(job, resources, tuple(written["path"]))

    def new_attempt(self) -> AttemptFolder:
        """A folder for the process that calls."""
        number = len(self.attempts()) + 1
        while True:
            path = self.path / f"attempt-{number}"
            with suppress(FileExistsError):
                path.mkdir()
                return AttemptFolder(path)
            number += 1

    def attempts(self) -> list[AttemptFolder]:
        """All attempts so far, in order."""
        found = [AttemptFolder(path) for path in self.path.glob("attempt-*")]
        return sorted(found, key=lambda each: each.number)


def _function_name(job: Job) -> str:
    return f"{job.function.__module__}:{job.function.__qualname__}"


def _checked(path: Path, digest: str) -> str:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ChangedJobError(f"{path}: it is not what was submitted")
    return content.decode()


def write(path: Path, text: str) -> None:
    """Write a file that others read, whole or not at all."""
    # Not forced to disk as artifacts are: what a power cut takes is a job that it ended anyway.
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, as `write` does."""
    write(path, json.dumps(sealed(content)))


def read(path: Path) -> dict[str, Any] | None:
    """A JSON object that `write_record` wrote; None if it is not there, or not as it was written.

    Nothing is set aside: processes elsewhere may read it too, and a new attempt has other files.
    """
    try:
        return unsealed(strict_json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None


def tail(path: Path) -> str:
    """The end of a text file; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
