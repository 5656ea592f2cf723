"""Classify a failed request: wait and retry, exclude the item, or stop.

Temporary problems of a server (rate limits, server errors, broken connections) must not cost an
item; a wrong key, an unknown model or an empty account must not be retried. The status code alone
does not distinguish them: OpenAI answers 429 both to rate limits and to an account without money.

Error texts can repeat the key, so it is removed here, after escapes are decoded and before the
text is shortened.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from dataselect import strict_json
from dataselect.errors import DataselectError, IncompleteError, InputError
from dataselect.traces.recording.reply import usage_of
from dataselect.traces.recording.spending import Usage

_TRANSIENT = {408, 409, 425, 429}
# Gateway timeouts: the model behind the gateway may still have answered, and billed.
_MAYBE_BILLED = {408, 502, 504, 520, 522, 524}
_NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_LONGEST_REASON = 200
# Small servers answer so where larger ones answer 400.
_NOT_KNOWN = re.compile(
    r"not (?:yet )?(?:supported|implemented)|unsupported|NotImplemented|unexpected keyword"
    r"|unmapped prompt",
    re.IGNORECASE,
)
_RESET = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Fault:
    """A request without an answer; it may be retried unless `error` or `refused` is set."""

    reason: str
    """What went wrong, for messages; without the key."""

    error: DataselectError | None = None
    """The error that ends the work, because every further request would fail too."""

    refused: bool = False
    """Whether the server rejects this request; others may succeed."""

    wait_seconds: float | None = None
    """The wait before a retry that the server requests; None if it requests none."""

    rate_limited: bool = False
    """Whether the wait applies to all requests."""

    maybe_billed: bool = False
    """Whether the model may have generated an answer nevertheless."""

    usage: Usage | None = None
    """The usage that the server reports; None if it reports none."""

    about: str = ""
    """All that the server says about a refusal, with the parameter that it names; without the
    key."""


def status_fault(
    status: int,
    headers: Mapping[str, str],
    text: str,
    *,
    now: datetime,
    where: str,
    model: str,
    without_key: Callable[[str], str],
) -> Fault:
    """The fault of an HTTP error; `where` names the server, `text` is the response body."""
    message, code, usage = _details(text)
    about = without_key(message)
    if parameter := _parameter(text):
        about = f"{parameter}: {about}"
    message = _short(without_key(message))
    reason = f"HTTP {status}" + (f", {message}" if message else "")
    if status == 402 or code in _NO_MONEY:
        problem = (
            f"{where}: the account has no quota left ({reason}); "
            "add credit and run the same command again"
        )
        return Fault(reason, IncompleteError(problem), usage=usage)
    if status in {401, 403}:
        fix = "check the key in the environment, and what it may use"
        return Fault(reason, InputError(where, f"it refuses the key ({reason})", fix))
    if status in {404, 405, 410}:
        problem = f"it has no model '{model}' at this address ({reason})"
        return Fault(reason, InputError(where, problem, "check --model and --base-url"))
    if status in _TRANSIENT or (status >= 500 and not _is_refusal(status, about)):
        return Fault(
            reason,
            wait_seconds=retry_after(headers, now),
            rate_limited=status in {429, 503},
            maybe_billed=status in _MAYBE_BILLED,
            usage=usage,
        )
    return Fault(reason, refused=True, usage=usage, about=about)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The wait in seconds that `Retry-After` requests, as seconds or date; None without one.

    `now` has a time zone. A date in the past gives 0.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value) * unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, (date - now).total_seconds())
    except (TypeError, ValueError):
        return None


def exhausted_for(headers: Mapping[str, str]) -> float:
    """Seconds until the server accepts requests again, by `x-ratelimit-*`; 0 if it does now."""
    seconds = 0.0
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
            reset = headers.get(f"x-ratelimit-reset-{kind}", "")
            parts = _RESET.findall(reset)
            seconds = max(seconds, sum(float(number) * _UNITS[unit] for number, unit in parts))
    return seconds


def _is_refusal(status: int, about: str) -> bool:
    """Whether a server error means that the request has something that it does not know."""
    return status == 501 or (status == 500 and _NOT_KNOWN.search(about) is not None)


def _parameter(text: str) -> str:
    """The parameter that an error body names; "" without one."""
    try:
        body = strict_json.loads(text)
    except ValueError:
        return ""
    inner = body.get("error", body) if isinstance(body, dict) else None
    named = inner.get("param") if isinstance(inner, dict) else None
    return named if isinstance(named, str) else ""


def _details(text: str) -> tuple[str, str | None, Usage | None]:
    """Message, code and usage in an error body; "" or None for what it lacks."""
    try:
        body = strict_json.loads(text)
    except ValueError:
        # The markup of an HTML page is useless in a terminal.
        return "" if text.lstrip().startswith("<") else text, None, None
    inner = body.get("error", body) if isinstance(body, dict) else body
    usage = usage_of(body) or usage_of(inner)
    if isinstance(inner, str):
        return inner, None, usage
    if not isinstance(inner, dict):
        return "", None, usage
    message = inner.get("message") or inner.get("detail") or ""
    named = {str(inner.get("code")), str(inner.get("type"))}
    code = next(iter(named & _NO_MONEY), None)
    return str(message), code, usage


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
