"""What one check found.

Texts come from drivers, servers and files. They are put on one line, and secrets are taken out:
addresses' passwords, Hub tokens, and the values of all environment variables that are named as a
secret is.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from dataselect.redaction import mask, redact
from dataselect.wording import message

State = Literal["ok", "note", "problem"]
"""A note is for people to weigh; a problem stops a run."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 6
"""Shorter values are placeholders, or words of ordinary messages."""
_LONGEST = 400


@dataclass(frozen=True)
class Finding:
    """One row of the doctor's table."""

    part: str
    """Group of the check, such as "disk"."""
    check: str
    """What was looked at, such as "store"."""
    state: State
    """Whether it is in order."""
    found: str
    """What was found, without secrets, on one line."""
    fix: str = ""
    """What to do; empty where all is in order."""

    def __post_init__(self) -> None:
        assert (self.state == "ok") == (not self.fix), "a fix belongs to what is not in order"
        for name in ("check", "found", "fix"):
            object.__setattr__(self, name, shown(getattr(self, name)))

    def as_json(self) -> dict[str, str]:
        """The fields by name."""
        return asdict(self)


def shown(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` on one line, without secrets and without what acts on a terminal."""
    for name, value in environment.items():
        if _SECRET.search(name) and len(value.strip()) >= _SHORTEST_SECRET:
            # `mask` takes the usual spellings of a longer one, too.
            text = mask(text.replace(value.strip(), f"[{name}]"), value.strip(), f"[{name}]")
    return message(redact(text), _LONGEST)
