"""Read one split of a benchmark's Hub dataset through `datasets`, from the network or its cache.

The Hub's clients raise many kinds of errors, which may contain credentials; each becomes one line
here that names the dataset and the fix. Code from a dataset is never run.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataselect.benchmarks.definition import HubRows, Row
from dataselect.errors import InputError
from dataselect.redaction import redact
from dataselect.wording import quoted

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NETWORK = ("offline", "connect", "timeout", "couldn't reach", "max retries", "resolve host")

_LOCAL = (
    "name a folder of local files: --folder of a command, 'folder' of a benchmark in a plan "
    "(docs/benchmarks.md)"
)


def hub_rows(where: str, source: HubRows) -> tuple[list[Row], str | None]:
    """All rows of a split, and their commit (None when not known).

    Without network the newest copy in the cache of `datasets` is read, whatever its commit.
    Raises InputError when the split cannot be read or lacks a column.
    """
    with _one_line_errors(f"{where}: {source.path}"):
        import datasets

        datasets.disable_progress_bars()
        dataset = datasets.load_dataset(
            source.path, source.name, split=source.split, revision=source.revision
        )
        require_columns(f"{where}: {source.path}", source.columns, dataset.column_names)
        rows = list(dataset)
    return rows, _commit(dataset)


def require_columns(where: str, wanted: Sequence[str], found: Sequence[str]) -> None:
    """Raise InputError for the first of the wanted columns that is not found."""
    for column in wanted:
        if column not in found:
            listed = ", ".join(quoted(name) for name in found)
            raise InputError(
                where,
                f"no column {quoted(column)} (columns: {listed or 'none'})",
                "name the columns in 'columns:' of a benchmark file, or take another revision",
            )


def _commit(dataset: Any) -> str | None:
    # `datasets` keeps prepared data in a folder that is named after the commit.
    folders = [Path(file["filename"]).parent.name for file in dataset.cache_files]
    return next((name for name in folders if _COMMIT.fullmatch(name)), None)


@contextmanager
def _one_line_errors(where: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the clients have no common base class
        kind = type(error).__name__
        # Its text is often only "An error occurred while generating the dataset".
        text = redact(" ".join(f"{error} {error.__cause__ or ''}".split()))[:300]
        raise InputError(
            where, f"not readable as a Hub dataset ({kind}: {text})", _fix(f"{kind} {text}")
        ) from None


def _fix(text: str) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return f"HF_HUB_OFFLINE is set: unset it to download, or {_LOCAL}"
    if any(word in text.lower() for word in _NETWORK):
        return f"check the network, or {_LOCAL}"
    return "check path, name, split and revision; a gated dataset needs `hf auth login`"
