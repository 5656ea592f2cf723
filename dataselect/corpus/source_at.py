"""A source as plain values, so that a job on another machine can read it."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect.config.manifest import Source
from dataselect.corpus.files import local_files, origin
from dataselect.errors import IncompleteError, InputError


@dataclass(frozen=True)
class SourceAt:
    """A source, and the folder that its paths are relative to."""

    keys: Mapping[str, Any]
    """Its keys, as in a manifest."""
    base: Path
    """The manifest's folder."""

    @staticmethod
    def of(source: Source, base: Path) -> "SourceAt":
        """The source of a manifest in the folder `base`."""
        # Of a candidate its text alone.
        return SourceAt({name: getattr(source, name) for name in Source.model_fields}, base)

    @property
    def source(self) -> Source:
        """The source."""
        return Source.model_validate(dict(self.keys))

    def require_seen(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise IncompleteError unless this machine has the files that were fingerprinted.

        What is in them is not read: they are taken to be one file system's.
        """
        if fingerprint["origin"] != "local":
            return
        source = self.source
        named = [file["name"] for file in fingerprint["files"]]
        try:
            seen = origin(source, self.base) == "local" and named == [
                file.name for file in local_files(source, self.base)
            ]
        except InputError:
            seen = False
        if not seen:
            raise IncompleteError(
                f"{socket.gethostname()} does not see the files of {source.id!r} as the driver "
                "does; move them to a file system that all nodes see, or write 'compute: "
                "{prepare: {by: driver}}' in the plan"
            )
