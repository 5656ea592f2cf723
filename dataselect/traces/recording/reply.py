"""The request body and the reply of one chat completion.

Both are plain JSON values rather than a library's objects, because single requests and batch
files use the same ones, and because compatible servers omit or null fields that the library's
types require.

Not here: sending (client), and whether an answer has the requested form (completion).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from dataselect.traces.alignment import ServerToken
from dataselect.traces.recording.completion import Form
from dataselect.traces.recording.spending import Usage
from dataselect.traces.thinking import split_thinking

NO_LOGPROBS = "the answer came without log-probabilities"
"""How the problem of an answer begins that has none, or none that can be read."""

CUT = "the answer was cut at the token limit (--max-tokens)"
"""The problem of an answer that its server cut."""

_OLDER = "the older form of /v1/completions, 'tokens' and 'token_logprobs'"
_LONGEST_REASON = 160
_LONGEST_VALUE = 30
# What reasoning parsers call the thinking that they take out of the answer.
_THINKING = ("reasoning_content", "reasoning")


@dataclass(frozen=True)
class Reply:
    """The server's answer to one request."""

    content: str
    """The answer's text, without thinking."""

    tokens: tuple[ServerToken, ...]
    """Its tokens with log-probabilities, those of hidden thinking among them; empty when the server
    gave none."""

    model: str
    """The model that answered; "" when the server does not name it."""

    fingerprint: str | None
    """The server's `system_fingerprint`; None without one."""

    usage: Usage | None
    """The billed tokens; None when the server does not report them."""

    finish_reason: str | None
    """Why generation ended; None when the server does not report it."""

    problem: str | None = None
    """Why this cannot be a trace, whatever its content (refused, filtered, cut short, empty or
    without log-probabilities); None if it can."""

    thinking: str | None = None
    """What a reasoning model thought before its answer, as the server shows it; None when it shows
    none, though `tokens` may hold some."""


def request_body(
    model: str, messages: Sequence[Mapping[str, str]], *, form: Form, max_tokens: int, seed: int
) -> dict[str, Any]:
    """The body of a greedy request with log-probabilities, for any compatible server."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [dict(message) for message in messages],
        "temperature": 0,
        "max_tokens": max_tokens,
        "seed": seed,
        "logprobs": True,
        # Some servers give no log-probabilities at all with 0.
        "top_logprobs": 1,
    }
    if form == "json":
        body["response_format"] = {"type": "json_object"}
    return body


def read_reply(payload: object) -> Reply:
    """The reply in a chat completion's JSON. Raises ValueError when it is not one."""
    if not isinstance(payload, dict) or "choices" not in payload:
        raise ValueError("the server's answer is not a chat completion")
    choices = payload["choices"]
    choice: Mapping[str, Any] = {}
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        choice = choices[0]
    message = _mapping(choice.get("message"))
    content = message.get("content")
    content = content if isinstance(content, str) else ""
    apart = next((text for key in _THINKING if (text := _text(message.get(key)))), None)
    thinking = apart
    if apart is None:
        thinking, content = split_thinking(content)
    finish_reason = _text(choice.get("finish_reason"))
    tokens: tuple[ServerToken, ...] = ()
    unread = ""
    try:
        tokens = _tokens(_mapping(choice.get("logprobs")))
    except _UnreadableError as error:
        unread = f" that can be read ({error})"
    problem = None
    if not choice:
        problem = "the answer holds no choice"
    elif refusal := _text(message.get("refusal")):
        problem = f"the model refused: {' '.join(refusal.split())[:_LONGEST_REASON]}"
    elif finish_reason == "content_filter":
        problem = "the server's content filter stopped the answer"
    elif finish_reason == "length":
        problem = CUT
    elif not content.strip():
        problem = "the answer is empty"
        if apart is not None:
            problem += ", all of the text came as hidden reasoning"
        elif thinking is not None:
            problem += ", all of the text is thinking"
    elif not tokens:
        problem = f"{NO_LOGPROBS}{unread}"
    return Reply(
        content,
        tokens,
        _text(payload.get("model")) or "",
        _text(payload.get("system_fingerprint")),
        _usage(payload.get("usage")),
        finish_reason,
        problem,
        thinking,
    )


def usage_of(payload: object) -> Usage | None:
    """The usage in an answer or error body; None without one."""
    return _usage(_mapping(payload).get("usage"))


def _usage(value: object) -> Usage | None:
    usage = _mapping(value)
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    return Usage(prompt, completion) if _is_count(prompt) and _is_count(completion) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class _UnreadableError(ValueError):
    """The log-probabilities have a form that is not known; the message says what is wrong."""


def _tokens(logprobs: Mapping[str, Any]) -> tuple[ServerToken, ...]:
    """The tokens of a choice's `logprobs`; empty without any. Raises _UnreadableError."""
    entries = logprobs.get("content")
    if isinstance(entries, list):
        return tuple(map(_token, entries)) if any(map(_mapping, entries)) else ()
    # Some servers use it for chats too.
    texts, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if texts is None and values is None:
        if given := sorted(name for name, value in logprobs.items() if value):
            raise _UnreadableError(f"their form, with {_brief(given)}, is not known")
        return ()
    if not isinstance(texts, list) or not isinstance(values, list):
        raise _UnreadableError(f"they have {_OLDER}, and one of these is no list")
    if len(texts) != len(values):
        raise _UnreadableError(
            f"they have {_OLDER}, and {len(texts)} tokens have {len(values)} log-probabilities"
        )
    try:
        return tuple(
            _token({"token": text, "logprob": value})
            for text, value in zip(texts, values, strict=True)
        )
    except _UnreadableError as error:
        raise _UnreadableError(f"they have {_OLDER}, and {error}") from None


def _token(entry: object) -> ServerToken:
    token = _mapping(entry)
    text, logprob, data = token.get("token"), token.get("logprob"), token.get("bytes")
    if not isinstance(text, str):
        raise _UnreadableError(f"a token is not text but {_brief(text)}")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float | None):
        raise _UnreadableError(f"a log-probability is not a number but {_brief(logprob)}")
    try:
        raw = bytes(data) if isinstance(data, list) else None
    except (TypeError, ValueError):
        raise _UnreadableError(f"the bytes of a token are {_brief(data)}") from None
    return ServerToken(text, raw, logprob)


def _brief(value: object) -> str:
    return json.dumps(value)[:_LONGEST_VALUE]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
