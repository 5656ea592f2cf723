"""The files of a source whose path or data_files are URLs.

A folder at a URL is laid out here as empty files, with its small metadata files whole. So what a
folder means, its splits, `configs:` and folders of `save_to_disk`, is decided by the same code, and
alike, as for a local one.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dataselect.config.manifest import Source
from dataselect.corpus.folders import choose_files
from dataselect.corpus.forms import Form
from dataselect.corpus.remote_files import RemoteFile, forget_listing, join, listing, require_read
from dataselect.errors import InputError
from dataselect.redaction import redact
from dataselect.store.objects import is_url

_METADATA_BYTES = 64 << 20
_METADATA = frozenset(
    {
        "README.md",
        ".huggingface.yaml",
        "dataset_dict.json",
        "dataset_info.json",
        "state.json",
        "index.json",
    }
)


@dataclass(frozen=True)
class ChosenRemote:
    """What is read of a source at URLs."""

    files: Sequence[RemoteFile]
    """The files."""
    note: str = ""
    """What is left out, for the user; "" for nothing."""


def is_remote(source: Source) -> bool:
    """Whether a source's text is at URLs."""
    return any(is_url(each) for each in (source.path or "", source.data_dir or "", *_named(source)))


def require_readable(source: Source) -> None:
    """Raise InputError where a source is at URLs that are not read; asks no server."""
    named = [("path", source.path), ("data_dir", source.data_dir)]
    for key, url in (*named, *(("data_files", each) for each in _named(source))):
        if url is not None and is_url(url):
            require_read(url, f"{source.id}: {key}")


def choose_remote(source: Source, form: Form | None) -> ChosenRemote:
    """The files at URLs that a source reads, of one form if it names one.

    Raises InputError as for local files, and where a server does not answer.
    """
    require_readable(source)
    if source.data_files:
        files: dict[str, RemoteFile] = {}
        for url in _urls(source):
            where = f"{source.id}: data_files"
            if not is_url(url):
                raise InputError(
                    where,
                    f"'{url}' is here and others are at URLs",
                    "make two sources of them, and a mixture",
                )
            found = listing(url, where)
            if not found.is_file and not any(mark in url for mark in "*?["):
                fix = f"write '{redact(url.rstrip('/'))}/*' for the files in it"
                raise InputError(where, f"'{redact(url)}' is a folder", fix)
            files |= {file.url: file for file in found.files}
        return ChosenRemote(list(files.values()))
    (base,) = _urls(source)
    if not is_url(base):
        raise InputError(f"{source.id}: data_dir", "it is here, and the path a URL", "remove it")
    found = listing(base, f"{source.id}: path")
    if found.is_file:
        return ChosenRemote(found.files)
    return _of_folder(source, found.url, found.files, form)


def forget(source: Source) -> None:
    """Ask the servers again when the files of this source are looked for next."""
    for url in _urls(source):
        forget_listing(url)


def _urls(source: Source) -> list[str]:
    """What is listed for a source: each of `data_files`, else one folder or file."""
    base = source.path if is_url(source.path or "") else ""
    if source.data_dir is not None:
        base = join(base, source.data_dir) if base else source.data_dir
    assert base is not None, "a mixture has no text of its own"
    if not source.data_files:
        return [base]
    return [join(base, each) if base else each for each in _named(source)]


def _named(source: Source) -> list[str]:
    named = source.data_files or []
    return [named] if isinstance(named, str) else named


def _of_folder(
    source: Source, url: str, files: Sequence[RemoteFile], form: Form | None
) -> ChosenRemote:
    prefix = url.rstrip("/") + "/"
    by_name = {file.url.removeprefix(prefix): file for file in files}
    with tempfile.TemporaryDirectory(prefix="dataselect-") as temporary:
        folder = Path(temporary).resolve() / "folder"
        for name, file in by_name.items():
            plain = PurePosixPath(name)
            if plain.is_absolute() or ".." in plain.parts:
                problem = f"{redact(prefix)} has a file '{name}'"
                raise InputError(f"{source.id}: path", problem, "rename it")
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            small = place.name in _METADATA and file.bytes <= _METADATA_BYTES
            place.write_bytes(_content(file) if small else b"")
        try:
            chosen = choose_files(source, folder, form)
        except InputError as error:
            # It names the copy.
            here, there = f"{folder}", redact(url.rstrip("/"))
            parts = (each.replace(here, there) for each in (error.where, error.problem, error.fix))
            raise InputError(*parts) from None
        names = [path.relative_to(folder).as_posix() for path in chosen.paths]
    return ChosenRemote([by_name[name] for name in names], chosen.note)


def _content(file: RemoteFile) -> bytes:
    try:
        with file.open() as stream:
            return stream.read()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise InputError(file, problem, "check the network, and try it again") from error
