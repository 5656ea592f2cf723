"""The journal of all requests to a frontier model and all replies.

Each line is on disk before the next step, so every reply survives a kill or a power cut and is
never requested again. The journal holds only facts: complete replies, as the server gave them,
and the usage of each request. Every run judges anew which replies make traces.

A request is recorded before it is sent, with its maximum usage. A request without an end was lost
with its process; because it may have been billed, it counts with that maximum.

Requests in a batch outlive their process: they stay open until the batch is over. The batch is
recorded before any part of it reaches the server, and each id that the server gives it before the
next step, so that it can be found again after a kill at any moment.

An incomplete last line is dropped. A file that is damaged elsewhere is refused. The journal holds
neither key nor address, only the server's name.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

from dataselect.errors import IncompleteError, InputError
from dataselect.store.files import sync
from dataselect.traces.alignment import ServerToken
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import NOTHING, Usage
from dataselect.wording import quoted

_SCHEMA = 1


@dataclass
class Batch:
    """Requests that are sent as one batch."""

    tag: str
    """Our id of the batch, which is also in its metadata on the server."""

    numbers: range
    """The numbers of its requests in the journal."""

    file: str | None = None
    """The server's id of the input file; None until uploaded."""

    id: str | None = None
    """The server's id of the batch; None until created."""


def written_identity(path: Path) -> Mapping[str, Any]:
    """What the journal at `path` says that it is of; empty where that cannot be read."""
    found: Mapping[str, Any] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                # Any line may be torn or damaged; opening the journal tells.
                if '"of":' in line and isinstance(record := json.loads(line), dict):
                    found = record["of"] if isinstance(record.get("of"), dict) else found
    except (OSError, ValueError):
        pass
    return found


class Journal:
    """The journal of the work that `identity` describes; created if absent.

    `replies` are the replies by item, in order of receipt, and `used` is their usage. `model` and
    `fingerprints` are those of the replies. `spent` is all usage before this process opened the
    journal, including lost requests and probes. `batches` are those that are not over, by tag;
    their open requests count in neither sum. `answered_here` and `failed_here` count the requests
    that ended since this process opened it. `dialect` is what is sent in place of the
    parameters that the server does not take, None for nothing. Raises InputError when the file is
    damaged or holds answers to other work.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self._path = path
        self.replies: dict[str, list[Reply]] = {}
        self.used = NOTHING
        self.model: str | None = None
        self.fingerprints: set[str] = set()
        self.spent = NOTHING
        self.batches: dict[str, Batch] = {}
        self.dialect: dict[str, str | None] = {}
        self._open: dict[int, tuple[str | None, Usage]] = {}
        self._requests = 0
        self.answered_here = self.failed_here = 0
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise InputError(
                path, f"cannot be opened ({error.strerror})", "name another file with --out"
            ) from error
        try:
            self._load(identity)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def begin(self, item: str | None, worst: Usage) -> int:
        """Record that a request is about to be sent; `item` is None for the probe.

        Returns the request's number for `failed` and `answered`. All methods that record raise
        IncompleteError when the file cannot be written.
        """
        number = self._requests + 1
        self._append({"request": number, "item": item, "worst": _as_list(worst)})
        self._requests = number
        self._open[number] = (item, worst)
        return number

    def failed(self, number: int, used: Usage) -> None:
        """Record that request `number` gave no answer, and its usage."""
        self._append({"failed": number, "used": _as_list(used)})
        del self._open[number]
        self.failed_here += 1

    def answered(self, number: int, reply: Reply) -> None:
        """Record the reply to request `number`."""
        self._append({"answered": number, **_as_record(reply)})
        item, _ = self._open.pop(number)
        self._remember(item, reply)
        self.answered_here += 1

    @property
    def ended_here(self) -> int:
        """Requests that have ended since this process opened the journal."""
        return self.answered_here + self.failed_here

    def adapted(self, dialect: Mapping[str, str | None]) -> None:
        """Record what is sent in place of the parameters that the server does not take."""
        self._append({"dialect": dict(dialect)})
        self.dialect = dict(dialect)

    def begin_anew(self, identity: Mapping[str, str]) -> None:
        """Record that the journal is of other work from now on, before any item has an answer.

        What probes have used still counts.
        """
        assert not self.replies
        assert not self.batches
        self._append({"of": dict(identity)})

    def begin_batch(self, tag: str, requests: Sequence[tuple[str, Usage]]) -> Batch:
        """Record a batch that is about to be sent: its items, each with its maximum usage."""
        first = self._requests + 1
        self._append(
            {
                "batch": tag,
                "first": first,
                "items": [item for item, _ in requests],
                "worst": [_as_list(worst) for _, worst in requests],
            }
        )
        return self._open_batch(tag, first, requests)

    def uploaded(self, batch: Batch, file: str) -> None:
        """Record the server's id of a batch's input file."""
        self._append({"uploaded": batch.tag, "file": file})
        batch.file = file

    def created(self, batch: Batch, name: str) -> None:
        """Record the server's id of a batch."""
        self._append({"created": batch.tag, "id": name})
        batch.id = name

    def ended(self, batch: Batch) -> None:
        """Record that a batch is over; its open requests then count as unused."""
        self._append({"ended": batch.tag})
        self._close_batch(batch.tag)

    def open_in(self, batch: Batch) -> dict[int, tuple[str, Usage]]:
        """The open requests of a batch: item and maximum usage, by number."""
        found = {}
        for number in batch.numbers:
            item, worst = self._open.get(number, (None, NOTHING))
            if item is not None:
                found[number] = item, worst
        return found

    def _open_batch(self, tag: str, first: int, requests: Sequence[tuple[str, Usage]]) -> Batch:
        batch = Batch(tag, range(first, first + len(requests)))
        self._requests = first + len(requests) - 1
        self._open.update(zip(batch.numbers, requests, strict=True))
        self.batches[tag] = batch
        return batch

    def _close_batch(self, tag: str) -> None:
        for number in self.batches.pop(tag).numbers:
            self._open.pop(number, None)

    def _remember(self, item: str | None, reply: Reply) -> None:
        # The reply to a refused request has no model.
        self.model = self.model or reply.model or None
        if reply.fingerprint is not None:
            self.fingerprints.add(reply.fingerprint)
        if item is not None:
            self.replies.setdefault(item, []).append(reply)
            self.used += reply.usage or NOTHING

    def _append(self, record: Mapping[str, object]) -> None:
        # ASCII, because answers may contain halves of surrogate pairs.
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                os.ftruncate(self._descriptor, size)
                raise OSError(0, "the disk is full")
            os.fsync(self._descriptor)
        except OSError as error:
            raise IncompleteError(
                f"{self._path}: cannot be written ({error.strerror}); "
                "make room and run the same command again"
            ) from error

    def _load(self, identity: Mapping[str, str]) -> None:
        records, size = self._whole_records()
        header, *rest = records or [{}]
        expected = {"schema": _SCHEMA, "of": dict(identity)}
        for record in rest:
            header |= {"of": record["of"]} if "of" in record else {}
        if header != expected:
            self._refuse_answers_to(header.get("of"), identity, rest)
            os.ftruncate(self._descriptor, 0)
            self._append(expected)
            sync(self._path.parent)
            return
        os.ftruncate(self._descriptor, size)
        for number, record in enumerate(rest, start=2):
            try:
                self._read(record)
            except (KeyError, TypeError, ValueError) as error:
                raise self._damaged(number) from error
        under_way = {number for batch in self.batches.values() for number in batch.numbers}
        for number in self._open.keys() - under_way:
            _, worst = self._open.pop(number)
            self.spent += worst

    def _whole_records(self) -> tuple[list[dict[str, Any]], int]:
        """The complete records, and their size in bytes."""
        lines = self._path.read_bytes().split(b"\n")
        # The part after the last line end is incomplete.
        lines.pop()
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except ValueError as error:
                # After a power cut the last line can have its length but not its content.
                if number == len(lines):
                    break
                raise self._damaged(number) from error
            if not isinstance(record, dict):
                raise self._damaged(number)
            records.append(record)
        return records, sum(len(line) + 1 for line in lines[: len(records)])

    def _refuse_answers_to(
        self, begun_with: object, identity: Mapping[str, str], records: list[dict[str, Any]]
    ) -> None:
        """Raise InputError if starting anew would lose answers or batches of other work."""
        probes = {r.get("request") for r in records if r.get("item") is None}
        over = {r.get("ended") for r in records}
        answered = any("answered" in r and r["answered"] not in probes for r in records)
        if not answered and all(r["uploaded"] in over for r in records if "uploaded" in r):
            return
        before = begun_with if isinstance(begun_with, dict) else {}
        changed = [
            f"{name} {quoted(before.get(name))}, now {quoted(now)}"
            for name, now in identity.items()
            if before.get(name) != now
        ]
        raise InputError(
            self._path.parent,
            f"its answers are to other questions ({'; '.join(changed) or 'another version'})",
            "name another file with --out, or delete this folder to start over",
        )

    def _read(self, record: Mapping[str, Any]) -> None:
        if "request" in record:
            self._requests = int(record["request"])
            self._open[self._requests] = (record["item"], Usage(*record["worst"]))
        elif "failed" in record:
            del self._open[record["failed"]]
            self.spent += Usage(*record["used"])
        elif "of" in record:
            # What the journal is of was compared when it was opened.
            pass
        elif "dialect" in record:
            self.dialect = {
                str(name): None if other is None else str(other)
                for name, other in dict(record["dialect"]).items()
            }
        elif "batch" in record:
            most = [Usage(*each) for each in record["worst"]]
            requests = list(zip(record["items"], most, strict=True))
            self._open_batch(record["batch"], record["first"], requests)
        elif "uploaded" in record:
            self.batches[record["uploaded"]].file = record["file"]
        elif "created" in record:
            self.batches[record["created"]].id = record["id"]
        elif "ended" in record:
            self._close_batch(record["ended"])
        else:
            item, worst = self._open.pop(record["answered"])
            reply = _as_reply(record)
            self.spent += reply.usage or worst
            self._remember(item, reply)

    def _damaged(self, line: int) -> InputError:
        return InputError(
            f"{self._path}:{line}",
            "the line is damaged",
            "delete it if you know what it was, or delete the folder to start over",
        )


def _as_list(usage: Usage) -> list[int]:
    tokens = list(astuple(usage))
    return tokens if any(tokens[2:]) else tokens[:2]


def _as_record(reply: Reply) -> dict[str, object]:
    return {
        "content": reply.content,
        "tokens": [_as_entry(token) for token in reply.tokens],
        "model": reply.model,
        "fingerprint": reply.fingerprint,
        "usage": None if reply.usage is None else _as_list(reply.usage),
        "finish_reason": reply.finish_reason,
        "problem": reply.problem,
        **({} if reply.thinking is None else {"thinking": reply.thinking}),
    }


def _as_reply(record: Mapping[str, Any]) -> Reply:
    return Reply(
        record["content"],
        tuple(_as_token(*entry) for entry in record["tokens"]),
        record["model"],
        record["fingerprint"],
        None if record["usage"] is None else Usage(*record["usage"]),
        record["finish_reason"],
        record["problem"],
        record.get("thinking"),
    )


def _as_entry(token: ServerToken) -> list[object]:
    """Text, log-probability and bytes: no bytes when null, 1 when they are those of the text."""
    entry: list[object] = [token.text, token.logprob]
    if token.data is not None:
        spelt = token.text.encode("utf-8", "surrogatepass")
        entry.append(1 if token.data == spelt else token.data.hex())
    return entry


def _as_token(text: str, logprob: float | None, data: int | str | None = None) -> ServerToken:
    if isinstance(data, str):
        return ServerToken(text, bytes.fromhex(data), logprob)
    spelt = text.encode("utf-8", "surrogatepass")
    return ServerToken(text, None if data is None else spelt, logprob)
