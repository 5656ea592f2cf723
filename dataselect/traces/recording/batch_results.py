"""Parse the results of a batch line by line, and write each into the journal under its request.

Lines come in any order, in one file for answers and one for errors. Servers repeat lines, omit
some, and name requests that were not sent: such lines are counted and reported, never used.

Not here: fetching the files (batch_calls) and acting on the results (batch).
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dataselect import strict_json
from dataselect.errors import DataselectError
from dataselect.traces.recording.build import other_model
from dataselect.traces.recording.client import Client, refusal
from dataselect.traces.recording.faults import Fault
from dataselect.traces.recording.journal import Batch, Journal
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import NOTHING, Budget

_log = logging.getLogger("dataselect")

_REQUEST = "request-"
_POSITION = re.compile(rf"{_REQUEST}(\d{{1,9}})", re.ASCII)


def custom_id(position: int) -> str:
    """The id of a request within its batch; not the item's id, which may have any characters."""
    return f"{_REQUEST}{position}"


class Results:
    """One pass over a file of results.

    `reasons` counts why requests have no answer, `error` is the first error that ends the work,
    and `unreadable` counts lines that cannot be read.
    """

    def __init__(self, batch: Batch, client: Client, journal: Journal, budget: Budget) -> None:
        self._numbers, self._open = batch.numbers, journal.open_in(batch)
        self._client, self._journal, self._budget = client, journal, budget
        self._seen: set[int] = set()
        self._unknown, self._repeated = 0, 0
        self.unreadable = 0
        self.reasons: Counter[str] = Counter()
        self.error: DataselectError | None = None

    def take(self, line: bytes) -> None:
        """Process one line. Raises ValueError when the file does not hold results."""
        if not line.strip():
            return
        try:
            result = strict_json.loads(line)
            position = _POSITION.fullmatch(result["custom_id"])
        except (ValueError, TypeError, LookupError):
            if not self._seen:
                raise ValueError("these are no results of a batch") from None
            self.unreadable += 1
            return
        if position is None or int(position[1]) >= len(self._numbers):
            self._unknown += 1
            return
        number = self._numbers[int(position[1])]
        if number in self._seen:
            self._repeated += 1
            return
        self._seen.add(number)
        # Closed requests were read in an earlier, interrupted pass.
        if number in self._open:
            self._close(number, self._outcome(result, line))

    def warn(self, where: str) -> None:
        """Log the lines that were not used; `where` names the batch."""
        for count, what in (
            (self._unknown, "are to requests that were not sent"),
            (self._repeated, "came more than once"),
            (self.unreadable, "cannot be read"),
        ):
            if count:
                _log.warning("%s: %d results %s", where, count, what)

    def _outcome(self, result: Mapping[str, Any], line: bytes) -> Reply | Fault:
        response, error = _mapping(result.get("response")), _mapping(result.get("error"))
        body, status = response.get("body"), response.get("status_code", 200)
        if not response:
            reason = str(error.get("message") or error.get("code") or "no answer")
            return Fault(self._client.without_key(" ".join(reason.split())))
        if isinstance(status, int) and status >= 400:
            fault = self._client.fault_of(status, {}, json.dumps(body))
            # Asked again without the parameter, it may be answered.
            unknown = self._client.dialect.learn(fault.about)
            return refusal(fault, NOTHING) if fault.refused and not unknown else fault
        try:
            return self._client.read(body, line.decode())
        except ValueError:
            return Fault("the answer cannot be read", maybe_billed=True)

    def _close(self, number: int, outcome: Reply | Fault) -> None:
        _, worst = self._open[number]
        usage = None if outcome.usage is None else outcome.usage.in_batch()
        if isinstance(outcome, Fault):
            used = usage or (worst if outcome.maybe_billed else NOTHING)
            reason, error = outcome.reason, outcome.error
        else:
            outcome, used = replace(outcome, usage=usage), usage or worst
            error = other_model(self._journal, outcome)
            reason = "" if error is None else str(error)
        self._budget.release(worst, used)
        if isinstance(outcome, Reply) and error is None:
            self._journal.answered(number, outcome)
            return
        self._journal.failed(number, used)
        self.error = self.error or error
        self.reasons[reason] += 1


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
