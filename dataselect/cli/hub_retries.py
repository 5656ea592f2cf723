"""The Hub client's warnings on each attempt, as one line.

Without network it logs two lines for each of six attempts, and then the command's own error says
what is wrong. One line is enough to say why the command waits.
"""

import logging
import re

from dataselect.redaction import redact
from dataselect.wording import one_line

_LOGGER = "huggingface_hub.utils._http"
_FAILED = re.compile(r"thrown while requesting (?:\w+ )?(?P<url>https?://[^/\s]+)")
_RETRIES = re.compile(r"Retrying in |Rate limited\. ")


class OneLine(logging.Filter):
    """Lets the first failure of each host through, as a note, and drops the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown; a failure's text is replaced."""
        text = record.getMessage()
        if _RETRIES.match(text):
            return False
        found = _FAILED.search(text)
        if found is None:
            return True
        host = found["url"]
        if host in self._told:
            return False
        self._told.add(host)
        why = one_line(redact(text.split(" thrown while", maxsplit=1)[0])).strip("'")
        record.msg, record.args = f"note: {host} does not answer ({why}); trying again", ()
        return True


def tell_retries_once() -> None:
    """Filter the client's log; the client is not imported for it."""
    logging.getLogger(_LOGGER).addFilter(OneLine())
