"""The token ids of documents, batch by batch, by the fastest way that is shown to be right.

`tokenizers` is the judge of what is right. Where gigatoken is installed, two million letters of a
stream are tokenised by both, and if all documents agree the rest is gigatoken's; of that one
document in a thousand is still tokenised by both. Where one of these differs, documents before
it may too, so the stream is made again without gigatoken. Short streams never reach its use.
"""

import logging
import threading
import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataselect.corpus.fast_tokens import Encode, failure, fast_encode
from dataselect.corpus.long_texts import PIECE, long_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger("dataselect")

UNTRIED_LETTERS = 200_000
"""Letters before gigatoken is loaded; many streams are no longer."""
TRIED_LETTERS = 2_000_000
"""Letters after them that both tokenise."""
JUDGED = 1_000
"""Of so many documents after them one is tokenised by both."""

Ids = NDArray[np.uint32]


class OtherTokensError(Exception):
    """Documents of this stream may have been given other tokens than the tokenizer's."""


class DocumentTokens:
    """Tokens of documents; called from several threads at once.

    `before` are the ids that begin a document, `end` the one that ends it. `most`: ids of a
    document behind the first so many may be left out. `fast`: whether gigatoken may be used.
    """

    def __init__(
        self, tokenizer: "Tokenizer", before: list[int], end: int, most: int, *, fast: bool
    ) -> None:
        self._tokenizer, self._most = tokenizer, most
        self._before, self._end = np.array(before, np.uint32), np.array([end], np.uint32)
        self._lock = threading.Lock()
        self._letters = 0
        self._may_try = fast
        self._fast: Encode | None = None
        self._used = False

    def __call__(self, batch: list[str]) -> tuple[Ids, NDArray[np.int64]]:
        """Ids of the documents, one after the other, and where each ends.

        Raises OtherTokensError if gigatoken gave other tokens after it was trusted.
        """
        fast, trusted = self._way(sum(map(len, batch)))
        if fast is None:
            ids = self._exact(batch)
        elif not trusted:
            ids = self._exact(batch)
            self._try(fast, batch, ids)
        else:
            ids = [self._judged(fast, text) for text in batch]
        parts = [part for each in ids for part in (self._before, each, self._end)]
        ends = np.cumsum([len(self._before) + len(each) + 1 for each in ids], dtype=np.int64)
        return np.concatenate(parts) if parts else np.empty(0, np.uint32), ends

    def _way(self, letters: int) -> tuple[Encode | None, bool]:
        """The fast way if there is one, and whether it has been tried long enough."""
        with self._lock:
            before, self._letters = self._letters, self._letters + letters
            if self._may_try and self._fast is None and before >= UNTRIED_LETTERS:
                self._may_try = (found := fast_encode(self._tokenizer)) is not None
                self._fast = found
            trusted = self._fast is not None and before >= UNTRIED_LETTERS + TRIED_LETTERS
            self._used = self._used or trusted
            return self._fast, trusted

    def _try(self, fast: Encode, batch: list[str], ids: list[Ids]) -> None:
        same = (self._same(fast, text, its) for text, its in zip(batch, ids, strict=True))
        number = next((n for n, equal in enumerate(same) if not equal), None)
        if number is None:
            return
        problem = f"other tokens for {batch[number][:80]!r}"
        with self._lock:
            self._fast, self._may_try = None, False
            if self._used:
                # A later batch was quicker.
                raise OtherTokensError(problem)
        logger.info("gigatoken gives %s", problem)

    def _judged(self, fast: Encode, text: str) -> Ids:
        try:
            ids = fast(text)
        except BaseException as error:
            raise OtherTokensError(failure(error)) from error
        if zlib.crc32(text[:256].encode("utf-8", "surrogatepass")) % JUDGED == 0:
            (expected,) = self._exact([text])
            if not np.array_equal(ids[: self._most], expected[: self._most]):
                raise OtherTokensError(f"other tokens for {text[:80]!r}")
        return ids

    def _same(self, fast: Encode, text: str, expected: Ids) -> bool:
        try:
            return np.array_equal(fast(text)[: self._most], expected[: self._most])
        except BaseException as error:
            failure(error)
            return False

    def _exact(self, batch: list[str]) -> list[Ids]:
        short = [text for text in batch if len(text) <= PIECE]
        encodings = iter(self._tokenizer.encode_batch_fast(short, add_special_tokens=False))
        return [
            np.array(next(encodings).ids, np.uint32)
            if len(text) <= PIECE
            else np.frombuffer(long_ids(self._tokenizer, text, self._most), np.uint32)
            for text in batch
        ]
