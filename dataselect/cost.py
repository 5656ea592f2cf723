"""The planned and the actual cost of choosing data.

Planned cost is computed, not measured: 6 FLOPs per parameter and training token, 2 per parameter
and scored token (Kaplan et al., 2020). It leaves out attention's quadratic part, which for tiny
proxies with long few-shot prompts is not small against 2ND but is small against the target. Actual
cost comes from the ledger that every job writes, including failed and repeated work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


def training_flops(parameters: int, tokens: int) -> float:
    """FLOPs of training: 6ND."""
    return 6.0 * parameters * tokens


def scoring_flops(parameters: int, tokens: int) -> float:
    """FLOPs of a forward pass over `tokens`: 2ND."""
    return 2.0 * parameters * tokens


@dataclass(frozen=True)
class StageCost:
    """What one stage of the search costs."""

    candidates: int
    """Candidates that have proxies in it; may be 0."""
    each: float
    """FLOPs of one candidate."""

    @property
    def flops(self) -> float:
        """FLOPs of all its candidates."""
        return self.candidates * self.each


@dataclass(frozen=True)
class PlannedCost:
    """The search in stages against training every candidate at target size (paper, section 5)."""

    candidates: int
    """N, the number of candidates."""
    stages: tuple[StageCost, ...]
    """Stage 1 and those after it: N·C1, k·C2 and so on."""
    target: float
    """Ct, FLOPs of one candidate at target size."""
    elsewhere: float = 0.0
    """FLOPs of the stages that went into given checkpoints, which this run did not spend."""

    @property
    def search(self) -> float:
        """N·C1 + k·C2 and so on: all stages."""
        return sum(stage.flops for stage in self.stages)

    @property
    def total(self) -> float:
        """The search and the one target run that it leads to."""
        return self.search + self.target

    @property
    def naive(self) -> float:
        """N·Ct: every candidate trained at target size."""
        return self.candidates * self.target

    @property
    def saving_factor(self) -> float:
        """naive / total; it approaches N as the proxies become cheap against the target."""
        return self.naive / self.total


def formula(stages: int, counted: bool = False) -> str:
    """The cost of a search of so many stages and a target, in letters: "N·C1 + k·C2 + Ct".

    `counted`: whether counting words came before, so that Stage 1 has not all N candidates.
    """
    if stages == 2 and not counted:
        return "N·C1 + k·C2 + Ct"
    first = "k0·C1" if counted else "N·C1"
    later = [f"k{i}·C{i + 1}" for i in range(1, stages)]
    return " + ".join([first, *later, "Ct"])


@dataclass(frozen=True)
class Spent:
    """Sums over ledger records."""

    jobs: int = 0
    """Records counted."""
    failed_jobs: int = 0
    """Those of them that failed."""
    attempts: int = 0
    """More than `jobs` when work was repeated."""
    wall_seconds: float = 0.0
    """Summed over jobs, so parallel jobs add up to more than the time that passed."""
    cpu_seconds: float = 0.0
    """Summed over jobs and their processes."""
    gpu_seconds: float = 0.0
    """Summed over jobs."""
    flops: float = 0.0
    """FLOPs of the jobs that succeeded."""
    failed_flops: float = 0.0
    """FLOPs of the jobs that failed."""


def spent(records: Iterable[Mapping[str, Any]]) -> Spent:
    """Sums over ledger records, one per finished or failed job; a missing quantity counts as 0.

    Seconds of failed jobs are included: they were paid for.
    """
    rows = list(records)
    failed = [row for row in rows if row.get("status") == "failed"]
    kept = [row for row in rows if row.get("status") != "failed"]

    def total(field: str, of: list[Mapping[str, Any]]) -> float:
        return float(sum(row.get(field) or 0 for row in of))

    return Spent(
        jobs=len(rows),
        failed_jobs=len(failed),
        attempts=sum(int(row.get("attempts") or 1) for row in rows),
        wall_seconds=total("wall_seconds", rows),
        cpu_seconds=total("cpu_seconds", rows),
        gpu_seconds=total("gpu_seconds", rows),
        flops=total("flops", kept),
        failed_flops=total("flops", failed),
    )
