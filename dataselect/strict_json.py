"""JSON of files and servers: whatever is wrong with it is a ValueError.

Python's own reader raises RecursionError, no ValueError, for what is nested very deeply.
"""

import json
from typing import Any


def loads(text: str | bytes | bytearray) -> Any:
    """What the text says. Raises ValueError where it is no JSON, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
