"""Everything asked of a frontier model and everything it answered, line by line as it happens.

A line is on disk before the next thing happens, so whatever was answered is known after a kill
or a power cut and is never asked again. It holds facts only: replies whole, as the server gave
them, and what each request used. Which replies make traces is judged anew from them every time.

A request is written down before it is sent, with the most that it can use. One that has no end
was lost with its process; since it may have been billed, it counts with all of that.

Requests that were sent in a batch outlive their process: they stay open until the batch is over.
The batch is written down before anything of it reaches the server, and each name that the server
gives it before the next step, so that it can be found again after a kill at any moment.

The last line may be torn, and is dropped. Nothing else is fixed: a file that is damaged in its
middle is refused. It holds neither key nor address, only the server's name.
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
    """Requests that travel together, under our `tag`; `numbers` are theirs in the journal.

    `file` and `id` are the server's names for its input and for itself, None until known.
    """

    tag: str
    numbers: range
    file: str | None = None
    id: str | None = None


class Journal:
    """The journal of one piece of work, which `identity` describes; made if absent.

    `replies` are the items' in the order received and `used` is what they used, `model` and
    `fingerprints` are what answered, and `spent` is everything used before this process opened
    it, lost requests and probes too. `batches` are those that are not over, by tag; what they
    may use is in none of these. Raises InputError when the file is damaged or holds answers
    to other work.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self._path = path
        self.replies: dict[str, list[Reply]] = {}
        self.used = NOTHING
        self.model: str | None = None
        self.fingerprints: set[str] = set()
        self.spent = NOTHING
        self.batches: dict[str, Batch] = {}
        self._open: dict[int, tuple[str | None, Usage]] = {}
        self._requests = 0
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
        """Close the file; what is in it stays."""
        os.close(self._descriptor)

    def begin(self, item: str | None, worst: Usage) -> int:
        """Write down that a request is about to be sent; `item` is None for the probe.

        Its number names it to `failed` or `answered`. Raises IncompleteError when the file cannot
        be written, as they do.
        """
        number = self._requests + 1
        self._append({"request": number, "item": item, "worst": _as_list(worst)})
        self._requests = number
        self._open[number] = (item, worst)
        return number

    def failed(self, number: int, used: Usage) -> None:
        """Write down that request `number` gave no answer and used this much."""
        self._append({"failed": number, "used": _as_list(used)})
        del self._open[number]

    def answered(self, number: int, reply: Reply) -> None:
        """Write down the reply to request `number`."""
        self._append({"answered": number, **_as_record(reply)})
        item, _ = self._open.pop(number)
        self._remember(item, reply)

    def begin_batch(self, tag: str, requests: Sequence[tuple[str, Usage]]) -> Batch:
        """Write down items that are about to be sent in one batch, each with its `worst`."""
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
        """Write down the server's name for a batch's input."""
        self._append({"uploaded": batch.tag, "file": file})
        batch.file = file

    def created(self, batch: Batch, name: str) -> None:
        """Write down the server's name for a batch."""
        self._append({"created": batch.tag, "id": name})
        batch.id = name

    def ended(self, batch: Batch) -> None:
        """Write down that a batch is over; its requests that are still open used nothing."""
        self._append({"ended": batch.tag})
        self._close_batch(batch.tag)

    def open_in(self, batch: Batch) -> dict[int, tuple[str, Usage]]:
        """The requests of a batch that have no end yet: item and `worst`, by number."""
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
        # A request that was refused has a reply that no model wrote.
        self.model = self.model or reply.model or None
        if reply.fingerprint is not None:
            self.fingerprints.add(reply.fingerprint)
        if item is not None:
            self.replies.setdefault(item, []).append(reply)
            self.used += reply.usage or NOTHING

    def _append(self, record: Mapping[str, object]) -> None:
        # ASCII, because answers may hold halves of surrogate pairs.
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
        wanted = {"schema": _SCHEMA, "of": dict(identity)}
        if header != wanted:
            self._refuse_answers_to(header.get("of"), identity, rest)
            os.ftruncate(self._descriptor, 0)
            self._append(wanted)
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
        """The records before a torn end, and how many bytes they take."""
        lines = self._path.read_bytes().split(b"\n")
        # What follows the last line end was never finished.
        lines.pop()
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except ValueError as error:
                # A power cut can leave the last line whole in length and not in content.
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
        """Raise InputError if what was asked for other work would be lost by starting anew."""
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
            "name another file with --out, or delete this folder to begin anew",
        )

    def _read(self, record: Mapping[str, Any]) -> None:
        if "request" in record:
            self._requests = int(record["request"])
            self._open[self._requests] = (record["item"], Usage(*record["worst"]))
        elif "failed" in record:
            del self._open[record["failed"]]
            self.spent += Usage(*record["used"])
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
            "delete it if you know what it was, or delete the folder to begin anew",
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
    )


def _as_entry(token: ServerToken) -> list[object]:
    """Text and log-probability, then the bytes: none where null, 1 where they are the text's."""
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
