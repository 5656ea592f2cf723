"""Everything asked of a frontier model and everything it answered, line by line as it happens.

A line is on disk before the next thing happens, so whatever was answered is known after a kill
or a power cut and is never asked again. It holds facts only: replies whole, as the server gave
them, and what each request used. Which replies make traces is judged anew from them every time.

A request is written down before it is sent, with the most that it can use. One that has no end
was lost with its process; since it may have been billed, it counts with all of that.

The last line may be torn, and is dropped. Nothing else is mended: a file that is damaged in its
middle is refused. It holds neither key nor address, only the server's name.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dataselect.errors import IncompleteError, InputError
from dataselect.store.files import sync
from dataselect.traces.alignment import ServerToken
from dataselect.traces.reply import Reply
from dataselect.traces.spending import NOTHING, Usage
from dataselect.wording import quoted

_SCHEMA = 1


class Journal:
    """The journal of one piece of work, which `identity` describes; made if absent.

    `replies` are the items' in the order received and `used` is what they used, `model` and
    `fingerprints` are what answered, and `spent` is everything used before this process opened
    it, lost requests and probes too. Raises InputError when the file is damaged or holds answers
    to other work.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self._path = path
        self.replies: dict[str, list[Reply]] = {}
        self.used = NOTHING
        self.model: str | None = None
        self.fingerprints: set[str] = set()
        self.spent = NOTHING
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
        for _, worst in self._open.values():
            self.spent += worst
        self._open.clear()

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
        """Raise InputError if answers to other work would be lost by starting anew."""
        of_items = {r.get("request") for r in records if r.get("item") is not None}
        if not any("answered" in r and r["answered"] in of_items for r in records):
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
    return [usage.prompt_tokens, usage.completion_tokens]


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
