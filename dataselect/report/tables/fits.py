"""The result of `dataselect fit`, as a JSON document and as terminal tables.

Errors are in points of accuracy (0..100); floors, accuracy ranges and coverage are shares (0..1).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from dataselect.report.console import add_row, named_table, say
from dataselect.transfer.function import TransferFunction
from dataselect.transfer.held_out import FOLDS, Errors
from dataselect.transfer.pairs import PairsFile
from dataselect.transfer.protocols import CONFIDENCE, PaperFit, RobustFit

Document = dict[str, Any]
_Cell = Callable[[Document], str]

_ERRORS = ("cv_mae", "last_20_mae", "last_40_mae")


def fit_document(
    file: PairsFile,
    fits: Mapping[str, PaperFit | RobustFit],
    correlations: Mapping[str, float],
    facts: Mapping[str, Any],
    notes: Sequence[str],
) -> Document:
    """The whole result; `facts` come from the caller (file, protocol, seed, ...)."""
    benchmarks = {}
    for name, fitted in fits.items():
        of_one = _paper(fitted) if isinstance(fitted, PaperFit) else _robust(fitted)
        benchmarks[name] = {
            **_function(fitted.function),
            "rank_correlation": correlations[name],
            "runs": len(set(file.benchmarks[name].groups)),
            **of_one,
        }
    return {
        **facts,
        "folds": FOLDS,
        "accuracy_unit": file.unit,
        "error_unit": "points of accuracy",
        "benchmarks": benchmarks,
        "overall": _overall(list(benchmarks.values())),
        "notes": list(notes),
    }


def fit_verdict(document: Document) -> str:
    """The error of the predictions on held-out accuracies, in one sentence."""
    overall, rows = document["overall"], document["benchmarks"].values()
    names = list(document["benchmarks"])
    over = f"over {len(names)} benchmarks" if len(names) > 1 else f"on {names[0]}"
    if document["protocol"] == "paper":
        return (
            f"The mean absolute error on held-out folds is {_large(overall['test_mae_mean'])} "
            f"points of accuracy {over}, with train R² {overall['train_r2_mean']:.3f}."
        )
    parts = [f"the mean absolute error on held-out folds is {overall['cv_mae_mean']:.2f} points"]
    parts[0] += f" of accuracy {over}"
    timed = [row for row in rows if "log tokens" in row["beside"]]
    if timed:
        ahead = sum(row["cv_mae"] < row["beside"]["log tokens"]["cv_mae"] for row in timed)
        parts.append(f"the score beats tokens alone on {ahead} of {len(timed)}")
    held = overall.get("coverage_cv_mean")
    if held is not None:
        share = f"{CONFIDENCE:.0%} intervals contain {held:.0%} of held-out accuracies"
        parts.append(f"{share} in cross-validation")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def print_fit(document: Document, console: Console) -> None:
    """Print the document as tables, with an explanation of their columns."""
    paper = document["protocol"] == "paper"
    better = "lower" if document["lower_is_better"] else "higher"
    console.print(
        f"{document['protocol']} protocol; {better} scores are better "
        f"({document['direction_from']}); accuracies read as {document['accuracy_unit']}",
        markup=False,
        highlight=False,
    )
    for columns in _PAPER_TABLES if paper else _ROBUST_TABLES:
        console.print(_table(document["benchmarks"], columns))
    overall = dict(document["overall"])
    overall["folds_won"] = ", ".join(f"{k} {v}" for k, v in overall.get("family_wins", {}).items())
    console.print()
    for line in _PAPER_WORDS if paper else _ROBUST_WORDS:
        console.print(line.format(**overall, folds=FOLDS), style="dim", highlight=False)
    for note in document["notes"]:
        say(console, f"note: {note}")


def _table(benchmarks: Mapping[str, Document], columns: Mapping[str, _Cell]) -> Table:
    """A table that fits into 80 columns."""
    table = named_table("benchmark", *columns)
    for name, row in benchmarks.items():
        add_row(table, name, *(cell(row) for cell in columns.values()))
    return table


def _large(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.1e}"


def _triple(errors: Mapping[str, float | None]) -> str:
    return _slashes(errors.get(name) for name in _ERRORS)


def _slashes(values: Iterable[float | None]) -> str:
    shown = ["–" if each is None else f"{each:.2f}" for each in values]
    return "/".join(shown) if set(shown) != {"–"} else "–"


_COMMON: dict[str, _Cell] = {
    "n": lambda row: str(row["points"]),
    "fitted range": lambda row: "{:.3g}..{:.3g}".format(*row["fitted_range"]),
}
_PAPER_TABLES: tuple[dict[str, _Cell], ...] = (
    {
        **_COMMON,
        "family": lambda row: row["family"],
        "train R²": lambda row: f"{row['train_r2']:.3f}",
        "test MAE": lambda row: _large(row["test_mae"]),
        "median": lambda row: _large(row["test_mae_median"]),
    },
)
_ROBUST_TABLES: tuple[dict[str, _Cell], ...] = (
    {
        **_COMMON,
        "floor": lambda row: f"{row['floor']:.2f}",
        "MAE": _triple,
        "90% held": lambda row: _slashes(row["coverage"].values()),
    },
    {
        "tokens alone": lambda row: _triple(row["beside"].get("log tokens", {})),
        "isotonic": lambda row: f"{row['beside']['isotonic']['cv_mae']:.2f}",
        "apart": lambda row: f"{row['isotonic_disagreement']:.1f}",
    },
)
_PAPER_WORDS = (
    "mean over benchmarks: train R² {train_r2_mean:.3f}, test MAE {test_mae_mean:.4g}; "
    "median test MAE {test_mae_median:.4g}; folds won: {folds_won}",
    "R² and MAE are means over {folds} folds; MAE in points of accuracy, not clipped.",
)
_ROBUST_WORDS = (
    "mean over benchmarks: CV MAE {cv_mae_mean:.2f}, median {cv_mae_median:.2f}",
    "MAE: mean absolute error in points of accuracy, in cross-validation / on the last 20% / last "
    "40% of each run, fitted on what comes before; 90% held: share of held-out accuracies inside "
    "their 90% intervals, for the same three splits.",
    "tokens alone: MAE of the same fit on tokens without the score; a score that does not beat it "
    "adds nothing on these runs. isotonic: CV MAE of the isotonic half alone; apart: its largest "
    "difference from the sigmoid in the fitted range, in points.",
)


def _function(function: TransferFunction) -> Document:
    return {
        "points": len(function.points),
        "family": function.family,
        "fitted_range": list(function.fitted_range),
        "bounds": list(function.bounds),
        "r2": function.r2,
        "loo_mae": 100 * function.mae,
    }


def _paper(fitted: PaperFit) -> Document:
    return {
        "train_r2": fitted.train_r2,
        "test_mae": 100 * fitted.test_mae,
        "test_mae_median": 100 * fitted.test_mae_median,
        "family_wins": dict(fitted.wins),
        "skipped": dict(fitted.function.skipped),
    }


def _robust(fitted: RobustFit) -> Document:
    coverage = fitted.coverage
    return {
        **_points(fitted.errors),
        "interval_confidence": CONFIDENCE,
        "coverage": {
            "cv": coverage.cross_validation,
            "last_20": coverage.last_20,
            "last_40": coverage.last_40,
        },
        "floor": fitted.floor,
        "floor_from": fitted.floor_from,
        "ceiling": sum(fitted.function.curve.coefficients[:2]),
        "averaged_points": fitted.averaged,
        "beside": {name: _points(errors) for name, errors in fitted.beside.items()},
        "isotonic_disagreement": 100 * fitted.disagreement,
        "method": fitted.function.provenance.method,
    }


def _points(errors: Errors) -> dict[str, float | None]:
    by_split = {
        "cv_mae": errors.cross_validation,
        "last_20_mae": errors.last_20,
        "last_40_mae": errors.last_40,
        "other_runs_mae": errors.other_runs,
    }
    return {name: None if value is None else 100 * value for name, value in by_split.items()}


def _overall(rows: Sequence[Document]) -> dict[str, Any]:
    overall: dict[str, Any] = {}
    for name in (*_ERRORS, "other_runs_mae", "test_mae", "train_r2"):
        _mean_and_median(overall, name, (row.get(name) for row in rows))
    if "coverage" in rows[0]:
        for split in rows[0]["coverage"]:
            _mean_and_median(overall, f"coverage_{split}", (row["coverage"][split] for row in rows))
    if "family_wins" in rows[0]:
        wins: dict[str, int] = {}
        for row in rows:
            for family, count in row["family_wins"].items():
                wins[family] = wins.get(family, 0) + count
        overall["family_wins"] = wins
    return overall


def _mean_and_median(overall: dict[str, Any], name: str, values: Iterable[float | None]) -> None:
    known = [value for value in values if value is not None]
    if known:
        overall[f"{name}_mean"], overall[f"{name}_median"] = fmean(known), median(known)
