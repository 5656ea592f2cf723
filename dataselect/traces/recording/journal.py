"""The journal of all requests to a frontier model and all replies.

Each line is on disk before the next step, so every reply survives a kill or a power cut and is
never requested again. The journal holds only facts: complete replies, as the server gave them,
and the usage of each request. Every run judges anew which replies make traces.

A request is recorded before it is sent, with its maximum usage. A request without an end was lost
with its process; because it may have been billed, it counts with that maximum.

Requests in a batch outlive their process: they stay open until the batch is over. The batch is
recorded before any part of it reaches the server, and each id that the server gives it before the
next step, so that it can be found again after a kill at any moment.

Every line has its checksum (`store.sealed`). An incomplete last line is dropped. A line that is not
as it was written costs itself alone, with a warning: a reply is asked for again and its request
counts with its maximum; a reply whose request is lost still names its item. What all the others
rest on, the first line and those of batches, is written twice.

The journal holds neither key nor address, only the server's name.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

from dataselect.errors import IncompleteError, InputError
from dataselect.store.files import sync
from dataselect.store.sealed import SpoiltError, read_line, sealed_line, set_aside, whole_lines
from dataselect.traces.alignment import ServerToken
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import NOTHING, Usage
from dataselect.wording import quoted

_SCHEMA = 1

_Line = tuple[int, dict[str, Any]]
"""A record with the number of its line."""
_Spoilt = tuple[int, str]
"""The number of a line, and what is wrong with it."""

logger = logging.getLogger("dataselect")


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
                with suppress(SpoiltError):
                    record = read_line(line.encode()) if '"of":' in line else {}
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
    parameters that the server does not take, None for nothing. Raises InputError when the file
    holds answers to other work, or nothing in it says to which.
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
        if path.is_dir():
            set_aside(path, "is a folder", "a new journal is begun")
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
        item, _ = self._open[number]
        # The item again, so that the reply is not lost with the line of its request.
        self._append({"answered": number, "item": item, **_as_record(reply)})
        del self._open[number]
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
        record = {
            "batch": tag,
            "first": first,
            "items": [item for item, _ in requests],
            "worst": [_as_list(worst) for _, worst in requests],
        }
        self._append(record, record)
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
        batch = self.batches.pop(tag, None)
        for number in () if batch is None else batch.numbers:
            self._open.pop(number, None)

    def _remember(self, item: str | None, reply: Reply) -> None:
        # The reply to a refused request has no model.
        self.model = self.model or reply.model or None
        if reply.fingerprint is not None:
            self.fingerprints.add(reply.fingerprint)
        if item is not None:
            self.replies.setdefault(item, []).append(reply)
            self.used += reply.usage or NOTHING

    def _append(self, *records: Mapping[str, object]) -> None:
        # ASCII, because answers may contain halves of surrogate pairs.
        line = b"".join(map(sealed_line, records))
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
        expected = {"schema": _SCHEMA, "of": dict(identity)}
        lines, spoilt = self._whole_lines()
        found = [record for _, record in lines if "of" in record]
        # The last: the journal may have been begun anew. Only the first ones say the schema.
        header = {"schema": _SCHEMA} | {key: each[key] for each in found for key in each}
        if not found or header != expected:
            self._begin_over(expected, header.get("of"), [record for _, record in lines], spoilt)
            return
        for number, record in lines:
            try:
                self._read(record)
            except (KeyError, TypeError, ValueError) as error:
                spoilt.append((number, f"is no record ({type(error).__name__})"))
        if spoilt:
            number, problem = spoilt[0]
            more = f" (and {len(spoilt) - 1} more)" if spoilt[1:] else ""
            logger.warning(
                "%s:%d: the line %s%s; it is left out, and what it held asked for again",
                *(self._path, number, problem, more),
            )
        under_way = {number for batch in self.batches.values() for number in batch.numbers}
        for number in self._open.keys() - under_way:
            _, worst = self._open.pop(number)
            self.spent += worst

    def _begin_over(
        self,
        header: Mapping[str, Any],
        before: object,
        records: Sequence[Mapping[str, Any]],
        spoilt: Sequence[_Spoilt],
    ) -> None:
        """Begin an empty journal, where none is lost by it. Raises InputError elsewhere."""
        if spoilt and before is None and records:
            raise InputError(
                f"{self._path}:1",
                "nothing in it says which questions its replies are to (its first line is spoilt)",
                "write that line again, as another journal has it, or name another file with --out",
            )
        self._refuse_answers_to(before, header["of"], records)
        if spoilt:
            os.close(self._descriptor)
            problem = f"{len(spoilt)} of its lines are spoilt"
            set_aside(self._path, problem, "a new one is begun")
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(self._descriptor, 0)
        self._append(header, header)
        sync(self._path.parent)

    def _whole_lines(self) -> tuple[list[_Line], list[_Spoilt]]:
        """The records that are as they were written, by number of line, and what is wrong with each
        other line; an incomplete end is cut off."""
        data, spoilt = self._path.read_bytes(), list[_Spoilt]()
        size = data.rfind(b"\n") + 1
        if data and not data.strip(b"\0"):
            return [], [(1, "holds zeros alone")]
        found = list(whole_lines(data[:size], lambda *each: spoilt.append(each)))
        os.ftruncate(self._descriptor, size)
        return found, spoilt

    def _refuse_answers_to(
        self, begun_with: object, identity: Mapping[str, str], records: Sequence[Mapping[str, Any]]
    ) -> None:
        """Raise InputError if starting anew would lose answers or batches of other work."""
        probes = {r.get("request") for r in records if r.get("item") is None}
        over = {r.get("ended") for r in records}
        answered = any(
            r["answered"] not in probes and r.get("item", "") is not None
            for r in records
            if "answered" in r
        )
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
        """Take in a record; those that it rests on may be lost."""
        if "request" in record:
            number = int(record["request"])
            self._open[number] = (record["item"], Usage(*record["worst"]))
            self._requests = max(self._requests, number)
        elif "failed" in record:
            self._open.pop(record["failed"], None)
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
            # Each is written twice.
            if record["batch"] not in self.batches:
                most = [Usage(*each) for each in record["worst"]]
                requests = list(zip(record["items"], most, strict=True))
                self._open_batch(record["batch"], record["first"], requests)
        elif "uploaded" in record:
            if record["uploaded"] in self.batches:
                self.batches[record["uploaded"]].file = record["file"]
        elif "created" in record:
            if record["created"] in self.batches:
                self.batches[record["created"]].id = record["id"]
        elif "ended" in record:
            self._close_batch(record["ended"])
        else:
            reply, number = _as_reply(record), int(record["answered"])
            # A line of an older version does not name its item.
            lost = record.get("item"), reply.usage or NOTHING
            item, worst = self._open.pop(number, lost)
            self._requests = max(self._requests, number)
            self.spent += reply.usage or worst
            self._remember(item, reply)


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
