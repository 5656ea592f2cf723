"""A token stream that is wanted: its key, and how it is made, in this process or in a job."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.corpus.fingerprint import require_unchanged
from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.rows import RowCounts, open_rows
from dataselect.corpus.source_at import SourceAt
from dataselect.store import Artifact, Store

if TYPE_CHECKING:
    from dataselect.corpus.shards import Observer

logger = logging.getLogger("dataselect")

STREAMS = "tokens"
"""Kind of the artifacts."""


@dataclass(frozen=True)
class StreamRequest:
    """The first tokens of a source, in the order drawn from a seed."""

    text: SourceAt
    """The source."""
    fingerprint: Mapping[str, Any]
    """What identifies its text."""
    seed: int
    """Seed of the order of its documents."""
    tokenizer: Tokenizer
    """The tokenizer."""
    budget: int
    """Tokens that are needed."""
    cut: bool = False
    """Whether the stream ends there, as if the source had no more."""

    @property
    def id(self) -> str:
        """Id of the source."""
        return str(self.text.keys["id"])

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the stream, whatever its length."""
        tokenizer = self.tokenizer
        return {
            "source": dict(self.fingerprint),
            "tokenizer": tokenizer.hash,
            "seed": self.seed,
            **({"before": list(tokenizer.before)} if tokenizer.before else {}),
            **({"cut": self.budget} if self.cut else {}),
        }

    @property
    def spec(self) -> dict[str, Any]:
        """What determines the artifact."""
        return {**self.identity, "budget": self.budget}

    def find(self, store: Store) -> Artifact | None:
        """The stream; None if the store lacks it."""
        return store.find(STREAMS, self.spec)

    def make(
        self,
        store: Store,
        progress: Callable[[dict[str, float]], None],
        threads: int,
        observer: "Callable[[], Observer] | None" = None,
    ) -> Artifact:
        """The stream, tokenised now unless it is in the store.

        `observer` is called for an observer if text is read. Raises InputError for bad rows.
        """

        def build(folder: Path) -> None:
            # Imported here, so that streams found in the store load no tokenizer.
            from dataselect.corpus.document_tokens import OtherTokensError

            try:
                write(folder, fast=True)
            except OtherTokensError as error:
                logger.warning(
                    "%s: tokenised again without gigatoken, which failed (%s)", self.id, error
                )
                shutil.rmtree(folder)
                write(folder, fast=False)
            require_unchanged(self.text.source, self.text.base, self.fingerprint)

        def write(folder: Path, *, fast: bool) -> None:
            from dataselect.corpus.shards import write_tokens

            source, counts = self.text.source, RowCounts()
            write_tokens(
                open_rows(source, self.text.base, self.seed, counts),
                self.tokenizer.folder,
                self.budget,
                folder,
                processes=threads,
                progress=progress,
                rows=counts,
                observer=None if observer is None else observer(),
                fast=fast,
            )

        return store.get_or_build(STREAMS, self.spec, build)
