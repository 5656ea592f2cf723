"""A budget as people state it: FLOPs, GPU hours, or money.

FLOPs are what plans cost. An hour of a GPU is worth FLOPs only with the speed that it sustains in
training, and money only with the price of an hour too; neither is guessed.
"""

import math
import re
from dataclasses import dataclass

from dataselect.errors import InputError
from dataselect.units import format_flops
from dataselect.wording import quoted

_AMOUNT = r"(?P<amount>\d+(?:[_,]\d{3})*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)"
_STATED = re.compile(rf"(?P<sign>[$€£]?)\s*{_AMOUNT}\s*(?P<unit>[A-Za-z][A-Za-z /_-]*)?")
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP"}
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
_FLOPS = re.compile(r"(?P<prefix>[kmgtpez]?)flops?")
_RATE = re.compile(r"(?P<prefix>[kmgtpez]?)flops?(?:/s)?")
_HOURS = {"hour": 1.0, "hours": 1.0, "h": 1.0, "day": 24.0, "days": 24.0}
_GPU = re.compile(r"gpu[ _-]?(?P<time>hours?|h|days?)")
_FIX = "write FLOPs as 1e19, or '40 GPU-hours', or '500 USD'"


@dataclass(frozen=True)
class Budget:
    """What may be spent, in FLOPs and in the unit that it was stated in."""

    flops: float
    """In FLOPs, above 0."""
    unit: str = "FLOPs"
    """`FLOPs`, `GPU-hours`, or a currency such as `USD`."""
    flops_per_unit: float = 1.0
    """FLOPs of one unit."""

    def format(self, flops: float) -> str:
        """Some FLOPs in the budget's unit: "8.3e18 FLOPs", "23.1 GPU-hours", "58 USD"."""
        if self.unit == "FLOPs":
            return format_flops(flops)
        return f"{_three_digits(flops / self.flops_per_unit)} {self.unit}"


def parse_budget(
    text: str | float, flops_per_second: str | float | None = None, price: str | None = None
) -> Budget:
    """The budget written as `text`: `1e19`, `10 EFLOPs`, `40 GPU-hours`, `500 USD`, `$500`.

    `flops_per_second`: what one GPU sustains in training, as `1.2e14` or `120 TFLOP/s`. `price` of
    an hour of it, as `2.5 USD`. Raises InputError for anything else, and for a unit whose rate is
    missing.
    """
    where = "--budget"
    amount, unit = _parts(where, str(text), _FIX)
    if flops := _FLOPS.fullmatch(unit.lower() or "flops"):
        return Budget(_finite(where, amount * _PREFIXES[flops["prefix"]], str(text)))
    if hours := _GPU.fullmatch(unit.lower()):
        per_hour = 3600 * _rate(flops_per_second, where, str(text))
        amount *= _HOURS[hours["time"]]
        return Budget(_finite(where, amount * per_hour, str(text)), "GPU-hours", per_hour)
    if not re.fullmatch("[A-Z]{3}", unit):
        raise InputError(where, f"{quoted(unit)} is not a unit", _FIX)
    if price is None:
        fix = f"add --price, such as '2.5 {unit}', of an hour of one GPU"
        raise InputError(where, f"{unit} buy FLOPs at a price, and none is given", fix)
    cost, currency = _parts("--price", price, f"write it as '2.5 {unit}'")
    if currency != unit:
        raise InputError(
            "--price", f"it is in {currency or 'no currency'}, the budget in {unit}", "use one"
        )
    per_unit = 3600 * _rate(flops_per_second, where, str(text)) / cost
    return Budget(_finite(where, amount * per_unit, str(text)), unit, per_unit)


def _rate(given: str | float | None, where: str, text: str) -> float:
    if given is None:
        fix = "add --flops-per-second, what one GPU sustains in training, such as '120 TFLOP/s'"
        raise InputError(where, f"the speed of a GPU is needed for {quoted(text)}", fix)
    option, fix = "--flops-per-second", "write it as 1.2e14 or '120 TFLOP/s'"
    amount, unit = _parts(option, str(given), fix)
    known = _RATE.fullmatch(unit.lower().replace(" ", ""))
    if unit and known is None:
        raise InputError(option, f"{quoted(unit)} is not a unit", fix)
    return _finite(option, amount * _PREFIXES[known["prefix"] if known else ""], str(given))


def _parts(where: str, text: str, fix: str) -> tuple[float, str]:
    """Amount and unit; the unit is "" if there is none."""
    match = _STATED.fullmatch(text.strip())
    if match is None:
        raise InputError(where, f"{quoted(text)} is not an amount", fix)
    amount = float(match["amount"].replace(",", "").replace("_", ""))
    unit = (match["unit"] or "").strip()
    if match["sign"]:
        if unit and unit != _SIGNS[match["sign"]]:
            raise InputError(where, f"{quoted(text)} has two units", "keep one")
        unit = _SIGNS[match["sign"]]
    if not 0 < amount < math.inf:
        raise InputError(where, f"{quoted(text)} is nothing to spend", fix)
    return amount, unit


def _finite(where: str, value: float, text: str) -> float:
    if not 0 < value < math.inf:
        raise InputError(where, f"{quoted(text)} is beyond any computer", _FIX)
    return value


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.3g}"
