"""Test with one or two cheap requests whether a server returns what traces need.

Servers drop log-probabilities silently, answer with another model than the named one, or report
tokens that do not spell their text. A single answer to a trivial question shows all of this. It
may be as long as those to the items, so a context that is too short for them is found too.

Some servers (vLLM) report the probabilities after a JSON grammar has masked the other tokens. Such
a mask can only raise a probability. So where the answer begins with a likely token, the same
question is asked once more without JSON mode, and the probabilities are compared up to the first
other token. A model that writes JSON by itself shows no mask there, so it is then asked for a word
and not for JSON, with JSON mode and without: a grammar forces a first token on it, and only a mask
makes that token likely. With a mask another form of answer is asked for (`build`), or JSON mode is
left out, because the prompt asks for JSON anyway.
"""

import logging
import math
from collections.abc import Sequence

from dataselect.errors import InputError
from dataselect.traces.alignment import (
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
    probability,
)
from dataselect.traces.answer_tokens import answer_tokens
from dataselect.traces.recording.client import Billing, Client
from dataselect.traces.recording.completion import (
    Form,
    MalformedAnswerError,
    Part,
    messages,
    read_completion,
)
from dataselect.traces.recording.dialect import WEIGH, fix_for, other_form
from dataselect.traces.recording.reply import NO_LOGPROBS, Reply
from dataselect.traces.thinking import thinking_letters

_log = logging.getLogger("dataselect")

_QUESTION = "Ann has 17 apples and gives 5 of them to Ben. How many has Ann left, and why?"
_NO_JSON = "Respond with one word in plain text, not with JSON."
_FEW_TOKENS = 8
_MAX_TOKENS = 256
_CERTAIN = 1 - 1e-6
# A grammar allows few first tokens, so the likeliest of them has most of the probability.
_MAYBE_FORCED = 0.5
_RAISED = 0.05
_TEXT_FIX = (
    "have the server give the text of each token (vLLM: start it without "
    "--return-tokens-as-token-ids), or let a local model weigh the reasoning with "
    "'dataselect traces weigh'"
)


class MaskedError(Exception):
    """JSON mode changes probabilities; the message says which, `free` is the reply without it."""

    def __init__(self, problem: str, free: Reply) -> None:
        super().__init__(problem)
        self.free = free


async def probe(
    client: Client,
    task: str,
    form: Form,
    billing: Billing,
    *,
    max_tokens: int = _MAX_TOKENS,
    part: Part = "answer",
) -> Reply:
    """The reply to the trivial question, which names the answering model and its fingerprint.

    The client then knows which parameters the server does not take. Raises InputError when
    log-probabilities are missing or all about 0, when the tokens do not match the text, when there
    is none of the `part` that is wanted, and when there is no answer in two attempts; and
    MaskedError when JSON mode changes probabilities.
    """
    host = client.endpoint.host
    prompt = messages(_QUESTION, task, form)
    for attempt in (0, 1):
        reply = await client.ask(
            prompt, form=form, max_tokens=max_tokens, billing=billing, attempt=attempt
        )
        # An answer that was cut short is enough for the checks.
        if reply.content.strip():
            _check(host, reply, form)
            if _in_json_mode(client, form) and _first_probability(reply.tokens) > _MAYBE_FORCED:
                # The form decides only about JSON mode here; the question is the same.
                free = await client.ask(
                    prompt, form="plain", max_tokens=max_tokens, billing=billing, attempt=attempt
                )
                _refuse_mask(reply, free, free)
                await _force_json(client, task, billing, free)
            if part == "thinking" and reply.problem is None:
                _check_thinking(host, reply)
            _warn(host, reply, form)
            return reply
    reason = reply.problem or "no answer"
    fix = fix_for(reason) or f"add {other_form(form)}, or name another model"
    raise InputError(host, f"it gives no answer to a trivial question ({reason})", fix)


def _in_json_mode(client: Client, form: Form) -> bool:
    return form == "json" and "response_format" not in client.dialect.known


async def _force_json(client: Client, task: str, billing: Billing, unforced: Reply) -> None:
    """Raise MaskedError where JSON mode makes a token likely that the model does not want.

    `unforced` is the answer to the question without JSON mode.
    """
    prompt = messages(_QUESTION, task, "plain")
    # OpenAI takes JSON mode only for prompts with this word.
    prompt[1] = {**prompt[1], "content": f"{_QUESTION}\n\n{_NO_JSON}"}
    forced = await client.ask(prompt, form="json", max_tokens=_FEW_TOKENS, billing=billing)
    if not forced.tokens or not _in_json_mode(client, "json"):
        return
    free = await client.ask(prompt, form="plain", max_tokens=_FEW_TOKENS, billing=billing)
    if free.tokens:
        _refuse_mask(forced, free, unforced)


def _refuse_mask(forced: Reply, free: Reply, unforced: Reply) -> None:
    """Raise MaskedError where the probabilities of two replies to one prompt show a mask."""
    if (raised := _raised_by_mask(forced.tokens, free.tokens)) is not None:
        text, masked, own = raised
        shown = f"{text!r} has {masked:.2g} with it, {own} without"
        raise MaskedError(f"JSON mode changes probabilities ({shown})", unforced)


def _check(host: str, reply: Reply, form: Form) -> None:
    if not reply.tokens:
        problem = reply.problem or ""
        detail = problem.removeprefix(NO_LOGPROBS) if problem.startswith(NO_LOGPROBS) else ""
        raise InputError(host, f"its answers come without log-probabilities{detail}", WEIGH)
    try:
        own = answer_tokens(reply.content, reply.tokens)
        letters = completion_letter_probabilities(reply.content, own.tokens)
    except AlignmentError as error:
        problem = f"its tokens do not fit the text of its answer ({error})"
        fix = _TEXT_FIX if "not their text" in str(error) else WEIGH
        raise InputError(host, problem, fix) from None
    first, last = _reasoning(reply.content, form)
    if not (letters[first:last] < _CERTAIN).any():
        raise InputError(
            host, "its log-probabilities are all 0 or missing, so it does not give any", WEIGH
        )


def _reasoning(content: str, form: Form) -> tuple[int, int]:
    """Where the reasoning is in the answer; all of it in an answer of another form."""
    try:
        spans = read_completion(content, form).letters
    except MalformedAnswerError:
        return 0, len(content)
    return spans[0][0], spans[-1][1]


def _first_probability(tokens: Sequence[ServerToken]) -> float:
    first = next((token for token in tokens if token.text.strip()), tokens[0])
    return _known(first)


def _known(token: ServerToken) -> float:
    p = probability(token)
    return 0.0 if math.isnan(p) else p


def _check_thinking(host: str, reply: Reply) -> None:
    own = answer_tokens(reply.content, reply.tokens)
    fix = "leave --part thinking out, or name a model and server that show it"
    if not own.hidden:
        raise InputError(host, "its tokens hold no thinking before the answer", fix)
    try:
        thinking_letters(reply.thinking, own.before)
    except AlignmentError as error:
        raise InputError(host, str(error), fix) from None


def without_json_mode(client: Client, masked: MaskedError) -> Reply:
    """The reply that was given without JSON mode, which is left out from now on.

    Raises InputError where the model does not answer in JSON by itself.
    """
    try:
        read_completion(masked.free.content, "json")
    except MalformedAnswerError:
        raise InputError(
            client.endpoint.host,
            f"{masked}, because a grammar masks other tokens, and without it the model gives "
            "no JSON",
            "add --form plain, which needs no grammar",
        ) from None
    client.dialect.leave_out("response_format", f"{masked}")
    return masked.free


def _raised_by_mask(
    forced: Sequence[ServerToken], free: Sequence[ServerToken]
) -> tuple[str, float, str] | None:
    """The token whose probability a mask raised most, with it and the model's own; else None.

    Up to the first other token both have the same text before them. There the free answer has the
    likeliest token, so no other one can be likelier by the model's own probabilities.
    """
    raised: tuple[float, str, float, str] = (0.0, "", 0.0, "")
    lowered = 0.0
    for ours, theirs in zip(forced, free, strict=False):
        p, q = _known(ours), _known(theirs)
        same = (ours.text, ours.data) == (theirs.text, theirs.data)
        own = f"{q:.2g}" if same else f"at most {q:.2g}"
        raised = max(raised, (p - q, ours.text, p, own))
        if not same:
            break
        lowered = max(lowered, q - p)
    # Servers are not exact, but then probabilities fall as often as they rise.
    if raised[0] <= max(_RAISED, 2 * lowered):
        return None
    return raised[1:]


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
