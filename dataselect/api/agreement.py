"""`dataselect.agree`: how well proxies' scores rank candidates whose targets are known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataselect.api.arguments import as_confidence, as_count, as_counts, as_flag, as_path
from dataselect.api.result import Result
from dataselect.api.table_options import (
    LEAST_DRAWS,
    FilePath,
    TableInput,
    as_table,
)
from dataselect.decisions.comparisons import LABELS, Comparisons, Settings, compare_tables
from dataselect.errors import InputError
from dataselect.formats.score_table import read_score_table
from dataselect.report.output import write_out
from dataselect.report.tables.agreements import agreement_document, agreement_verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Agreements(Result):
    """How proxy metrics agree with target metrics over the candidates of two tables."""

    comparisons: Comparisons
    """All comparisons by name: the proxy metric, then `@size` where the table has sizes, then
    ` -> target` where a metric is compared with several target columns."""

    settings: Settings
    """Directions, top-k counts and bootstrap settings of the comparison."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """What `dataselect agree --json` prints; docs/agreement.md describes its fields."""
        return agreement_document(self.comparisons, self.settings)

    @property
    def verdict(self) -> str:
        """The metric with the highest decision accuracy, whether that may be chance, and whom it
        puts first."""
        return agreement_verdict(self.document)

    @property
    def notes(self) -> tuple[str, ...]:
        """Columns and candidates that were left out, and why."""
        return self.comparisons.notes

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each comparison, indexed by its name.

        `metric`, `size` and `target` say what was compared, over how many `candidates`.
        `decision_accuracy` is the share of `pairs` that proxy and target order alike (0 to 1, 0.5
        by chance), `kendall_tau` their rank correlation (-1 to 1); `_low` and `_high` are the ends
        of their intervals. `target_ties` and `proxy_ties` count pairs tied by target or proxy.
        """
        import pandas as pd

        rows = {}
        for name, each in self.document["metrics"].items():
            row = {key: each[key] for key in ("metric", "size", "target", "candidates")}
            for key in ("decision_accuracy", "kendall_tau"):
                ends = each[f"{key}_interval"] or (None, None)
                row |= {key: each[key], f"{key}_low": ends[0], f"{key}_high": ends[1]}
            rows[name] = row | {key: each[key] for key in ("pairs", "target_ties", "proxy_ties")}
        table = pd.DataFrame.from_dict(rows, orient="index")
        return table.astype({"size": "string"}).rename_axis("comparison")

    def write(self, path: FilePath) -> None:
        """Write the document to a file, which a plan's `discrepancy` can name.

        Raises InputError on failure.
        """
        from dataselect.formats.jsonfile import sealed_json

        text = sealed_json(json.dumps(self.document, allow_nan=False), indent=2)
        write_out(as_path("path", path, "give the path of a file"), text)

    @property
    def gains(self) -> "pd.DataFrame":
        """By comparison, how much higher its decision accuracy is than that of the `baseline`.

        `difference` (-1 to 1) is over the `candidates` that both have; `low` and `high` are the
        ends of its interval. Empty without `ablate`.
        """
        import pandas as pd

        rows = {
            name: {
                "baseline": gain.baseline,
                "candidates": gain.candidates,
                "difference": gain.difference,
                "low": gain.interval[0],
                "high": gain.interval[1],
            }
            for name, gain in self.comparisons.gains.items()
        }
        columns = ["baseline", "candidates", "difference", "low", "high"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        return table.rename_axis("comparison")

    @property
    def top(self) -> "pd.DataFrame":
        """Regret of choosing among the proxy's best `k`, indexed by comparison and `k`.

        `regret` is how far the best target among them is below the best of all, in the target's
        unit; `chance_regret` the same for `k` drawn at random; `hit_rate` the probability that
        the best target is among them (between 0 and 1 where the proxy ties).
        """
        return _by_part(
            self.document["metrics"],
            "k",
            lambda each: {int(k): part for k, part in each["top"].items()},
        )

    @property
    def kept(self) -> "pd.DataFrame":
        """Decision accuracy of the surest pairs, indexed by comparison and `share` of pairs kept.

        `accuracy` is over the `pairs` whose proxy scores differ most, by at least
        `least_difference`: in units of the seed noise of a difference or, without seeds, of the
        candidates' standard deviation.
        """
        return _by_part(
            self.document["metrics"],
            "share",
            lambda each: {part["share"]: part for part in each["kept"]},
        )

    def _shown_notes(self) -> tuple[str, ...]:
        counting = (self.document["counting"] or {}).values()
        return (*(each["text"] for each in counting), *self.notes)

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        table = self.table.drop(columns=["metric", "size", "target"])
        share = f"{self.settings.confidence:.0%}"
        return {f"Agreement with the target, {share} intervals over candidates": table}


def agree(
    proxy: TableInput,
    target: TableInput,
    *,
    lower_is_better: bool | str | Sequence[str] = False,
    target_lower_is_better: bool | str | Sequence[str] = False,
    top: Sequence[int] = (),
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.9,
    only: str | Sequence[str] = (),
    target_only: str | Sequence[str] = (),
    trust_direction: bool = False,
    counts: TableInput | None = None,
    ablate: bool = False,
) -> Agreements:
    """How well proxies' scores rank candidates whose targets are known.

        ds.agree("proxy.csv", "target.csv", lower_is_better=True).table

    `proxy` and `target` are CSV files or frames with a row for each candidate (or each of its
    seeds): a column `id`, a column for each metric, and optionally `seed` and `size`. A proxy
    metric is compared with the target column of the same name, or with the only target column.
    Where tables have more, `only` names the proxy metrics to compare and `target_only` the target
    columns to compare them with.
    Columns that are no metric by their name, such as a step or seconds, are left out with a note.
    `lower_is_better` says that lower proxy scores are better, as with losses, or names the metrics
    of which that is so; `target_lower_is_better` says so of the target. Names are checked against
    that (a `loss`, an `accuracy`) unless `trust_direction`. `top` are the k for which the proxy's
    best k are evaluated (default 1, 3 and 5, those below the number of candidates). Intervals cover
    the share `confidence`, from `draws` bootstrap draws over candidates with the seed `seed`.

    `counts` is a table of scores by counting words of the same candidates, as `score` writes it for
    `ngram:TEXT`; these columns (`ngram1_trace_nll`, …) may also stand in the proxies' table. Lower
    is better of them, whatever is said of the others, and the result says what counting alone would
    have chosen. `ablate` compares every metric with counting, or else with the first metric, on the
    same resampled candidates.

    Raises InputError with the line for an error in a table, when the tables share fewer than three
    candidates, when no column of one matches the other's, for a direction that a column's name
    contradicts, and for an option out of its range.
    """
    settings = Settings(
        lower_is_better=_lower("lower", lower_is_better),
        target_lower_is_better=_lower("target-lower", target_lower_is_better),
        top=as_counts("--top", top),
        draws=as_count("--draws", draws, LEAST_DRAWS),
        seed=as_count("--seed", seed, 0),
        confidence=as_confidence(confidence),
        only=_names("only", only),
        target_only=_names("target-only", target_only),
        trust_direction=as_flag("--trust-direction", trust_direction),
        ablate=as_flag("--ablate", ablate),
    )
    proxies = read_score_table(as_table("proxy", proxy), LABELS)
    targets = read_score_table(as_table("target", target), LABELS)
    by_counting = None if counts is None else read_score_table(as_table("counts", counts), LABELS)
    return Agreements(compare_tables(proxies, targets, settings, by_counting), settings)


def _lower(option: str, given: bool | str | Sequence[str]) -> bool | tuple[str, ...]:
    """Of all columns, or the names of some."""
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Sequence) and all(isinstance(name, str) for name in given):
        return tuple(given)
    return as_flag(f"--{option}-is-better", given)


def _names(option: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """The names of columns; none for all."""
    names = _lower(option, given)
    if isinstance(names, bool):
        raise InputError(f"--{option}", "it is no list of names", "name columns of the table")
    return names


def _by_part(metrics: Mapping[str, Any], key: str, parts: Any) -> "pd.DataFrame":
    """A row for each part of each comparison."""
    import pandas as pd

    rows = {
        (name, at): {column: value for column, value in part.items() if column != key}
        for name, each in metrics.items()
        for at, part in parts(each).items()
    }
    table = pd.DataFrame(list(rows.values()))
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["comparison", key])
    return table
