"""Small tables whose truth is known, for the functions and commands that take tables."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.mixture.design import design

HOSTILE = "<script>alert(1)</script>"
"""A name that a page must not run."""


def agreement_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of proxies with seeds, and accuracies of their targets."""
    rng = np.random.default_rng(0)
    names = [HOSTILE, "web", "books", "code", "wiki"]
    proxy = pd.DataFrame(
        {
            "id": [name for name in names for _ in range(2)],
            "seed": [0, 1] * len(names),
            "nll": np.repeat(np.arange(5.0, 0.0, -1.0), 2) + rng.normal(0, 0.1, 10),
            HOSTILE: rng.normal(0, 1, 10),
        }
    )
    return proxy, pd.DataFrame({"id": names, "arc": [0.1, 0.2, 0.3, 0.4, 0.5]})


def pairs_table() -> pd.DataFrame:
    """Pairs of proxy scores and target accuracies on two benchmarks, three datasets of each."""
    rng = np.random.default_rng(0)
    tokens = np.geomspace(1e9, 1e11, 16)
    parts = []
    for name, ceiling in (("arc_easy", 0.7), (HOSTILE, 0.5)):
        for group in "abc":
            score = 3.5 - 0.1 * np.log(tokens) + rng.normal(0, 0.005, 16)
            share = 0.25 + (ceiling - 0.25) / (1 + np.exp(12 * (score - 1.2)))
            columns = {"metric": score, "accuracy": 100 * share, "tokens": tokens}
            parts.append(pd.DataFrame(columns).assign(benchmark=name, group=group))
    return pd.concat(parts, ignore_index=True)


def scores_table() -> pd.DataFrame:
    """Scores of three candidates' proxies on the benchmarks of `pairs_table`, with seeds."""
    rows = [
        {"id": name, "seed": seed, "arc_easy": at + off, HOSTILE: at + 0.1 - off}
        for name, at in (("web", 1.3), (HOSTILE, 1.1), ("code", 1.11))
        for seed, off in (("a", 0.0), ("b", 0.01), ("c", -0.01))
    ]
    return pd.DataFrame(rows)


def swarm_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weights of 16 runs on three sources, and two losses of each."""
    weights = design(np.array([0.6, 0.3, 0.1]), 16, 0)
    worth = np.array([[1.0, 0.3, 2.0], [0.3, 3.0, 0.4]])
    noise = 0.005 * np.random.default_rng(0).standard_normal((16, 2))
    losses = 2 + (0.05 + weights**0.5 @ worth.T) ** -0.5 + noise
    runs = pd.Index([f"r{i}" for i in range(16)], name="run")
    ratios = pd.DataFrame(weights, index=runs, columns=["web", HOSTILE, "wiki"])
    metrics = pd.DataFrame(losses, index=runs, columns=["qa_loss", "code_loss"])
    return ratios.reset_index(), metrics.reset_index()


def written(folder: Path, **tables: pd.DataFrame) -> Iterator[Path]:
    """The tables as NAME.csv, in order."""
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        table.to_csv(path, index=False)
        yield path


def command(*arguments: object) -> Result:
    """The command line, which has to succeed."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result


def printed(*arguments: object) -> dict[str, Any]:
    """The JSON document that a command prints."""
    found: dict[str, Any] = json.loads(command(*arguments).stdout)
    return found
