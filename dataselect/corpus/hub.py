"""Read the rows of a Hub dataset through `datasets.load_dataset`.

Failures are exceptions of many classes from several libraries, with long texts that may repeat
credentials; here each becomes one line that names the dataset and the fix. No code from a dataset
is ever run: `datasets` reads data files only, and `trust_remote_code` is never set.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dataselect.config.manifest import Source
from dataselect.corpus.readers import missing_column
from dataselect.errors import InputError
from dataselect.redaction import redact

_FIXES = (
    # Words in the error's class and text, in the order they are tried, and the fix.
    (("config",), "set name: to one of the dataset's configurations"),
    (("split",), "set split: to one of the dataset's splits"),
    (("revision",), "check revision: (a branch, tag or commit of the dataset)"),
    (("script",), "try revision: refs/convert/parquet, or another copy of the data"),
    (
        ("notfounderror", "gated", "401", "403"),
        "check path, data_files and data_dir; a private or gated dataset needs `hf auth login` "
        "and its terms accepted",
    ),
    (
        ("couldn't reach", "connect", "timeout", "offline", "max retries", "resolve host"),
        "check the network, or name local copies (path: parquet, data_files: …)",
    ),
)


def hub_rows(source: Source, seed: int, streaming: bool) -> Generator[tuple[int, object]]:
    """Yield `(number from 1, value of the text column)` of a Hub dataset.

    The dataset's files (when streaming) or rows (when not) are shuffled by the seed. Raises
    InputError for any failure of the reading.
    """
    with _one_line_errors(source):
        dataset = _load(source, streaming)
        names = dataset.column_names
    if names is not None:
        if source.text_column not in names:
            raise missing_column(f"{source.id}: {source.path}", source.text_column, names)
        dataset = dataset.select_columns([source.text_column])
    rows = _files_shuffled(dataset, seed) if streaming else _rows_shuffled(dataset, seed)
    number = 0
    while True:
        with _one_line_errors(source):
            row = next(rows, None)
        if row is None:
            return
        number += 1
        if number == 1 and source.text_column not in row:
            raise missing_column(f"{source.id}: {source.path}", source.text_column, list(row))
        yield number, row.get(source.text_column)


def _files_shuffled(dataset: Any, seed: int) -> Iterator[dict[str, Any]]:
    # Not `dataset.shuffle`, whose order changes with the version of `datasets`: some versions read
    # file after file, others several files in turn.
    files = dataset.num_shards
    for i in np.random.default_rng(seed).permutation(files):
        yield from dataset.shard(num_shards=files, index=int(i))


def _rows_shuffled(dataset: Any, seed: int) -> Iterator[dict[str, Any]]:
    # In memory, because the index would otherwise be written next to the user's data.
    yield from dataset.shuffle(seed=seed, keep_in_memory=True)


def _load(source: Source, streaming: bool) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(
        source.path,
        source.name,
        split=source.split,
        data_files=source.data_files,
        data_dir=source.data_dir,
        revision=source.revision,
        streaming=streaming,
    )


@contextmanager
def _one_line_errors(source: Source) -> Iterator[None]:
    # Hub clients raise errors of httpx, requests, aiohttp, fsspec, pyarrow and more, which have no
    # common class below Exception.
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        text = redact(" ".join(str(error).split()))[:300]
        raise InputError(
            f"{source.id}: {source.path}",
            f"no local file or folder, and not readable as a Hub dataset ({kind}: {text})",
            _fix(f"{kind} {text}".lower()),
        ) from None


def _fix(text: str) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return (
            "HF_HUB_OFFLINE is set: unset it, or name local copies (path: parquet, data_files: …)"
        )
    for words, fix in _FIXES:
        if any(word in text for word in words):
            return fix
    return "check path, name, split and revision, and that `datasets` itself can load it"
