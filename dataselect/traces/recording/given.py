"""Log-probabilities of a given text from a completions server: requests, replies, and a probe.

Token ids are sent, so that the server splits nothing itself and adds nothing. Servers give
log-probabilities of what they were sent in two ways:

    prompt_logprobs   vLLM: an entry for each token of the prompt
    echo              the older completions API: the prompt comes back as if it had been generated

Neither can be trusted unseen. Some servers drop the parameter silently, some read other tokens
than those that were sent, and llama-cpp-python's echoed values belong to the token beside. So a
probe has the server generate a few tokens first, which it reports with their log-probabilities,
and then gives it the same tokens back: the values have to agree, and must not agree as well with
those of the neighbouring tokens.

Not here: which texts are weighed, and what becomes of the values (`scoring.served_frontier`).
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from dataselect import strict_json
from dataselect.errors import InputError
from dataselect.traces.alignment import ServerToken
from dataselect.traces.recording.client import Billing, Client, refusal
from dataselect.traces.recording.faults import Fault
from dataselect.traces.recording.reply import Reply, usage_of
from dataselect.traces.recording.spending import NOTHING, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Way = Literal["prompt_logprobs", "echo"]
"""How a server is asked for log-probabilities of a given text."""
WAYS: tuple[Way, ...] = ("prompt_logprobs", "echo")

LOCALLY = "weigh with a local model instead: leave --base-url out"
"""What to do where a server cannot weigh."""

TOLERANCE = 0.05
"""Nats by which a token's log-probability may differ between the probe's two readings. Servers
compute in half precision, and not the same way when they generate and when they read."""

_PROBES = (
    "Ann has 17 apples and gives 5 of them to Ben. How many has Ann left, and why?",
    "In the year 1850 the harbour of this town was",
    "def area(width, height):\n    return",
)
_PROBE_TOKENS = 12
# Two readings and the rows beside them need so many.
_FEWEST = 4
_SHOWN = 40
_TOKEN_ID = re.compile(r"token_id:(\d+)")
# Standard parameters of the library; others go into its `extra_body`.
_STANDARD = {"model", "prompt", "max_tokens", "temperature", "logprobs", "echo"}

Encode = Callable[[str], Sequence[int]]
"""Token ids of a text alone, without special tokens."""


@dataclass(frozen=True)
class Probed:
    """What the probe found."""

    way: Way
    """How the server is to be asked."""

    difference: float
    """Largest difference between the two readings, in nats."""


def request(model: str, ids: Sequence[int], way: Way) -> dict[str, Any]:
    """The body of a request for the log-probabilities of `ids`."""
    body: dict[str, Any] = {"model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0}
    if way == "prompt_logprobs":
        return body | {"prompt_logprobs": 0}
    # Some servers give nothing at all with 0 in `logprobs`.
    return body | {"echo": True, "logprobs": 1}


def read(payload: object, ids: Sequence[int], way: Way) -> tuple[float, ...]:
    """The log-probability of each of `ids` but the first, from the answer to `request`.

    Raises ValueError, with what is wrong with them.
    """
    choice = _choice(payload)
    if way == "prompt_logprobs":
        entries = choice.get("prompt_logprobs")
        if not isinstance(entries, list):
            raise ValueError("it answers without prompt_logprobs")
        values = [_of_entry(entry, token) for entry, token in zip(entries, ids, strict=False)]
    else:
        logprobs = choice.get("logprobs")
        entries = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
        if not isinstance(entries, list):
            raise ValueError("it does not echo log-probabilities")
        # What is generated follows the echo.
        entries = entries[: len(ids)] if len(entries) == len(ids) + 1 else entries
        values = [entry if _is_number(entry) else None for entry in entries]
    if len(entries) != len(ids):
        raise ValueError(f"it read {len(entries)} tokens where {len(ids)} were sent")
    missing = sum(value is None for value in values[1:])
    if missing:
        raise ValueError(f"it gives no log-probability for {missing} of {len(ids)} tokens")
    return tuple(float(value) for value in values[1:] if value is not None)


async def weigh(
    client: Client, text: str, ids: Sequence[int], first: int, way: Way, billing: Billing
) -> Reply:
    """Ask for the log-probabilities of `ids[first:]`, the tokens of `text`.

    The reply has a token for each of them, its text the id. Its `problem` is set where the server
    refuses the request or gives no such values. Raises InputError and IncompleteError for problems
    that affect every request.
    """
    answer = await _send(client, request(client.endpoint.model, ids, way), len(ids), billing)
    if isinstance(answer, Fault):
        reply = refusal(answer, answer.usage or NOTHING)
    else:
        reply = _reply(client, answer, text)
        try:
            values = read(answer, ids, way)[first - 1 :]
            named = map(str, ids[first:])
            tokens = tuple(ServerToken(n, None, v) for n, v in zip(named, values, strict=True))
            reply = replace(reply, tokens=tokens)
        except ValueError as error:
            reply = replace(reply, problem=str(error))
    billing.answered(reply)
    return reply


async def probe(client: Client, encode: Encode, billing: Billing) -> Probed:
    """How the server can be asked. Raises InputError where it cannot be, with the reason."""
    reasons: dict[Way, str] = {}
    for text in _PROBES:
        ids, generated, values = await _generated(client, text, encode, billing)
        told = True
        for way in WAYS:
            body = request(client.endpoint.model, [*ids, *generated], way)
            answer = await _send(client, body, len(ids) + len(generated), billing)
            if isinstance(answer, Fault):
                billing.answered(refusal(answer, answer.usage or NOTHING))
                reasons[way] = answer.reason
                continue
            billing.answered(_reply(client, answer, text))
            try:
                given = read(answer, [*ids, *generated], way)
            except ValueError as error:
                reasons[way] = str(error)
                continue
            _check_text(client.endpoint.host, answer, text, way)
            found = _compared(values, given, len(ids) - 1)
            if isinstance(found, float):
                return Probed(way, found)
            told = told and found is not None
            reasons[way] = found or "its values cannot be told from their neighbours'"
        if told:
            break
    listed = "; ".join(f"{way}: {reason}" for way, reason in reasons.items())
    raise InputError(
        client.endpoint.host, f"it gives no usable log-probabilities of a text ({listed})", LOCALLY
    )


def _check_text(host: str, payload: object, text: str, way: Way) -> None:
    """Raise InputError where a server says that it read another text than was meant.

    Ids are valid for any tokenizer; only their texts show whose they are.
    """
    choice = _choice(payload)
    seen = choice.get("text") if way == "echo" else _decoded(choice.get("prompt_logprobs"))
    if not isinstance(seen, str):
        return
    # Decoders differ in spaces, and the first token has no entry.
    theirs, ours = "".join(seen.split()), "".join(text.split())
    if not any(theirs.startswith(ours[start:]) for start in range(len(ours) // 2)):
        raise InputError(
            host,
            f"it reads another text than the tokenizer's ({seen[:_SHOWN]!r} for {text[:_SHOWN]!r})",
            "name the model's own --tokenizer",
        )


def _decoded(entries: object) -> str | None:
    """The text that vLLM gives beside its entries; None where one has none."""
    if not isinstance(entries, list):
        return None
    pieces = []
    for entry in entries[1:]:
        found = next(iter(entry.values()), None) if isinstance(entry, dict) else None
        pieces.append(found.get("decoded_token") if isinstance(found, dict) else None)
    return None if None in pieces else "".join(map(str, pieces))


def _compared(values: Sequence[float], given: Sequence[float], first: int) -> float | str | None:
    """The largest difference of two readings; or why they disagree; or None where rows beside
    agree as well, so that nothing is shown.

    `given[first]` is the reading of the token that `values` begins with.
    """
    own = _difference(values, given[first:])
    beside = {shift: _difference(values[1:-1], given[first + 1 + shift :]) for shift in (-1, 1)}
    if own <= TOLERANCE:
        return own if min(beside.values()) > TOLERANCE else None
    if min(beside.values()) <= TOLERANCE:
        return "its values are one row off, those of the token beside"
    return f"a generated token's value differs by {own:.3g} nats when the token is given back"


def _difference(values: Sequence[float], given: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(values, given, strict=False))


async def _generated(
    client: Client, text: str, encode: Encode, billing: Billing
) -> tuple[list[int], list[int], list[float]]:
    """Tokens of a probe's text, those that the server writes after it, and their values."""
    host, ids = client.endpoint.host, list(encode(text))
    body: dict[str, Any] = {
        "model": client.endpoint.model,
        "prompt": ids,
        "max_tokens": _PROBE_TOKENS,
        "temperature": 0,
        "logprobs": 1,
        "return_tokens_as_token_ids": True,
    }
    answer = await _send(client, body, len(ids), billing)
    if isinstance(answer, Fault):
        # Only vLLM knows this parameter; the others may refuse it.
        billing.failed(answer.usage or NOTHING)
        del body["return_tokens_as_token_ids"]
        answer = await _send(client, body, len(ids), billing)
    if isinstance(answer, Fault):
        billing.answered(refusal(answer, answer.usage or NOTHING))
        raise InputError(
            host, f"it takes no token ids as a completion's prompt ({answer.reason})", LOCALLY
        )
    billing.answered(_reply(client, answer, text))
    choice = _choice(answer)
    logprobs = choice.get("logprobs")
    logprobs = logprobs if isinstance(logprobs, dict) else {}
    names, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(names, list) or not isinstance(values, list) or len(names) < _FEWEST:
        raise InputError(host, "its completions come without log-probabilities", LOCALLY)
    generated = _ids_of(names, text, ids, encode)
    if len(generated) < _FEWEST:
        raise InputError(
            host, "its generated tokens are not those of the tokenizer", "name its --tokenizer"
        )
    if not all(map(_is_number, values)):
        raise InputError(host, "its log-probabilities are no numbers", LOCALLY)
    return ids, generated, [float(value) for value in values[: len(generated)]]


def _ids_of(names: Sequence[object], text: str, ids: Sequence[int], encode: Encode) -> list[int]:
    """Ids of generated tokens, as many as are certain: by number, else by their texts."""
    numbers = [_TOKEN_ID.fullmatch(str(name)) for name in names]
    if all(numbers):
        return [int(number[1]) for number in numbers if number is not None]
    for count in range(len(names), _FEWEST - 1, -1):
        found = list(encode(text + "".join(map(str, names[:count]))))
        if found[: len(ids)] == list(ids) and len(found) == len(ids) + count:
            return found[len(ids) :]
    return []


async def _send(
    client: Client, body: Mapping[str, Any], tokens: int, billing: Billing
) -> Mapping[str, Any] | Fault:
    """The JSON of an answer, or the fault of a refused request; retried as `Client.persist` does.

    The caller reports the end of the last request to `billing`.
    """

    async def send(sdk: "AsyncOpenAI") -> Mapping[str, Any]:
        standard = {name: value for name, value in body.items() if name in _STANDARD}
        extra = {name: value for name, value in body.items() if name not in _STANDARD}
        response = await sdk.completions.with_raw_response.create(**standard, extra_body=extra)
        payload = strict_json.loads(response.http_response.text)
        _choice(payload)
        return dict(payload)

    return await client.persist(partial(send), Usage(tokens, int(body["max_tokens"])), billing)


def _reply(client: Client, payload: Mapping[str, Any], text: str) -> Reply:
    """What the journal and the trace file keep of an answer: never the key."""
    model, fingerprint = payload.get("model"), payload.get("system_fingerprint")
    return Reply(
        text,
        (),
        client.without_key(model) if isinstance(model, str) else "",
        client.without_key(fingerprint) if isinstance(fingerprint, str) else None,
        usage_of(payload),
        None,
    )


def _choice(payload: object) -> Mapping[str, Any]:
    choices = payload.get("choices") if isinstance(payload, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError("the server's answer is no completion")
    return choices[0]


def _of_entry(entry: object, token: int) -> float | None:
    """The value of a token in an entry of prompt_logprobs, which is by token id."""
    found = entry.get(str(token)) if isinstance(entry, dict) else None
    value = found.get("logprob") if isinstance(found, dict) else found
    return value if _is_number(value) else None


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not math.isnan(value)
