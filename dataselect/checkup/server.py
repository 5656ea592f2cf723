"""A frontier model's server: whether it answers, and gives the log-probabilities of traces."""

import asyncio
import os
from collections.abc import Iterator

from dataselect.checkup.finding import Finding
from dataselect.errors import DataselectError, InputError
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.probe import MaskedError, probe
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import NOTHING, Usage

_PART = "server"
_TASK = "arithmetic"
_SECONDS = 60.0
_ATTEMPTS = 2


class _Counted:
    """Records what the probe used, as `Billing`."""

    def __init__(self) -> None:
        self.used = NOTHING

    async def begin(self, worst: Usage) -> None:
        """Spend it: a probe is one to five short questions."""

    def failed(self, used: Usage) -> None:
        """Count what may have been used."""
        self.used += used

    def answered(self, reply: Reply) -> None:
        """Count what was used."""
        self.used += reply.usage or NOTHING


def examine_server(base_url: str | None, model: str, key_variable: str) -> Iterator[Finding]:
    """Key and probe of a server; None stands for OpenAI's. Asks up to five short questions."""
    try:
        endpoint = Endpoint(
            model, base_url, key_variable, timeout_seconds=_SECONDS, attempts=_ATTEMPTS
        )
        endpoint.read_key()
    except InputError as error:
        yield Finding(
            _PART, "key and address", "problem", f"{error.where}: {error.problem}", error.fix
        )
        return
    given = bool(os.environ.get(key_variable, "").strip())
    text = f"{key_variable} holds a key; it is not shown" if given else f"{key_variable} is not set"
    yield Finding(_PART, "key", "ok", text if given else f"{text}; some servers need none")
    yield _probed(endpoint)


def _probed(endpoint: Endpoint) -> Finding:
    counted = _Counted()

    async def ask() -> Reply:
        async with Client(endpoint) as client:
            return await probe(client, _TASK, "json", counted)

    check = endpoint.host
    try:
        reply = asyncio.run(ask())
    except MaskedError as error:
        text = f"it answers with log-probabilities, but {error}"
        fix = "nothing: `traces build` asks for plain text there (--form plain)"
        return Finding(_PART, check, "note", text, fix)
    except InputError as error:
        return Finding(_PART, check, "problem", error.problem, error.fix)
    except DataselectError as error:
        fix = "try again later, or check the server"
        return Finding(_PART, check, "problem", str(error), fix)
    tokens = counted.used.prompt_tokens + counted.used.completion_tokens
    text = (
        f"{reply.model or endpoint.model} answers with the log-probabilities that traces need; "
        f"the probe took {tokens} tokens"
    )
    return Finding(_PART, check, "ok", text)
