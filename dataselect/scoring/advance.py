"""How far a measurement is, told by the loops that run a model to whoever observes it.

A measurement is made by several functions, some called more than once, so the observer is kept in
the context of the call and not passed through all of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Observer = Callable[[int, int], None]
"""Called with how many texts are done, and how many there are."""
_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observed(observer: Observer | None) -> Iterator[None]:
    """Within the context, `advance` calls `observer`; None: nobody."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def advance(done: int, total: int) -> None:
    """So many of `total` texts are done."""
    observer = _observer.get()
    if observer is not None:
        observer(done, total)
