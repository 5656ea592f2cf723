"""The fingerprint of a source: everything that determines its text, as JSON, for store keys.

Local files are identified by name and content, so that a moved project or a touched file keeps its
tokens. Beyond 64 MiB the modification time and both ends stand for the content, because hashing
terabytes before every run would cost too much. Files at URLs are identified by name and by what
their server says of their content (`remote_files`). A Hub dataset is identified by the arguments of
`load_dataset`: without a `revision`, a dataset that changes on the Hub keeps its fingerprint.
Title, repeats and the seed are not part of it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataselect.config.manifest import Source
from dataselect.corpus.files import TextFile, find_files, origin
from dataselect.corpus.remote_files import RemoteFile
from dataselect.corpus.remote_source import forget
from dataselect.corpus.rows import ORDER_VERSION
from dataselect.errors import InputError
from dataselect.redaction import redact

WHOLE_FILE_BYTES = 64 << 20
END_BYTES = 64 << 10


def fingerprint(source: Source, base: Path) -> dict[str, Any]:
    """A description of a source; equal descriptions mean equal texts in equal order.

    Raises InputError as `find_files` does, and for a file that cannot be read.
    """
    return fingerprint_and_note(source, base)[0]


def fingerprint_and_note(source: Source, base: Path) -> tuple[dict[str, Any], str]:
    """The fingerprint of a source, and what its folder holds besides and is not read.

    Both from one look at the folder, which may have 100,000 files. Raises as `fingerprint` does.
    """
    kind = origin(source, base)
    common: dict[str, Any] = {"origin": kind, "order": ORDER_VERSION}
    if kind == "desk":
        from dataselect.synthetic import genres

        return common | {"genre": source.name, "world": genres.version(source.name or "")}, ""
    common |= {"text_column": source.text_column, "bad_rows": source.bad_rows}
    if kind == "remote":
        forget(source)
    if kind in ("local", "remote"):
        found = find_files(source, base)
        return common | {"files": [_described(file) for file in found.files]}, found.note
    return common | {
        "path": source.path,
        "name": source.name,
        "split": source.split,
        "data_files": _without_secrets(source.data_files),
        "data_dir": source.data_dir,
        "revision": source.revision,
        "streaming": source.streaming,
    }, ""


def require_unchanged(source: Source, base: Path, before: Mapping[str, Any]) -> None:
    """Raise InputError unless a source's files at URLs are as its fingerprint `before` says.

    For after they were read: what another process writes meanwhile must not be kept under the key
    of what was there before. Other sources are taken to be unchanged.
    """
    if before["origin"] == "remote" and fingerprint(source, base) != before:
        raise InputError(
            f"{source.id}: {redact(source.path or '')}",
            "its files changed while they were read",
            "run the same command again when they are complete",
        )


def _described(file: TextFile) -> dict[str, Any]:
    if isinstance(file.path, RemoteFile):
        about = {"name": file.name, "form": file.form, "bytes": file.bytes}
        return about | dict(file.path.version)
    try:
        status = file.path.stat()
        description: dict[str, Any] = {
            "name": file.name,
            "form": file.form,
            "bytes": status.st_size,
        }
        with file.path.open("rb") as stream:
            if status.st_size <= WHOLE_FILE_BYTES:
                digest = hashlib.file_digest(stream, "sha256")
                return description | {"sha256": digest.hexdigest()}
            digest = hashlib.sha256(stream.read(END_BYTES))
            stream.seek(-END_BYTES, os.SEEK_END)
            digest.update(stream.read(END_BYTES))
    except OSError as error:
        raise InputError(
            file.path, f"cannot be read ({error.strerror})", "check that it exists and is readable"
        ) from error
    return description | {"mtime_ns": status.st_mtime_ns, "sha256_ends": digest.hexdigest()}


def _without_secrets(data_files: str | list[str] | None) -> Any:
    names = [data_files] if isinstance(data_files, str) else data_files or []
    redacted = [redact(name) for name in names]
    if redacted == names:
        return data_files
    # Two addresses that differ only in the redacted part are still two sources.
    return {"redacted": redacted, "sha256": hashlib.sha256(json.dumps(names).encode()).hexdigest()}
