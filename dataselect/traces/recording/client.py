"""The client of an OpenAI-compatible server: one prompt in, one reply out.

This module retries requests, not the library, which retries on an empty account and does not
know the other open requests: at a rate limit, every worker waits. Failures on the server's side
are retried a limited number of times and then stop the work, which can be resumed; they never
cost an item.

The key is removed from all server output at once, and no exception of the library leaves this
module, because those contain the request with its headers.

Not here: the questions and the judgement of answers (asked), and the cap (spending).
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from dataselect import strict_json
from dataselect.errors import IncompleteError, InputError
from dataselect.redaction import mask
from dataselect.traces.recording.completion import Form
from dataselect.traces.recording.dialect import Dialect
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.faults import Fault, exhausted_for, status_fault
from dataselect.traces.recording.reply import Reply, read_reply, request_body
from dataselect.traces.recording.spending import NOTHING, Usage, worst_case
from dataselect.units import format_seconds

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_log = logging.getLogger("dataselect")
_T = TypeVar("_T")

_LONG_WAIT_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_ASKED_WAIT_SECONDS = 900.0
_ATTEMPTS_TO_REACH = 3
_JITTER = 0.25
_UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}


class Billing(Protocol):
    """Records every request before it is sent and when it has ended, so that none is lost."""

    async def begin(self, worst: Usage) -> None:
        """Wait until the cost of `worst` fits; raise IncompleteError when it never will."""

    def failed(self, used: Usage) -> None:
        """The last begun request gave no answer; `used` is the most that it may have used."""

    def answered(self, reply: Reply) -> None:
        """The last begun request gave this reply, which is not used before this call."""


class Client:
    """Sends requests to an endpoint; an async context manager, for one event loop.

    `sleep` and `clock` are replaced only in tests. Raises InputError when there is no usable key.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        endpoint.read_key()
        self.endpoint = endpoint
        self._sleep, self._clock = sleep, clock
        self._jitter = random.Random(endpoint.seed)
        self._not_before = -math.inf
        self._stopping = asyncio.Event()
        self._reached = False
        known = {"max_tokens": "max_completion_tokens"} if endpoint.is_openai else {}
        self.dialect = Dialect(endpoint.host, known)
        self._sdk: AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        from openai import AsyncOpenAI

        endpoint = self.endpoint
        self._sdk = AsyncOpenAI(
            api_key=endpoint.read_key(),
            base_url=endpoint.url,
            timeout=endpoint.timeout_seconds,
            max_retries=0,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._sdk is not None
        await self._sdk.close()

    def stop(self) -> None:
        """Let open requests end, wake those that wait for a retry, and begin no others."""
        self._stopping.set()

    def body(
        self, prompt: Sequence[Mapping[str, str]], *, form: Form, max_tokens: int, attempt: int = 0
    ) -> dict[str, Any]:
        """The JSON body of one request, with the parameter names that this server is known to use.

        Each `attempt` at a question has another seed, because the same seed may give the same
        answer.
        """
        endpoint = self.endpoint
        body = request_body(
            endpoint.model, prompt, form=form, max_tokens=max_tokens, seed=endpoint.seed + attempt
        )
        return self.dialect.spoken(body)

    async def ask(
        self,
        prompt: Sequence[Mapping[str, str]],
        *,
        form: Form,
        max_tokens: int,
        billing: Billing,
        attempt: int = 0,
    ) -> Reply:
        """The reply to one prompt; its `problem` is set also when the server refuses the request.

        Raises InputError and IncompleteError for problems that affect every request.
        """
        worst = worst_case(prompt, max_tokens)
        while True:
            body = self.body(prompt, form=form, max_tokens=max_tokens, attempt=attempt)
            answer = await self.persist(partial(self._complete, body), worst, billing)
            if isinstance(answer, Fault):
                used = answer.usage or NOTHING
                if self.dialect.learn(answer.about, body):
                    billing.failed(used)
                    continue
                answer = refusal(answer, used)
            billing.answered(answer)
            return answer

    async def persist(
        self,
        send: Callable[["AsyncOpenAI"], Awaitable[_T]],
        worst: Usage,
        billing: Billing,
        *,
        timeout_seconds: float | None = None,
    ) -> _T | Fault:
        """Call the server by `send`, and retry while the failure may be temporary.

        Returns the result of `send` or the fault of a refused request; the caller must report the
        end of the last request to `billing`. A call ends after `timeout_seconds` (None: the
        endpoint's). Raises InputError and IncompleteError for problems that affect every request.
        """
        failures = 0
        while True:
            await self._wait_for_turn()
            await billing.begin(worst)
            if self._stopping.is_set():
                billing.failed(NOTHING)
                raise IncompleteError(f"{self.endpoint.host}: stopped before the next request")
            answer = await self._attempt(send, timeout_seconds or self.endpoint.timeout_seconds)
            if not isinstance(answer, Fault) or answer.refused:
                return answer
            billing.failed(answer.usage or (worst if answer.maybe_billed else NOTHING))
            failures += 1
            await self._after(answer, failures)

    async def _complete(self, body: Mapping[str, Any], sdk: "AsyncOpenAI") -> Reply:
        response = await sdk.chat.completions.with_raw_response.create(**body)
        self._pause(exhausted_for(response.headers))
        # Not the library's parsing, which accepts a page of HTML as an answer.
        text = response.http_response.text
        return self.read(strict_json.loads(text), text)

    def read(self, payload: object, text: str) -> Reply:
        """The reply in a completion's JSON, received as `text`; without content if it has the key.

        Raises ValueError when it is no completion.
        """
        reply = read_reply(payload)
        # Single tokens do not contain the whole key, so they are joined.
        spelt = "".join(token.text for token in reply.tokens)
        names = (reply.model, reply.fingerprint or "", reply.thinking or "")
        if any(self.without_key(each) != each for each in (text, reply.content, spelt, *names)):
            return Reply("", (), "", None, reply.usage, None, "the answer repeats the key")
        return reply

    def fault_of(self, status: int, headers: Mapping[str, str], text: str) -> Fault:
        """The fault of an HTTP error of this server; `text` is the response body."""
        return status_fault(
            status,
            headers,
            text,
            now=datetime.now(UTC),
            where=self.endpoint.host,
            model=self.endpoint.model,
            without_key=self.without_key,
        )

    def without_key(self, text: str) -> str:
        """`text` with the key, in whatever spelling it contains it, replaced by "[key]"."""
        return mask(text, self.endpoint.read_key())

    async def _attempt(
        self, send: Callable[["AsyncOpenAI"], Awaitable[_T]], limit: float
    ) -> _T | Fault:
        """Call the server once; every failure becomes a fault.

        `send` raises ValueError when the answer cannot be read.
        """
        import openai

        assert self._sdk is not None
        # Faults are returned, and errors raised after the exception has been handled, so that no
        # error of ours has one of the library's in its chain.
        try:
            # The library limits only the time between two bytes, so a slow stream would never end.
            async with asyncio.timeout(limit):
                answer = await send(self._sdk)
            self._reached = True
            return answer
        except (TimeoutError, openai.APITimeoutError) as error:
            sent = type(error.__cause__).__name__ not in _UNSENT
            self._reached |= sent
            return Fault(f"no answer within {format_seconds(limit)}", maybe_billed=sent)
        except openai.APIStatusError as error:
            self._reached = True
            return self.fault_of(error.status_code, error.response.headers, error.response.text)
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__
            message = self.without_key(str(error.__cause__))
            if cause in _UNSENT:
                return Fault(f"it cannot be reached ({message})")
            self._reached = True
            return Fault(f"the connection broke ({message or cause})", maybe_billed=True)
        except (openai.OpenAIError, ValueError):
            self._reached = True
            return Fault("the answer cannot be read", maybe_billed=True)

    async def _after(self, fault: Fault, failures: int) -> None:
        """Wait before the next attempt, or raise the error that ends the work."""
        host = self.endpoint.host
        if fault.error is not None:
            raise fault.error
        if not self._reached and failures >= min(_ATTEMPTS_TO_REACH, self.endpoint.attempts):
            raise InputError(
                host, f"{fault.reason}", "check --base-url, and that the server is running"
            )
        if failures >= self.endpoint.attempts:
            raise IncompleteError(
                f"{host}: {failures} attempts failed, the last with: {fault.reason}; "
                "nothing received is lost, run the same command again"
            )
        wait = fault.wait_seconds
        if wait is None:
            doubled = self.endpoint.first_wait_seconds * 2 ** (failures - 1)
            wait = min(doubled, _LONGEST_WAIT_SECONDS)
        elif wait > _LONGEST_ASKED_WAIT_SECONDS:
            raise IncompleteError(
                f"{host}: it asks to wait {format_seconds(wait)} ({fault.reason}); "
                "nothing received is lost, run the same command again then"
            )
        level = logging.WARNING if wait >= _LONG_WAIT_SECONDS else logging.INFO
        _log.log(level, "%s: %s; waiting %s", host, fault.reason, format_seconds(wait))
        if fault.rate_limited:
            self._pause(wait)
        else:
            await self._wait(wait)

    def _pause(self, seconds: float) -> None:
        self._not_before = max(self._not_before, self._clock() + seconds)

    async def _wait_for_turn(self) -> None:
        while (wait := self._not_before - self._clock()) > 0 and not self._stopping.is_set():
            await self._wait(wait)

    async def _wait(self, seconds: float) -> None:
        # Never less than the server requests, and not all workers at the same moment.
        seconds *= 1 + _JITTER * self._jitter.random()
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()


def refusal(fault: Fault, used: Usage) -> Reply:
    """The reply that records a refused request; no model wrote it."""
    problem = f"the server refused the request ({fault.reason})"
    return Reply("", (), "", None, used, None, problem)
