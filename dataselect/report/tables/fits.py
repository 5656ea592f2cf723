"""The result of `dataselect fit`, as a JSON document and as terminal tables.

Errors are in points of accuracy (0..100); floors, accuracy ranges and coverage are shares (0..1).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from dataselect.report.console import add_row, named_table, say
from dataselect.transfer.forecast import SAYS_NOTHING, counted
from dataselect.transfer.function import TransferFunction
from dataselect.transfer.held_out import FOLDS, Errors
from dataselect.transfer.pairs import PairsFile
from dataselect.transfer.protocols import CONFIDENCE, PaperFit, RobustFit
from dataselect.transfer.worth import Worth

Document = dict[str, Any]
_Cell = Callable[[Document], str]

_ERRORS = ("cv_mae", "last_20_mae", "last_40_mae")


def fit_document(
    file: PairsFile,
    fits: Mapping[str, PaperFit | RobustFit],
    correlations: Mapping[str, float],
    facts: Mapping[str, Any],
    notes: Sequence[str],
    *,
    every_benchmark: bool = False,
) -> Document:
    """The whole result; `facts` come from the caller (file, protocol, seed, ...).

    Means under `overall` are over the benchmarks whose score says something, or over all.
    """
    benchmarks = {}
    for name, fitted in fits.items():
        of_one = _paper(fitted) if isinstance(fitted, PaperFit) else _robust(fitted)
        benchmarks[name] = {
            **_function(fitted.function),
            "rank_correlation": correlations[name],
            "runs": len(set(file.benchmarks[name].groups)),
            **of_one,
        }
    functions = {name: each.function for name, each in fits.items()}
    mean_over = counted(functions, every_benchmark=every_benchmark)
    return {
        **facts,
        "folds": FOLDS,
        "accuracy_unit": file.unit,
        "error_unit": "points of accuracy",
        "benchmarks": benchmarks,
        "mean_over": list(mean_over),
        "overall": _overall([benchmarks[name] for name in mean_over or benchmarks]),
        "notes": list(notes),
    }


def fit_verdict(document: Document) -> str:
    """The error on datasets left out, or why there is none, in one or two sentences."""
    overall = document["overall"]
    names = document["mean_over"] or list(document["benchmarks"])
    over = f"over {len(names)} benchmarks" if len(names) > 1 else f"on {names[0]}"
    parts = []
    if document["protocol"] == "paper":
        parts.append(
            f"the mean absolute error on held-out folds is {_large(overall['test_mae_mean'])} "
            f"points of accuracy {over}, with train R² {overall['train_r2_mean']:.3f}"
        )
    elif (error := overall.get("other_runs_mae_mean")) is not None:
        constant = overall["constant_other_runs_mae_mean"]
        parts.append(
            f"on datasets left out the mean absolute error is {error:.2f} points of accuracy {over}"
            f" (a constant: {constant:.2f})"
        )
        if all(row["interval_for_new_data"] for row in document["benchmarks"].values()):
            parts += _held(overall, "left-out accuracies")
    elif (error := overall.get("cv_mae_mean")) is not None:
        within = "the mean absolute error on held-out folds"
        parts.append(f"{within} is {error:.2f} points of accuracy {over}, within one dataset")
        parts += _beside_tokens([document["benchmarks"][name] for name in names])
        parts += _held(overall, "held-out accuracies in cross-validation")
    else:
        parts.append(f"there are too few points {over} to measure an error")
    text = "; ".join(parts)
    sentences = [f"{text[0].upper()}{text[1:]}.", *few_datasets(document)]
    if not document["mean_over"]:
        sentences.append("No benchmark's score says anything here.")
    return " ".join(sentences)


def _held(overall: Mapping[str, float], of: str) -> list[str]:
    held = overall.get("coverage_cv_mean")
    return [] if held is None else [f"{CONFIDENCE:.0%} intervals contain {held:.0%} of {of}"]


def _beside_tokens(rows: Sequence[Document]) -> list[str]:
    timed = [row for row in rows if "log tokens" in row["beside"]]
    if not timed:
        return []
    ahead = sum(row["cv_mae"] < row["beside"]["log tokens"]["cv_mae"] for row in timed)
    return [f"the score beats tokens alone on {ahead} of {len(timed)}"]


def few_datasets(document: Document) -> list[str]:
    """Why there is no interval for a new dataset, a sentence for each number of datasets."""
    sentences = []
    lacking = [row for row in document["benchmarks"].values() if not row["interval_for_new_data"]]
    for count in sorted({row["datasets"] for row in lacking}):
        of = "one dataset" if count == 1 else f"{count} datasets"
        sentences.append(
            f"Fitted on {of}, it has no honest interval for a new one, and none is given: add"
            " datasets (column group) or a prior (--prior)."
        )
    return sentences


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
    rows = document["benchmarks"]
    if any(row["datasets"] > 1 for row in rows.values()):
        console.print(_table(rows, _PAPER_LEFT_OUT if paper else _LEFT_OUT))
        console.print(_LEFT_OUT_WORDS, style="dim", highlight=False)
    for sentence in few_datasets(document):
        say(console, sentence)
    for name, row in rows.items():
        if row["worth"] is not None and row["worth"]["says_nothing"]:
            left = "" if name in document["mean_over"] else "; it is left out of means"
            say(console, f"{name}: {SAYS_NOTHING} ({row['worth']['reason']}){left}")
    spreads = {name: row.get("offset_sd") for name, row in rows.items()}
    if any(spread is not None for spread in spreads.values()):
        of_each = ", ".join(f"{name} {_one(spread)}" for name, spread in spreads.items())
        say(console, f"datasets' own heights, standard deviation in points: {of_each}")
    for columns in _PAPER_TABLES if paper else _ROBUST_TABLES:
        console.print(_table(rows, columns))
    overall = {name: _figure(value) for name, value in document["overall"].items()}
    wins = document["overall"].get("family_wins", {})
    overall["folds_won"] = ", ".join(f"{k} {v}" for k, v in wins.items())
    console.print()
    for line in _PAPER_WORDS if paper else _ROBUST_WORDS:
        missing = defaultdict(lambda: "–", {**overall, "folds": str(FOLDS)})
        console.print(line.format_map(missing), style="dim", highlight=False)
    for note in document["notes"]:
        say(console, f"note: {note}")


def _figure(value: Any) -> str:
    return _large(value) if isinstance(value, float) else str(value)


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


def _one(value: float | None) -> str:
    return "–" if value is None else _large(value)


def _left_out(baseline: str) -> _Cell:
    return lambda row: _one(row["beside"].get(baseline, {}).get("other_runs_mae"))


_COMMON: dict[str, _Cell] = {
    "n": lambda row: str(row["points"]),
    "fitted range": lambda row: "{:.3g}..{:.3g}".format(*row["fitted_range"]),
}
_PAPER_LEFT_OUT: dict[str, _Cell] = {
    "datasets": lambda row: str(row["datasets"]),
    "left out": lambda row: _one(row["other_runs_mae"]),
}
_LEFT_OUT: dict[str, _Cell] = {
    **_PAPER_LEFT_OUT,
    "90% held": lambda row: (
        _slashes([row["coverage"]["cv"]]) if row["interval_for_new_data"] else "–"
    ),
    "constant": _left_out("constant"),
    "last": _left_out("last accuracies"),
    "tokens": _left_out("log tokens"),
    "label": _left_out("label NLL"),
}
_LEFT_OUT_WORDS = (
    "left out: mean absolute error on each dataset, fitted on the others, in points of accuracy;"
    " 90% held: share of their accuracies inside 90% intervals. Beside it what does not know the"
    " score: a constant, the others' last accuracies again, tokens, the label's NLL."
)
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
        "floor": lambda row: _one(row["floor"]),
        "MAE": _triple,
        "90% held": lambda row: _slashes(row["coverage"].values()),
    },
    {
        "tokens alone": lambda row: _triple(row["beside"].get("log tokens", {})),
        "last again": lambda row: _triple(row["beside"]["last accuracies"]),
        "constant": lambda row: _one(row["beside"]["constant"]["cv_mae"]),
        "isotonic": lambda row: _one(row["beside"]["isotonic"]["cv_mae"]),
    },
)
_PAPER_WORDS = (
    "mean over benchmarks: train R² {train_r2_mean}, test MAE {test_mae_mean}; "
    "median {test_mae_median}",
    "folds won: {folds_won}",
    "R² and MAE are means over {folds} folds; MAE in points of accuracy, not clipped.",
)
_ROBUST_WORDS = (
    "mean over benchmarks: CV MAE {cv_mae_mean}, median {cv_mae_median}",
    "MAE: mean absolute error in points of accuracy, in cross-validation (of datasets if there are"
    " three, else of points) / on the last 20% / last 40% of each run, fitted on what comes before;"
    " 90% held: share of held-out accuracies inside 90% intervals, for the same three splits.",
    "tokens alone: MAE of the same fit on tokens without the score; a score that does not beat it "
    "adds nothing on these runs. last again: the last three accuracies again. constant, isotonic: "
    "CV MAE of a constant, and of the isotonic half alone.",
)


def _function(function: TransferFunction) -> Document:
    return {
        "points": len(function.points),
        "family": function.family,
        "fitted_range": list(function.fitted_range),
        "bounds": list(function.bounds),
        "r2": function.r2,
        "loo_mae": None if function.mae is None else 100 * function.mae,
        "datasets": function.datasets,
        "interval_for_new_data": function.has_intervals,
        "worth": None if function.worth is None else _worth(function.worth),
    }


def _worth(worth: Worth) -> Document:
    gains = {key: getattr(worth, key) for key in ("gain", "gain_low", "gain_high")}
    return {
        **asdict(worth),
        **{key: None if value is None else 100 * value for key, value in gains.items()},
    }


def _paper(fitted: PaperFit) -> Document:
    return {
        "train_r2": fitted.train_r2,
        "test_mae": 100 * fitted.test_mae,
        "test_mae_median": 100 * fitted.test_mae_median,
        "family_wins": dict(fitted.wins),
        "skipped": dict(fitted.function.skipped),
        "other_runs_mae": None if fitted.other_runs is None else 100 * fitted.other_runs,
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
        "ceiling": None if fitted.floor is None else sum(fitted.function.curve.coefficients[:2]),
        "averaged_points": fitted.averaged,
        "beside": {name: _points(errors) for name, errors in fitted.beside.items()},
        "isotonic_disagreement": None if fitted.disagreement is None else 100 * fitted.disagreement,
        "offset_sd": None if fitted.heights is None else 100 * fitted.heights,
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
    if "beside" in rows[0]:
        values = (row["beside"]["constant"]["other_runs_mae"] for row in rows)
        _mean_and_median(overall, "constant_other_runs_mae", values)
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
