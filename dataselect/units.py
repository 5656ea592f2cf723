"""Parse and format numbers as people write them: `87.3M`, `3.75T`, FLOPs, hours.

Counts are exact. They are parsed as rationals rather than floats, so `87.3M` is exactly 87,300,000,
and a number that is not whole is refused instead of rounded. Suffixes are decimal (K = 10^3 …
T = 10^12), as in model sizes and token counts. Not covered: bytes and powers of two.
"""

import math
import re
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

TOKENS_PER_PARAMETER = 20
"""Compute-optimal training tokens per parameter (Hoffmann et al. 2022, arXiv 2203.15556)."""

_SCALES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_LARGEST = 10**18
_LONGEST = 64
_DIGITS = r"(?:\d{1,3}(?:_\d{3})+|\d+)"  # 3_750; 2_5 may as well be meant as 2.5
_COUNT = re.compile(rf"([+-]?)({_DIGITS}(?:\.\d+)?(?:[eE][+-]?\d{{1,3}})?)\s*([A-Za-z]*)", re.ASCII)
_FIX = "write a whole number such as 5000, 87.3M, 3.75T or 1e9"


def parse_count(value: str | int | float) -> int:
    """The whole number written as `value`: `87.3M`, `3.75T`, `1e9`, `3_750`, 5000, 1e9.

    Suffixes K, M, B, T in either case. Raises ValueError ("problem; fix") for booleans, negative
    numbers, nan and infinity, anything that is not whole, and numbers above 10^18.
    """
    _no_boolean(value)
    if not isinstance(value, str | int | float):
        raise ValueError(f"{_shown(value)} is not a number; {_FIX}")
    if isinstance(value, int):
        # Not from its text: Python refuses to print very long integers.
        return _bounded(Fraction(value), str(value) if abs(value) <= _LARGEST else "the number")
    text = str(value).strip()
    match = _COUNT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"{_shown(value)} is not a number; {_FIX}")
    sign, digits, suffix = match.groups()
    scale = _SCALES.get(suffix.upper())
    if scale is None:
        raise ValueError(f"{_shown(value)} ends in {suffix!r}, which is not K, M, B or T; {_FIX}")
    number = Fraction(digits.replace("_", "")) * scale
    return _bounded(-number if sign == "-" else number, _shown(value))


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number; write a number")
    return value


def _bounded(number: Fraction, name: str) -> int:
    if number < 0:
        raise ValueError(f"{name} is negative; {_FIX}")
    if number > _LARGEST:
        raise ValueError(f"{name} is more than 10^18; {_FIX}")
    if number.denominator != 1:
        raise ValueError(f"{name} does not come to a whole number; {_FIX}")
    return int(number)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def chinchilla_tokens(size: int, multiple: float) -> int:
    """Training tokens of a model with `size` parameters at `multiple` times Chinchilla-optimal.

    Raises ValueError for less than one token or more than 10^18.
    """
    tokens = TOKENS_PER_PARAMETER * size * multiple
    if not 1 <= tokens <= _LARGEST:
        raise ValueError(
            f"{multiple:g} × {TOKENS_PER_PARAMETER} tokens for each of {format_count(size)}"
            f" parameters is {tokens:.2g} tokens; write another 'chinchilla_multiple'"
        )
    return round(tokens)


def format_count(count: float) -> str:
    """`count` to three significant digits with a suffix: 87_300_000 → "87.3M"; never e-notation.

    `parse_count` restores counts of up to three significant digits exactly.
    """
    for suffix, scale in _SCALES.items():
        scaled = _three_digits(count / scale)
        if float(scaled) < 1000 or suffix == "T":
            break
    return scaled + suffix


def _three_digits(number: float) -> str:
    decimals = 2 if number < 9.995 else 1 if number < 99.95 else 0
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_flops(flops: float) -> str:
    """`flops` to two significant digits: 1.9e15 → "1.9e15 FLOPs"."""
    if flops == 0:
        return "0 FLOPs"
    mantissa, exponent = f"{flops:.1e}".split("e")
    return f"{mantissa}e{int(exponent)} FLOPs"


def format_seconds(seconds: float) -> str:
    """A duration in its two largest units: 75 → "1m 15s", 3725 → "1h 2m", 4.2 → "4.2s".

    An unknown duration (nan or infinity, as before the first measurement) is "?".
    """
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    whole = round(seconds)
    for (large, large_size), (small, small_size) in pairwise(units):
        # Rounded in the smaller unit shown, so that 3599.6 s is "1h" and not "60m".
        steps = round(whole / small_size)
        first, rest = divmod(steps, large_size // small_size)
        if first:
            return f"{first}{large} {rest}{small}" if rest else f"{first}{large}"
    return f"{whole}s"


def _parse_positive(value: Any) -> int:
    count = parse_count(value)
    if count == 0:
        raise ValueError("0 is too small; write 1 or more")
    return count


Whole = Annotated[int, BeforeValidator(parse_count)]
"""A pydantic field for a whole number of at least 0, in any notation of `parse_count`."""

Count = Annotated[int, BeforeValidator(_parse_positive)]
"""A pydantic field for a whole number of at least 1, in any notation of `parse_count`."""


def _plain_number(value: Any) -> Any:
    # pydantic reads "2_5" as 25, as Python does.
    if isinstance(value, str) and "_" in value:
        raise ValueError(f"{_shown(value)} is not a number; write a number without underscores")
    return _no_boolean(value)


Number = Annotated[float, BeforeValidator(_plain_number), Field(allow_inf_nan=False)]
"""A pydantic field for a finite number; booleans and underscores are refused."""
