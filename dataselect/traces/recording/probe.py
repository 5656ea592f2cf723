"""Test with one cheap request whether a server returns what traces need.

Servers drop log-probabilities silently, answer with another model than the named one, or report
tokens that do not spell their text. A single answer to a trivial question shows all of this.
"""

import logging

from dataselect.errors import InputError
from dataselect.traces.alignment import AlignmentError, completion_letter_probabilities
from dataselect.traces.recording.client import Billing, Client
from dataselect.traces.recording.completion import (
    Form,
    MalformedAnswerError,
    messages,
    read_completion,
)
from dataselect.traces.recording.reply import Reply

_log = logging.getLogger("dataselect")

_QUESTION = "Ann has 17 apples and gives 5 of them to Ben. How many has Ann left, and why?"
_MAX_TOKENS = 256
_CERTAIN = 1 - 1e-6
_WEIGH = (
    "use another model or server, or let a local model weigh the reasoning with "
    "'dataselect traces weigh'"
)


async def probe(client: Client, task: str, form: Form, billing: Billing) -> Reply:
    """The reply to the trivial question, which names the answering model and its fingerprint.

    Raises InputError when log-probabilities are missing or all about 0, when the tokens do not
    match the text, and when there is no answer in two attempts.
    """
    host = client.endpoint.host
    prompt = messages(_QUESTION, task, form)
    for attempt in (0, 1):
        reply = await client.ask(
            prompt, form=form, max_tokens=_MAX_TOKENS, billing=billing, attempt=attempt
        )
        # An answer that was cut short is enough for the checks.
        if reply.content.strip():
            _check(host, reply)
            _warn(host, reply, form)
            return reply
    reason = reply.problem or "no answer"
    fix = _WEIGH if "logprobs" in reason else "name another model, or another form of answer"
    raise InputError(host, f"it gives no answer to a trivial question ({reason})", fix)


def _check(host: str, reply: Reply) -> None:
    if not reply.tokens:
        raise InputError(host, "its answers come without log-probabilities", _WEIGH)
    try:
        letters = completion_letter_probabilities(reply.content, reply.tokens)
    except AlignmentError as error:
        problem = f"its tokens do not fit the text of its answer ({error})"
        raise InputError(host, problem, _WEIGH) from None
    if not (letters < _CERTAIN).any():
        raise InputError(
            host, "its log-probabilities are all 0 or missing, so it does not give any", _WEIGH
        )


def _warn(host: str, reply: Reply, form: Form) -> None:
    if reply.problem is not None:
        return
    try:
        read_completion(reply.content, form)
    except MalformedAnswerError as error:
        _log.warning(
            "%s: its answer to a trivial question does not have the requested form (%s); items "
            "with such answers will be left out",
            host,
            error,
        )
