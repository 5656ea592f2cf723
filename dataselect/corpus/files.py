"""Find the files of a source, which has the keys of `datasets.load_dataset`.

Local text is found and read here instead of by `datasets`, because an error must name the file and
line, and `datasets` gives neither. Local files are named in three ways: `path` is a form ("json",
"parquet", "text") with `data_files` or `data_dir`; `path` is a file; `path` is a folder. The same
three at URLs are found by `remote_source`. Any other path is the built-in synthetic world or a
dataset on the Hub.
"""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal, cast, get_args

from dataselect.config.manifest import Source
from dataselect.config.places import beside
from dataselect.corpus.folders import Chosen, choose_files
from dataselect.corpus.forms import OTHER_ARCHIVES, Compression, Form, compression_of, form_of
from dataselect.corpus.other_formats import other_format
from dataselect.corpus.remote_files import RemoteFile, common_folder, name_below
from dataselect.corpus.remote_source import choose_remote, is_remote, require_readable
from dataselect.errors import InputError
from dataselect.redaction import redact
from dataselect.store.objects import is_url
from dataselect.wording import nearest

Origin = Literal["desk", "local", "remote", "hub"]

SYNTHETIC_PATH = "dataselect/desk"
# Other builders of `load_dataset`, which are not names of Hub datasets.
OTHER_BUILDERS = frozenset({"csv", "hdf5", "lance", "pandas", "sql", "webdataset", "xml"})
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class TextFile:
    """One file of text."""

    path: Path | RemoteFile
    name: str
    """Path below the folder that holds all of the source's files, with slashes. Independent of the
    place of the project, so a moved project keeps the fingerprints of its sources."""
    form: Form
    compression: Compression
    """The suffix, "" for none."""

    @property
    def bytes(self) -> int:
        """Its size. Raises OSError for a local file that is not there."""
        return self.path.bytes if isinstance(self.path, RemoteFile) else self.path.stat().st_size


@dataclass(frozen=True)
class Found:
    """The files of a source."""

    files: tuple[TextFile, ...]
    """Sorted by name, so that the order is the same on any machine."""
    note: str
    """What a folder holds besides and is not read, in one line for the user; "" for nothing."""


def origin(source: Source, base: Path) -> Origin:
    """Where a source's text comes from; opens no file.

    "desk" is the built-in synthetic world (the word is part of stored keys). Raises InputError for
    a path that is neither on this machine nor a possible Hub id.
    """
    path = source.path
    assert path is not None, "a mixture has no text of its own"
    if path == SYNTHETIC_PATH:
        return "desk"
    where = f"{source.id}: path"
    if is_remote(source) and (is_url(path) or path in get_args(Form)):
        require_readable(source)
        return "remote"
    if path in OTHER_BUILDERS:
        raise InputError(
            where,
            f"'{path}' files are not read",
            "convert them to JSON lines or Parquet and write path: json or path: parquet",
        )
    looks_local = path.startswith(("/", ".", "~")) or form_of(Path(path)) is not None
    if path in get_args(Form) or looks_local or _absolute(base, path).exists():
        return "local"
    if HUB_ID.fullmatch(path):
        return "hub"
    raise InputError(
        where,
        f"'{path}' is neither a file nor a folder in {base}",
        "correct the path (it is relative to the manifest)",
    )


def local_files(source: Source, base: Path) -> tuple[TextFile, ...]:
    """The files of `find_files`."""
    return find_files(source, base).files


def describe_left_out(source: Source, base: Path) -> str:
    """What the folder of a local source holds besides and is not read; "" for nothing."""
    return find_files(source, base).note if has_files(source, base) else ""


def has_files(source: Source, base: Path) -> bool:
    """Whether a source is files, here or at URLs, that are read one by one."""
    return origin(source, base) in ("local", "remote")


def find_files(source: Source, base: Path) -> Found:
    """The files of a source that has some, and what of its folder is left out.

    Raises InputError for files that are absent, of several forms, or of an unsupported form, and
    for a split that a folder does not have.
    """
    assert source.path is not None, "a mixture has no text of its own"
    if source.revision is not None:
        _refuse_hub_key(source, "revision")
    form = cast(Form, source.path) if source.path in get_args(Form) else None
    if is_remote(source):
        return _find_remote(source, form)
    place = folder = base if form else _absolute(base, source.path)
    if place.is_file():
        _refuse_parts_of_file(source)
        chosen = Chosen([place])
    else:
        folder = _folder(source, place, "path")
        folder = _folder(source, _absolute(folder, source.data_dir or "."), "data_dir")
        if source.data_files:
            _refuse_splits(source)
            chosen = Chosen(_matches(source, folder))
        else:
            chosen = choose_files(source, folder, form)
    whole = [os.path.abspath(path) for path in chosen.paths]
    shared = os.path.commonpath({os.path.dirname(path) for path in whole} or {str(folder)})
    files = [
        _text_file(source, path, PurePath(there[len(shared) :].lstrip(os.sep)).as_posix(), form)
        for path, there in zip(chosen.paths, whole, strict=True)
    ]
    return _found(source, files, chosen.note, str(folder))


def _find_remote(source: Source, form: Form | None) -> Found:
    if source.data_files or not is_url(source.path or source.data_dir or ""):
        _refuse_splits(source)
    chosen = choose_remote(source, form)
    shared = common_folder([file.url for file in chosen.files]) if chosen.files else ""
    files = [_text_file(source, f, name_below(f.url, shared), form) for f in chosen.files]
    return _found(source, files, chosen.note, redact(source.path or ""))


def _found(source: Source, files: Sequence[TextFile], note: str, folder: str) -> Found:
    forms = sorted({file.form for file in files})
    if len(forms) > 1:
        raise InputError(
            f"{source.id}: path",
            f"{redact(source.path or '')} holds {' and '.join(forms)} files",
            f"choose one form: write path: {forms[0]} and data_files:",
        )
    if not files:
        raise InputError(
            f"{source.id}: path",
            f"no .jsonl, .json, .parquet, .arrow or .txt file (or with .gz, .zst) in {folder}",
            "name the files in data_files",
        )
    return Found(tuple(sorted(files, key=lambda file: file.name)), note)


def _absolute(base: Path, path: str) -> Path:
    return beside(base, os.path.expanduser(path))


def _folder(source: Source, place: Path, key: str) -> Path:
    if place.is_dir():
        return place
    raise InputError(
        f"{source.id}: {key}",
        f"{place} does not exist" if not place.exists() else f"{place} is not a folder",
        f"correct the path (it is relative to the manifest){_similar(place)}",
    )


def _matches(source: Source, folder: Path) -> list[Path]:
    """Files that match the patterns of `data_files`, each once; InputError for one without any."""
    patterns = source.data_files or []
    matches: set[Path] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        where = f"{source.id}: data_files"
        literal = _absolute(folder, pattern)
        # An existing file whose name has "[" or "*" is taken literally.
        full = os.path.join(glob.escape(str(folder)), os.path.expanduser(pattern))
        hits = [literal] if literal.is_file() else map(Path, glob.glob(full, recursive=True))
        files = {path for path in hits if path.is_file()}
        if not files:
            fix = f"correct the name (it is relative to {folder}){_similar(literal)}"
            if literal.is_dir():
                fix = f"it is a folder: write '{pattern.rstrip('/')}/*' for the files in it"
            raise InputError(where, f"no file matches '{pattern}'", fix)
        matches |= files
    return sorted(matches)


def _text_file(source: Source, path: Path | RemoteFile, name: str, form: Form | None) -> TextFile:
    pure = PurePosixPath(path.name)
    compression = compression_of(pure)
    if pure.suffix.lower() in OTHER_ARCHIVES:
        raise InputError(path, f"{pure.suffix} files are not read", "recompress it as .gz or .zst")
    other = other_format(pure) if form is None and form_of(pure) is None else None
    if other is not None:
        raise InputError(path, f"{other.name} are not read", other.fix)
    form = form or form_of(pure)
    if form is None:
        raise InputError(
            path,
            "the name does not show its form",
            f"write path: json, parquet or text for {source.id} and name it in data_files",
        )
    if form in ("parquet", "arrow") and compression:
        name = "Parquet" if form == "parquet" else "Arrow"
        raise InputError(path, f"{name} inside {compression} is not read", "decompress it")
    return TextFile(path, name, form, compression)


def _similar(place: Path) -> str:
    try:
        names = os.listdir(place.parent)
    except OSError:
        return ""
    guess = nearest(place.name, names)
    return f"; {guess}" if guess else ""


def _refuse_hub_key(source: Source, key: str) -> None:
    raise InputError(f"{source.id}: {key}", "has no meaning for local files", f"remove {key}:")


def _refuse_splits(source: Source) -> None:
    """Refuse what chooses among the files of a folder, where the files are named."""
    if source.name is not None:
        _refuse_hub_key(source, "name")
    if source.split != "train":
        raise InputError(
            f"{source.id}: split",
            f"files that are named have no split '{source.split}'",
            "remove split: and name the split's files alone",
        )


def _refuse_parts_of_file(source: Source) -> None:
    _refuse_splits(source)
    for key, value in {"data_files": source.data_files, "data_dir": source.data_dir}.items():
        if value is not None:
            raise InputError(
                f"{source.id}: {key}", f"{source.path} is a single file", f"remove {key}:"
            )
