"""Work on a stream of texts in batches, in several threads, with the results in order.

For work that releases the GIL: the Rust tokenizer, and NumPy on long arrays. Texts are read a
fixed number of batches ahead, so memory does not grow with the stream.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

BATCH_CHARACTERS = 100_000
# Batches read ahead: the same for any number of threads, so that counts of rows read are the same.
BATCHES_AHEAD = 16


def map_batches(texts: Iterator[str], work: Callable[[list[str]], T], threads: int) -> Generator[T]:
    """Yield the result of `work` for each batch of texts, in order."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="texts")
    try:
        for batch in _batches(texts):
            waiting.append(pool.submit(work, batch))
            if len(waiting) >= BATCHES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
