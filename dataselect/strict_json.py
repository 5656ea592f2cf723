"""JSON of files and servers: whatever is wrong with it is a ValueError.

Python's own reader raises RecursionError, no ValueError, for what is nested very deeply, and gives
whole numbers of thousands of digits, on which arithmetic fails later (OverflowError).
"""

import json
from typing import Any

_DIGITS = 308
"""Every whole number of so many digits is less than the largest float."""


def loads(text: str | bytes | bytearray) -> Any:
    """What the text says. Raises ValueError where it is no JSON, nested too deeply, or holds a
    whole number beyond all floats."""
    try:
        return json.loads(text, parse_int=whole_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def whole_number(digits: str) -> int:
    """The number of a JSON text. Raises ValueError where it is beyond all floats."""
    if len(digits) > _DIGITS:
        try:
            float(int(digits))
        except (OverflowError, ValueError):
            raise ValueError(
                f"a whole number of {len(digits):,} digits is more than numbers can be here"
            ) from None
    return int(digits)
