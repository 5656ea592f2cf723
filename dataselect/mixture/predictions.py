"""Predictions of mixtures as a CSV file: every metric and `objective`, with `_low` and `_high`."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from dataselect.mixture.model import Predictions


def to_csv(runs: Sequence[str], metrics: Sequence[str], predicted: Predictions) -> str:
    """A row for each run, in order."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = (*metrics, "objective")
    ends = [column for name in names for column in (name, f"{name}_low", f"{name}_high")]
    rows.writerow(["run", *ends])
    values = np.column_stack([predicted.metrics, predicted.objective])
    half = np.column_stack([predicted.metrics_half, predicted.objective_half])
    table = np.stack([values, values - half, values + half], axis=2).reshape(len(values), -1)
    for run, row in zip(runs, table, strict=True):
        rows.writerow([run, *(f"{value:.9g}" for value in row)])
    return text.getvalue()
