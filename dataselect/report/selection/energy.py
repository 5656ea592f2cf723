"""Electricity and CO2 of a run, estimated from what was spent; the assumptions are part of it.

Nothing is measured: seconds of busy devices times a power that is assumed, and a target's FLOPs at
an efficiency that is assumed. Not counted: idle machines, cooling, networks, and making the
hardware. So the figures say which costs are of what order, and no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataselect.report.numbers import significant
from dataselect.units import format_flops

GPU_WATTS = 700.0
"""A busy GPU: the power limit of an H100 (SXM)."""
CORE_WATTS = 10.0
"""A busy CPU core with its share of the machine."""
GPU_FLOPS = 4e14
"""FLOPs a second of one GPU in large training: 40% of an H100's dense bfloat16 peak of 9.9e14."""
GRAMS_PER_KWH = 445.0
"""CO2 of a kilowatt-hour of electricity, the world's mean of 2024 (IEA, Electricity 2025)."""

_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Energy:
    """Electricity in kWh."""

    kwh: float
    """Kilowatt-hours."""

    def __str__(self) -> str:
        grams = self.kwh * GRAMS_PER_KWH
        words = f"{_scaled(self.kwh, _ENERGY)} and {_scaled(grams, _MASS)} of CO2"
        return words if words.startswith("less") else f"about {words}"


_ENERGY = (("Wh", 1e-3), ("kWh", 1.0), ("MWh", 1e3), ("GWh", 1e6))
_MASS = (("g", 1.0), ("kg", 1e3), ("t", 1e6))


def spent_energy(cost: Mapping[str, Any]) -> Energy | None:
    """Of this run's jobs, failed ones included; None where no time was recorded."""
    spent = cost["spent"]["all"]
    joules = spent["gpu_seconds"] * GPU_WATTS + spent["cpu_seconds"] * CORE_WATTS
    return Energy(joules / _JOULES_PER_KWH) if joules > 0 else None


def training_energy(flops: float) -> Energy:
    """Of training at a large scale, by its FLOPs."""
    return Energy(flops / GPU_FLOPS * GPU_WATTS / _JOULES_PER_KWH)


def energy_lines(cost: Mapping[str, Any]) -> list[str]:
    """A paragraph for the report; none where nothing was spent."""
    spent = spent_energy(cost)
    if spent is None:
        return []
    target = training_energy(cost["flops"]["target"])
    return [
        f"Electricity, a rough estimate: what was spent on this run took {spent}; one target "
        f"run would take {target}. Assumed, not measured: {GPU_WATTS:g} W for a busy GPU (an "
        f"H100's limit) and {CORE_WATTS:g} W for a busy CPU core, by the seconds in the table "
        f"above; for the target {format_flops(GPU_FLOPS)} a second of each GPU (40% of an H100's "
        f"peak); {GRAMS_PER_KWH:g} g of CO2 a kWh, the world's mean of 2024 (IEA, Electricity "
        "2025). Cooling, idle machines and making the hardware are not counted."
    ]


def _scaled(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """A quantity to two digits in the largest unit of which there is one or more."""
    fitting = [each for each in units if value >= each[1]]
    unit, scale = (fitting or [units[0]])[-1]
    if value / scale < 0.1:
        return f"less than 0.1 {unit}"
    return f"{significant(value / scale, 2)} {unit}"
