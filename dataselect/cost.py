"""What choosing data costs, as planned and as spent.

Planned cost is counted, not measured: 6 FLOPs per parameter and training token, 2 per parameter and
scored token (Kaplan et al., 2020). It leaves out attention's quadratic part, which for the tiny
proxies with long few-shot prompts is not small against 2ND but is small against the target. What
was really spent comes from the ledger that every job writes, failed and repeated work included.
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
class PlannedCost:
    """The two-stage search against training every candidate at target size (paper, section 5).

    `candidates` (N) and `survivors` (k) are counts; `proxy1` (C1), `proxy2` (C2) and `target` (Ct)
    are the FLOPs of one candidate in Stage 1, in Stage 2 and at target size. Without a second
    stage, `survivors` or `proxy2` is 0. `elsewhere` is how much of both stages went into
    checkpoints that were given, so that this run did not spend it.
    """

    candidates: int
    survivors: int
    proxy1: float
    proxy2: float
    target: float
    elsewhere: float = 0.0

    @property
    def stage1(self) -> float:
        """N·C1."""
        return self.candidates * self.proxy1

    @property
    def stage2(self) -> float:
        """k·C2."""
        return self.survivors * self.proxy2

    @property
    def total(self) -> float:
        """N·C1 + k·C2 + Ct: the search and the one target run that it leads to."""
        return self.stage1 + self.stage2 + self.target

    @property
    def naive(self) -> float:
        """N·Ct: every candidate trained at target size."""
        return self.candidates * self.target

    @property
    def saving_factor(self) -> float:
        """naive / total; it approaches N as the proxies become cheap against the target."""
        return self.naive / self.total


@dataclass(frozen=True)
class Spent:
    """Sums over ledger records.

    Seconds are summed over jobs, so jobs that ran side by side add up to more than the time that
    passed. `flops` is the work that was kept; `failed_flops` the work of jobs that failed.
    `attempts` exceeds `jobs` when work was repeated.
    """

    jobs: int = 0
    failed_jobs: int = 0
    attempts: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    flops: float = 0.0
    failed_flops: float = 0.0


def spent(records: Iterable[Mapping[str, Any]]) -> Spent:
    """Add up ledger records, one per finished or failed job; a quantity that one lacks counts 0.

    Failed jobs' seconds count like any others: they were paid for.
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
