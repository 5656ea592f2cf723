"""Folders written by `save_to_disk`: which Arrow files hold their rows.

Their state.json lists the files, in order; a folder of several splits has dataset_dict.json and a
folder for each. `load_dataset` refuses such folders; `load_from_disk` reads them, as is done here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.corpus.splits import Splits, split_files
from dataselect.errors import InputError

_STATE, _INFO, _DICT = "state.json", "dataset_info.json", "dataset_dict.json"
_SAVE_AGAIN = "save it again with save_to_disk, or write it with Dataset.to_parquet"


@dataclass(frozen=True)
class Saved:
    """The rows of a saved dataset that are read."""

    paths: list[Path]
    """Arrow files of the split."""
    others: tuple[str, ...]
    """Splits that are left out."""


def saved_dataset(folder: Path, wanted: str, where: str) -> Saved | None:
    """The files of split `wanted` in a folder of `save_to_disk`; None for any other folder.

    A single saved dataset is taken as it is, whatever split it was, unless another is asked for.
    Raises InputError, beginning with `where`, for a split that is not there and for damaged
    metadata.
    """
    if (folder / _DICT).is_file():
        names = _read(folder / _DICT).get("splits")
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise InputError(folder / _DICT, "lists no splits", _SAVE_AGAIN)
        splits = Splits({name: tuple(_files(folder / name)) for name in names})
        paths = split_files(splits, wanted, folder, where)
        left = (name for name, files in splits.files.items() if not set(files) & set(paths))
        return Saved(paths, tuple(left))
    if not ((folder / _STATE).is_file() and (folder / _INFO).is_file()):
        return None
    paths = _files(folder)
    split = _read(folder / _STATE).get("_split")
    if wanted not in ("train", split):
        known = Splits({str(split or "train"): tuple(paths)})
        split_files(known, wanted, folder, where)
    return Saved(paths, ())


def _files(folder: Path) -> list[Path]:
    state = _read(folder / _STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise InputError(folder, "its rows are chosen by an index, which is not read", _SAVE_AGAIN)
    entries = state.get("_data_files")
    names = (
        [each.get("filename") for each in entries if isinstance(each, dict)]
        if isinstance(entries, list)
        else []
    )
    if not names or not all(isinstance(each, str) for each in names):
        raise InputError(folder / _STATE, "lists no data files", _SAVE_AGAIN)
    paths = [folder / Path(str(name)).name for name in names]
    for path in paths:
        if not path.is_file():
            raise InputError(path, f"{_STATE} beside it lists it, and it is not there", _SAVE_AGAIN)
    return paths


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = strict_json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", _SAVE_AGAIN) from None
    return content if isinstance(content, dict) else {}
