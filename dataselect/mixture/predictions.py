"""Predictions of mixtures as a CSV file: every metric and `objective`, with `_low` and `_high`."""

import csv
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.model import Predictions

Array = NDArray[np.float64]


def column_names(metrics: Sequence[str]) -> list[str]:
    """The columns after the run's name."""
    return [f"{name}{end}" for name in (*metrics, "objective") for end in ("", "_low", "_high")]


def columns_of(predicted: Predictions) -> Array:
    """Values of the columns, (mixtures, columns)."""
    values = np.column_stack([predicted.metrics, predicted.objective])
    half = np.column_stack([predicted.metrics_half, predicted.objective_half])
    return np.stack([values, values - half, values + half], axis=2).reshape(len(values), -1)


def to_csv(runs: Sequence[str], metrics: Sequence[str], predicted: Predictions) -> str:
    """Text of the CSV file: a row for each mixture, in order."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["run", *column_names(metrics)])
    for run, row in zip(runs, columns_of(predicted), strict=True):
        rows.writerow([run, *(f"{value:.9g}" for value in row)])
    return text.getvalue()
