"""The calls of the Batch API: upload an input, create a batch, poll it, read its results.

A batch that is created twice is paid for twice, and a request to create one may succeed although
its answer is lost. So before such a request is sent again, the server's list of batches is
searched. Results are streamed line by line: a file of many answers with log-probabilities has
hundreds of megabytes, and may contain the key, which must not be written to disk.

Not here: which questions are in a batch, and what is stored of its results (batch).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from dataselect import strict_json
from dataselect.errors import InputError
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.faults import Fault
from dataselect.traces.recording.journal import Batch
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import NOTHING, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_T = TypeVar("_T")

QUESTIONS_URL: Final = "/v1/chat/completions"
"""The endpoint of the requests in a batch."""

OVER = {"completed", "failed", "expired", "cancelled"}
"""The final states of a batch."""

_ABSENT = {404, 405, 410, 501}
_TAG = "dataselect"
_PAGE = 100
# 200 megabytes take this long at half a megabit per second.
_TRANSFER_SECONDS = 3600.0
# The server may read the whole upload before it answers.
_UPLOAD_ANSWER_SECONDS = 600.0


@dataclass(frozen=True)
class BatchState:
    """The state of a batch as the server reports it."""

    status: str
    """The server's word; it is final when in `OVER`."""

    output: str | None
    """Id of the file of answers; None without one."""

    errors: str | None
    """Id of the file of failed requests; None without one."""

    done: int
    """Requests that succeeded or failed."""

    problem: str
    """Why the whole batch failed; "" when it did not."""

    code: str
    """The error code of that failure; "" when there is none."""


class LineSink(Protocol):
    """Receives the lines of a file in one pass; a retry uses a new sink."""

    def take(self, line: bytes) -> None:
        """Process the next line, without its line end. ValueError means: read the file again."""


_SinkT = TypeVar("_SinkT", bound=LineSink)


class BatchCalls:
    """The Batch API behind `client`, which retries; a refused call returns a Fault.

    Every call raises InputError and IncompleteError for problems that affect every request.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def upload(self, name: str, data: bytes) -> str | Fault:
        """Upload a batch's input file; its id."""

        async def send(sdk: "AsyncOpenAI") -> str:
            response = await sdk.files.with_raw_response.create(
                file=(name, data, "application/jsonl"),
                purpose="batch",
                timeout=_UPLOAD_ANSWER_SECONDS,
            )
            return self._name(_object(response.http_response.text))

        return await self._call(send, _TRANSFER_SECONDS)

    async def create(self, batch: Batch, *, sent_before: bool) -> str | Fault:
        """Create a batch from its uploaded input, unless the server has it already; its id.

        `sent_before` means that an earlier run may have created it.
        """
        assert batch.file is not None
        file, sent = batch.file, sent_before

        async def send(sdk: "AsyncOpenAI") -> str:
            nonlocal sent
            if sent and (found := await self._find(sdk, batch)) is not None:
                return found
            sent = True
            response = await sdk.batches.with_raw_response.create(
                completion_window="24h",
                endpoint=QUESTIONS_URL,
                input_file_id=file,
                metadata={_TAG: batch.tag},
            )
            return self._name(_object(response.http_response.text))

        return await self._call(send)

    async def look(self, name: str) -> BatchState | Fault:
        """The state of a batch."""

        async def send(sdk: "AsyncOpenAI") -> BatchState:
            response = await sdk.batches.with_raw_response.retrieve(name)
            return self._state(_object(response.http_response.text))

        return await self._call(send)

    async def read(self, file: str, make: Callable[[], _SinkT]) -> _SinkT | Fault:
        """Stream the lines of a file to a sink from `make`; the sink that received all of them."""

        async def send(sdk: "AsyncOpenAI") -> _SinkT:
            sink, rest = make(), b""
            try:
                async with sdk.files.with_streaming_response.content(file) as response:
                    async for chunk in response.iter_bytes():
                        *whole, rest = (rest + chunk).split(b"\n")
                        for line in whole:
                            sink.take(line)
            except Exception as error:
                # While an answer streams, the library does not wrap the errors of its HTTP stack,
                # and the stack depends on the library's version.
                if type(error).__module__.startswith("httpx"):
                    raise ValueError("the connection broke") from error
                raise
            sink.take(rest)
            return sink

        return await self._call(send, _TRANSFER_SECONDS)

    async def _find(self, sdk: "AsyncOpenAI", batch: Batch) -> str | None:
        after = ""
        while (page := await _list(sdk, after)) is not None:
            entries = page.get("data")
            if not isinstance(entries, list):
                raise ValueError("this is no list of batches")
            for entry in map(_mapping, entries):
                # Some servers drop the tag.
                tag = _mapping(entry.get("metadata")).get(_TAG)
                if tag == batch.tag or entry.get("input_file_id") == batch.file:
                    return self._name(entry)
            last = self._name(_mapping(entries[-1])) if entries else ""
            if not page.get("has_more") or last in {"", after}:
                return None
            after = last
        raise InputError(
            self._client.endpoint.host,
            "it does not list its batches, so it is unknown whether the last one was created",
            "check the batches on the server, and delete the folder of answers to start over",
        )

    def _name(self, entry: Mapping[str, Any]) -> str:
        """An id, which the journal keeps. Raises ValueError where there is none, or the key."""
        name = entry.get("id")
        if not isinstance(name, str) or not name or self._client.without_key(name) != name:
            raise ValueError("it has no id")
        return name

    def _state(self, payload: Mapping[str, Any]) -> BatchState:
        counts = _mapping(payload.get("request_counts"))
        done = [counts.get("completed"), counts.get("failed")]
        errors = _mapping(payload.get("errors")).get("data")
        first = _mapping(errors[0]) if isinstance(errors, list) and errors else {}
        status = payload.get("status")
        if not isinstance(status, str):
            raise ValueError("this is no batch")
        return BatchState(
            status,
            payload.get("output_file_id") or None,
            payload.get("error_file_id") or None,
            sum(count for count in done if isinstance(count, int)),
            self._client.without_key(" ".join(str(first.get("message") or "").split())),
            str(first.get("code") or ""),
        )

    async def _call(
        self, send: Callable[["AsyncOpenAI"], Awaitable[_T]], seconds: float | None = None
    ) -> _T | Fault:
        async def known(sdk: "AsyncOpenAI") -> _T | Fault:
            import openai

            # The caller interprets these; the client would report an unknown model.
            try:
                return await send(sdk)
            except openai.APIStatusError as error:
                if error.status_code not in _ABSENT:
                    raise
                status = error.status_code
            return Fault(f"HTTP {status}", refused=True)

        return await self._client.persist(known, NOTHING, _Free(), timeout_seconds=seconds)


async def _list(sdk: "AsyncOpenAI", after: str) -> dict[str, Any] | None:
    """One page of batches after the one with id `after`, newest first; None if not supported."""
    import openai

    try:
        response = await sdk.batches.with_raw_response.list(limit=_PAGE, after=after or openai.omit)
    except openai.APIStatusError as error:
        if error.status_code not in _ABSENT:
            raise
        return None
    return _object(response.http_response.text)


class _Free:
    """The billing of calls that cost nothing."""

    async def begin(self, worst: Usage) -> None:
        pass

    def failed(self, used: Usage) -> None:
        pass

    def answered(self, reply: Reply) -> None:
        pass


def _object(text: str) -> dict[str, Any]:
    value = strict_json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("this is no JSON object")
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
