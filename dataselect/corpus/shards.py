"""Write texts as a stream of token ids on disk, and read it back through memory maps.

A folder holds `tokens-00000.bin`, … (little-endian uint16, or uint32 for vocabularies beyond
65,536) and `index.json`. Every document begins with what the tokenizer puts before a text (a BOS,
or nothing), as every text that is scored does, and is followed by one end-of-text token. The
stream stops exactly at the budget, inside a document if need be: the first n tokens are the same
for every budget, number of threads and batch size. Texts are read and tokenised in small batches,
so memory does not grow with the budget. The folder becomes visible when the store publishes it, not
here.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from dataselect.corpus.batches import map_batches
from dataselect.corpus.document_tokens import DocumentTokens
from dataselect.corpus.rows import RowCounts
from dataselect.corpus.saved_tokenizer import special_tokens_before
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.errors import IncompleteError, InputError
from dataselect.store.artifact import published_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Progress = Callable[[dict[str, float]], None]

SHARD_TOKENS = 64_000_000
SECONDS_BETWEEN_REPORTS = 0.5
# Maps open at once; a process may commonly have 1,024 files open.
OPEN_SHARDS = 64


@dataclass(frozen=True)
class TokenCounts:
    """Size of a token folder."""

    tokens: int
    """Tokens, including those that begin and end documents."""
    documents: int
    """Documents begun; the budget may cut the last."""
    exhausted: bool
    """Whether the texts ended before the budget, so that the source has no more tokens."""


class Observer(Protocol):
    """Gets every text that is tokenised, so that texts need not be read a second time."""

    def scan(self, texts: Sequence[str]) -> Any:
        """Findings in a batch of texts. Called from several threads at once, in any order."""

    def keep(self, scanned: Any, documents: int) -> None:
        """Record a result of `scan` for its first `documents` texts. Called in batch order."""

    def end(self) -> None:
        """Called when the stream is written."""


def write_tokens(
    texts: Iterator[str],
    tokenizer_folder: str | Path,
    budget: int,
    folder: Path,
    *,
    processes: int,
    progress: Progress,
    rows: RowCounts | None = None,
    observer: Observer | None = None,
    fast: bool = False,
) -> TokenCounts:
    """Tokenise texts into `folder` until `budget` tokens are written or the texts end.

    `processes` is the number of tokenising threads (the Rust tokenizer runs them in parallel).
    `progress` gets tokens, total_tokens and tokens_per_second about twice a second. `rows`, filled
    in by `open_rows` meanwhile, is written to the index. `observer` gets the documents that were
    begun. `fast`: gigatoken may be used where it is installed and gives the same tokens; raises
    OtherTokensError where that turned out to be wrong, and then all must be written anew.
    """
    assert budget > 0, "a plan never needs 0 tokens"
    assert processes > 0, "tokenising needs a thread"
    tokenizer, end, vocabulary = _plain_tokenizer(tokenizer_folder)
    before = special_tokens_before(tokenizer)
    tokens_of = DocumentTokens(tokenizer, before, end, budget, fast=fast)
    dtype = np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")
    folder.mkdir(parents=True, exist_ok=True)
    tokens = documents = 0
    exhausted = True
    started = reported = time.monotonic()

    def encode(batch: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64], Any]:
        scanned = None if observer is None else observer.scan(batch)
        return *tokens_of(batch), scanned

    with (
        _no_tokenizer_threads(),
        closing(map_batches(texts, encode, processes)) as batches,
        _ShardWriter(folder, dtype) as writer,
    ):
        for ids, ends, scanned in batches:
            kept = ids[: budget - tokens]
            writer.write(kept)
            tokens += len(kept)
            begun = int(np.searchsorted(ends, len(kept), side="left")) + 1
            documents += begun
            if observer is not None:
                observer.keep(scanned, begun)
            now = time.monotonic()
            if now - reported >= SECONDS_BETWEEN_REPORTS:
                reported = now
                progress(_progress(tokens, budget, now - started))
            if tokens == budget:
                exhausted = False
                break
    counts = TokenCounts(tokens, documents, exhausted)
    index = {
        "schema": 1,
        "dtype": "uint16" if dtype.itemsize == 2 else "uint32",
        "shard_tokens": SHARD_TOKENS,
        **asdict(counts),
        "counts": None if rows is None else asdict(rows),
    }
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    if observer is not None:
        observer.end()
    progress(_progress(tokens, budget, time.monotonic() - started))
    return counts


class TokenStream:
    """The tokens of a folder as one memory-mapped array.

    Raises InputError for a folder that `write_tokens` did not finish.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        try:
            index = json.loads((self._folder / "index.json").read_bytes())
            self.counts = TokenCounts(index["tokens"], index["documents"], index["exhausted"])
            self.rows = None if index["counts"] is None else RowCounts(**index["counts"])
            self._dtype = np.dtype({"uint16": "<u2", "uint32": "<u4"}[index["dtype"]])
            self._shard_tokens = int(index["shard_tokens"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if not self._folder.exists():
                # Found damaged and moved away by another job.
                raise IncompleteError(
                    f"{self._folder}: these tokens are gone; run the same command again"
                ) from error
            raise _damaged(self._folder) from error
        # Bounded, because every map keeps a file descriptor open.
        self._shard = lru_cache(maxsize=OPEN_SHARDS)(self._map)

    def __len__(self) -> int:
        return self.counts.tokens

    def read(self, start: int, stop: int) -> NDArray[np.unsignedinteger[Any]]:
        """Tokens start to stop, shape (stop - start,): a view of the map, or a copy across shards.

        Raises IndexError beyond the ends of the stream.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"tokens {start} to {stop} of {len(self)}")
        size = self._shard_tokens
        first, last = start // size, max(start, stop - 1) // size
        if start == stop:
            return np.empty(0, self._dtype)
        if first == last:
            return self._shard(first)[start - first * size : stop - first * size]
        pieces = [
            self._shard(i)[max(0, start - i * size) : stop - i * size]
            for i in range(first, last + 1)
        ]
        return np.concatenate(pieces)

    def _map(self, number: int) -> NDArray[np.unsignedinteger[Any]]:
        path = self._folder / _shard_name(number)
        expected = min(self._shard_tokens, len(self) - number * self._shard_tokens)
        try:
            mapped = np.memmap(published_file(path), self._dtype, "r")
        except (OSError, ValueError) as error:
            raise _damaged(path) from error
        if len(mapped) != expected:
            raise _damaged(path)
        # As a plain array: slices of the memmap class cost several times as much.
        return mapped.view(np.ndarray)


def _shard_name(number: int) -> str:
    return f"tokens-{number:05d}.bin"


def _damaged(path: Path) -> InputError:
    return InputError(path, "tokens are missing or damaged", "delete this folder and run again")


def _progress(tokens: int, budget: int, seconds: float) -> dict[str, float]:
    return {
        "tokens": tokens,
        "total_tokens": budget,
        "tokens_per_second": tokens / max(seconds, 1e-9),
    }


def _plain_tokenizer(folder: str | Path) -> tuple["Tokenizer", int, int]:
    """A tokenizer for documents, the end-of-text id, and the vocabulary's size."""
    loaded = load_tokenizer(folder)
    # Loaded for this call, so the settings below affect no other user.
    tokenizer: Tokenizer = loaded.backend_tokenizer
    # Padding would make a document's ids depend on its batch.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # "<|endoftext|>" in a document is text, not its end.
    tokenizer.encode_special_tokens = True
    vocabulary = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    assert loaded.eos_token_id is not None, "load_tokenizer refuses such a tokenizer"
    return tokenizer, int(loaded.eos_token_id), vocabulary


@contextmanager
def _no_tokenizer_threads() -> Iterator[None]:
    """Keep `tokenizers` from starting its own threads, whose number cannot be set per call."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


class _ShardWriter:
    """Appends token ids to files of `SHARD_TOKENS` each."""

    def __init__(self, folder: Path, dtype: "np.dtype[Any]") -> None:
        self._folder, self._dtype = folder, dtype
        self._written = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, ids: NDArray[np.uint32]) -> None:
        while len(ids):
            number, used = divmod(self._written, SHARD_TOKENS)
            if used == 0:
                if self._file is not None:
                    self._file.close()
                self._file = (self._folder / _shard_name(number)).open("wb", buffering=1 << 20)
            assert self._file is not None, "opened when its first token was written"
            piece = ids[: SHARD_TOKENS - used]
            self._file.write(piece.astype(self._dtype).data)
            self._written += len(piece)
            ids = ids[len(piece) :]
