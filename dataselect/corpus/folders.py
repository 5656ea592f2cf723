"""The files of a folder that a source reads: those of its split that hold text.

What is left out is told, since a folder whose test files are trained on, or whose better half is
passed over, gives a wrong ranking without any sign of it.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dataselect.config.manifest import Source
from dataselect.corpus.forms import Form, archived_form, form_of
from dataselect.corpus.other_formats import MEGATRON, other_format, sharded_format
from dataselect.corpus.saved_dataset import saved_dataset
from dataselect.corpus.splits import (
    README,
    Splits,
    configured_splits,
    is_data,
    split_files,
    splits_by_name,
)
from dataselect.errors import InputError

_NAMES_SHOWN = 4


@dataclass(frozen=True)
class Chosen:
    """What is read of a folder."""

    paths: Sequence[Path]
    """The files that are read."""
    note: str = ""
    """What is left out, for the user; "" for nothing."""


def choose_files(source: Source, folder: Path, form: Form | None) -> Chosen:
    """The files of the source's split in `folder`, of one form if it names one.

    Raises InputError for a split or configuration that is not there, for formats that are not read,
    and for files that `datasets` would prefer to the text.
    """
    if form in (None, "arrow"):
        saved = saved_dataset(folder, source.split, source.id)
        if saved is not None:
            _refuse_name(source)
            left = ", ".join(saved.others)
            return Chosen(
                saved.paths, f"only split {source.split} is read, not {left}" if left else ""
            )
    names = sorted(_names(folder))
    sharded = sharded_format(folder, names)
    if sharded is not None:
        place, found = sharded
        raise InputError(f"{source.id}: path", f"{place} holds {found.name}, not read", found.fix)
    data = [name for name in names if is_data(PurePosixPath(name)) and _is_text_or_like(name, form)]
    # A part of a dataset named by data_dir follows names alone, as in `datasets`.
    splits = None
    if source.data_dir is None:
        splits = configured_splits(folder, source.name, source.id)
    if splits is None:
        _refuse_name(source)
        splits = splits_by_name(folder, data)
    if not splits.files:
        _refuse_other_formats(source, folder, (), ())
        return Chosen(())
    by_name = len(data) if splits.config is None else None
    in_split = split_files(splits, source.split, folder, source.id, by_name)
    # A file that a README.md names is text whatever its name is, unless that shows otherwise.
    listed = splits.config is not None
    paths = [
        path
        for path in in_split
        if _has_form(path, form)
        and (form_of(path) is not None or (listed and other_format(path) is None))
    ]
    _refuse_other_formats(source, folder, in_split, paths)
    return Chosen(paths, _note(source, folder, splits, names, in_split, paths))


def _names(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, except hidden ones; linked folders are not entered."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(root).relative_to(folder).as_posix()
        for name in names:
            if not name.startswith("."):
                yield name if below == "." else f"{below}/{name}"


def _is_text_or_like(name: str, form: Form | None) -> bool:
    """Whether a file could be data for `datasets`, so that its name may show a split."""
    path = PurePosixPath(name)
    if form_of(path) is not None or archived_form(path) is not None:
        return form is None or _has_form(path, form)
    other = other_format(path)
    return form is None and other is not None and other.loadable


def _has_form(path: PurePosixPath | Path, form: Form | None) -> bool:
    return form is None or form in (form_of(path), archived_form(path))


def _refuse_name(source: Source) -> None:
    if source.name is not None:
        raise InputError(
            f"{source.id}: name",
            f"has no meaning for local files without configs: in their {README}",
            "remove name:",
        )


def _refuse_other_formats(
    source: Source, folder: Path, in_split: Sequence[Path], paths: Sequence[Path]
) -> None:
    where = f"{source.id}: path"
    for path in in_split:
        if archived_form(path) is not None:
            raise InputError(
                path, f"{path.suffix} files are not read", "recompress it as .gz or .zst"
            )
    others = Counter(
        found
        for path in in_split
        if form_of(path) is None and (found := other_format(path)) is not None
    )
    loadable = Counter({found: n for found, n in others.items() if found.loadable})
    if paths and loadable.total() > len(paths):
        found = loadable.most_common(1)[0][0]
        raise InputError(
            where,
            f"{folder} holds more {found.name} than text files, and `datasets` would read those",
            "name the files to read in data_files",
        )
    if paths:
        return
    for name in sorted(_names(folder)):
        if (other := other_format(PurePosixPath(name))) is not None:
            others[other] += 1
    if others:
        found = MEGATRON if MEGATRON in others else others.most_common(1)[0][0]
        raise InputError(where, f"{folder} holds {found.name}, which are not read", found.fix)


def _note(
    source: Source,
    folder: Path,
    splits: Splits,
    names: Sequence[str],
    in_split: Sequence[Path],
    paths: Sequence[Path],
) -> str:
    """What is left out and why, in one line."""
    split_of = {path: split for split, files in splits.files.items() for path in files}
    chosen, read = set(in_split), set(paths)
    left: dict[str, str] = {}
    others_split = False
    for name in names:
        path, pure = folder / name, PurePosixPath(name)
        holds_text = form_of(pure) is not None or archived_form(pure) is not None
        if path in read or (holds_text and path in chosen):
            continue
        if holds_text and is_data(pure):
            left[name] = split_of.get(path, "no split")
            others_split = True
        elif holds_text and len(pure.parts) > 1:
            left[name] = "a folder that `datasets` passes over"
        elif not holds_text and (other := other_format(pure)) is not None:
            left[name] = other.name
    if not left:
        return ""
    shown = [f"{name} ({why})" for name, why in list(left.items())[:_NAMES_SHOWN]]
    if len(left) > _NAMES_SHOWN:
        shown.append(f"and {len(left) - _NAMES_SHOWN} more")
    what = "left out: " + ", ".join(shown)
    if not others_split:
        return what
    of = f" of configuration {splits.config}" if splits.config else ""
    return f"only split {source.split}{of} is read ({_files(len(paths))}); {what}"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
