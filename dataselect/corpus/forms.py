"""The forms of text files that are read, and how a file's name shows them."""

from pathlib import Path, PurePath
from typing import Literal

Form = Literal["json", "parquet", "text", "arrow"]
Compression = Literal["", ".gz", ".zst"]

FORM_OF_SUFFIX: dict[str, Form] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".arrow": "arrow",
}
OTHER_ARCHIVES = frozenset({".7z", ".bz2", ".lz4", ".rar", ".tar", ".tgz", ".xz", ".zip"})


def compression_of(path: PurePath) -> Compression:
    """The compression that a name shows; "" for none."""
    suffix = path.suffix.lower()
    return ".gz" if suffix == ".gz" else ".zst" if suffix == ".zst" else ""


def form_of(path: PurePath) -> Form | None:
    """The form that a name shows, behind a compression that is read; None where it shows none."""
    stem = path.with_suffix("") if compression_of(path) else path
    return FORM_OF_SUFFIX.get(stem.suffix.lower())


def archived_form(path: Path | PurePath) -> Form | None:
    """The form behind a compression that is not read, as in `a.jsonl.bz2`; else None."""
    if path.suffix.lower() not in OTHER_ARCHIVES:
        return None
    return form_of(path.with_suffix(""))
