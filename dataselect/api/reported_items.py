"""What report.json says of the items of a run: who was scored on them, what was left out or leaked.

And whether what is read now is what the report is of: a view of other items, traces or scores would
explain a ranking that they are not behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.api.arguments import as_count, require_one_of
from dataselect.errors import InputError
from dataselect.report.selection.stages import ran
from dataselect.scoring.evaluation import Evaluation
from dataselect.stages.screen import RANKED_BY

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 8
"""Candidates whose tokens are shown unless they are named."""
_SAME = 1e-9
"""Relative difference up to which a mean of the store is that of the report."""


def chosen_stage(content: Mapping[str, Any], number: int | None) -> str:
    """The key of the stage: the one with this number, or the last that scored two candidates."""
    proxies = content["provenance"]["proxies"]
    stages = [name for name in ran(content) if proxies[name]]
    if number is not None:
        wanted = f"stage{as_count('--stage', number, 1)}"
        if wanted not in stages:
            listed = ", ".join(name.removeprefix("stage") for name in stages)
            raise InputError(
                "--stage", f"the run has no scores of stage {number}", f"give {listed}"
            )
        return wanted
    return next((name for name in reversed(stages) if len(proxies[name]) > 1), stages[-1])


def chosen_benchmarks(content: Mapping[str, Any], stage: str, named: Sequence[str]) -> list[str]:
    """The benchmarks of the stage, or those named. Raises InputError for another."""
    known = list(content["stages"][stage]["items"])
    for name in named:
        require_one_of("--benchmarks", name, known)
    return [name for name in known if not named or name in named]


def shown_candidates(
    content: Mapping[str, Any], ranked: Sequence[str], named: Sequence[str]
) -> list[str]:
    """The candidates named, or the first of the ranking. Raises InputError for one without
    scores."""
    known = [each["id"] for each in content["candidates"]]
    for name in named:
        require_one_of("--candidates", name, known)
        if name not in ranked:
            fix = f"name {', '.join(ranked)}, or give another --stage"
            raise InputError("--candidates", f"{name} has no scores in this stage", fix)
    return list(dict.fromkeys(named)) or list(ranked[:MOST_SHOWN])


@dataclass(frozen=True)
class ReportedBenchmark:
    """A benchmark in a report, in one stage."""

    id: str
    """The benchmark's id."""
    items_hash: str
    """Of its items and prompts."""
    traces_hash: str
    """Of its traces and how they weigh."""
    left_out: Mapping[str, str]
    """By item that counts for no candidate, the reason."""
    leaked: Mapping[str, tuple[str, ...]]
    """By item, the candidates whose text holds it."""
    means: Mapping[str, float]
    """The mean of each candidate with scores, in nats per token."""

    def require_items(self, evaluation: Evaluation, folder: Path) -> None:
        """Raise InputError where items or traces are not those of the report in `folder`."""
        if (evaluation.benchmark.content_hash, evaluation.traces_hash) != (
            self.items_hash,
            self.traces_hash,
        ):
            raise InputError(
                folder / "resolved.yaml",
                f"the items or traces of '{self.id}' have changed since the run (their hash is"
                " another)",
                "run it again, which scores the new ones",
            )

    def require_scores(self, table: "pd.DataFrame", folder: Path) -> None:
        """Raise InputError where the means of items x candidates are not those of the report."""
        for name, said in self.means.items():
            mean = float(table[name].mean())
            if not abs(said - mean) <= _SAME * max(1.0, abs(said)):
                raise InputError(
                    folder / "report.json",
                    f"{name} has {said:.6g} on '{self.id}' there, and {mean:.6g} in the store",
                    "run it again, which writes the report anew",
                )


def reported(content: Mapping[str, Any], stage: str, benchmark: str) -> ReportedBenchmark:
    """What the document says of a benchmark in a stage."""
    known = content["provenance"]["benchmarks"][benchmark]
    scored = content["provenance"]["proxies"][stage]
    return ReportedBenchmark(
        benchmark,
        known["hash"],
        known["traces_hash"],
        {
            each["item"]: each["reason"]
            for each in content["exclusions"].get(benchmark, ())
            if stage in each["stages"]
        },
        _leaked(content, benchmark),
        {
            each["id"]: float(each[stage]["benchmarks"][benchmark][RANKED_BY])
            for each in content["candidates"]
            if each["id"] in scored
        },
    )


def _leaked(content: Mapping[str, Any], benchmark: str) -> dict[str, tuple[str, ...]]:
    """By item, the candidates whose text holds it."""
    held: dict[str, tuple[str, ...]] = {}
    for candidate, of in ((content["leaks"] or {}).get("candidates") or {}).items():
        leak = of.get(benchmark, {}).get("items", {})
        # Reports of before name the first few alone.
        for item in leak.get("ids", leak.get("first", ())):
            held[item] = (*held.get(item, ()), candidate)
    return held
