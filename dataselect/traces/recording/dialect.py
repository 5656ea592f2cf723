"""What a server does not take of a request, and what is sent instead.

Compatible servers refuse parameters by name: LM Studio knows no `response_format: json_object`,
newer models of OpenAI want `max_completion_tokens`, others take no `seed`. Where leaving a
parameter out or renaming it keeps the meaning of a request, that is done, once for all requests,
and noted in the trace file. Where it would change the meaning, the server is refused by the
parameter's name: without `temperature: 0` an answer is sampled, and the probabilities are those of
a sampled text; without `logprobs` there are none.

Not here: sending (client), and the probe, which meets most refusals first.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_log = logging.getLogger("dataselect")

_LEFT_OUT: Mapping[str, str] = {
    "response_format": r"response_format|json_object|json_schema|json[ _-]mode",
    "seed": r"seed",
    "top_logprobs": r"top_logprobs",
}
"""Parameters that can be left out, each with what a refusal calls it. The prompt asks for JSON in
words, the seed of a greedy answer matters little, and the probe shows whether log-probabilities
come without `top_logprobs`."""

_RENAMED = {"max_tokens": "max_completion_tokens"}

_UNKNOWN = re.compile(
    r"unsupported|not supported|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|extra"
    r"|deprecated|instead",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context[ _](?:length|size|window)|too (?:large|long|many tokens)|max_model_len|at most \d+"
    r"|maximum (?:context|number of tokens|allowed)|exceeds?\b",
    re.IGNORECASE,
)

WEIGH = (
    "use another model or server, or let a local model weigh the reasoning with "
    "'dataselect traces weigh'"
)
"""What to do where a server gives no usable log-probabilities."""

_FIXES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile("as hidden reasoning"),
        "start the server without its reasoning parser, or name another model",
    ),
    (re.compile("no thinking before"), "leave --part thinking out, or name a reasoning model"),
    (re.compile("context is full"), "start the server with a longer context"),
    (re.compile("cut at the token limit"), "raise --max-tokens"),
    (
        re.compile("single backslashes"),
        "add --form plain, whose text needs no escapes, or --repair-latex",
    ),
    (
        re.compile(r"\btemperature\b", re.IGNORECASE),
        "name a model that takes temperature 0: with another one the answer is sampled, and its "
        "probabilities are not those of the most likely text",
    ),
    (_TOO_LONG, "lower --max-tokens, or start the server with a longer context"),
    (
        re.compile(_LEFT_OUT["response_format"], re.IGNORECASE),
        "add --form plain, which asks for text instead of JSON",
    ),
    (
        re.compile(r"system (?:role|message|prompt)|role.{0,20}system", re.IGNORECASE),
        "use a model or chat template that takes a system message, as the paper's prompt has one",
    ),
    (re.compile(r"(?<!top_)logprobs", re.IGNORECASE), WEIGH),
)


class Dialect:
    """What one server takes: parameter names to what is sent instead, None for nothing.

    `host` names the server in warnings. `learnt` is called with all that is known whenever a
    refusal adds to it.
    """

    def __init__(self, host: str, known: Mapping[str, str | None]) -> None:
        self._host, self._known = host, dict(known)
        self.learnt: Callable[[Mapping[str, str | None]], None] = lambda _: None

    @property
    def known(self) -> Mapping[str, str | None]:
        """What is sent in place of each parameter that the server does not take."""
        return dict(self._known)

    def restore(self, known: Mapping[str, str | None]) -> None:
        """Add what was learnt before."""
        self._known.update(known)

    def leave_out(self, name: str, why: str) -> None:
        """Send no parameter `name` from now on; `why` is for the user."""
        self._give_up(name, None, why)

    def _give_up(self, name: str, other: str | None, why: str) -> None:
        if name in self._known:
            return
        self._known[name] = other
        self.learnt(self.known)
        if other is None:
            _log.warning("%s: %s, so requests are sent without it", self._host, why)

    def spoken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request as this server takes it."""
        spoken = dict(body)
        for name, other in self._known.items():
            if name in spoken:
                value = spoken.pop(name)
                if other is not None:
                    spoken[other] = value
        return spoken

    def learn(self, about: str, sent: Mapping[str, Any] | None = None) -> bool:
        """Whether a refusal names a parameter of its request that is not sent from now on.

        `about` is all that the server says, `sent` the body that it refused; without one, any
        parameter may have been in it. A parameter that was given up before counts again, because
        requests under way had it.
        """
        for name, other in self._given_up_for(about):
            if sent is not None and name not in sent:
                continue
            self._give_up(name, other, f"it does not take '{name}' as sent")
            return True
        return False

    def _given_up_for(self, about: str) -> Iterator[tuple[str, str | None]]:
        for name, words in _LEFT_OUT.items():
            if re.search(rf"(?<![a-z_])(?:{words})(?![a-z])", about, re.IGNORECASE):
                yield name, None
        for name, other in _RENAMED.items():
            # A server that takes the name may still find the number too large.
            too_large = _TOO_LONG.search(about) and other not in about
            if re.search(rf"\b{name}\b", about) and _UNKNOWN.search(about) and not too_large:
                yield name, other


def other_form(form: str) -> str:
    """The option that asks for another form of answer than `form`."""
    return "--form plain" if form == "json" else "--form json"


def left_out(known: Mapping[str, str | None]) -> list[str]:
    """The parameters that are not sent at all."""
    return sorted(name for name, other in known.items() if other is None)


def fix_for(reason: str) -> str | None:
    """What to do about a refusal or an unusable answer; None when its reason tells nothing."""
    return next((fix for pattern, fix in _FIXES if pattern.search(reason)), None)
