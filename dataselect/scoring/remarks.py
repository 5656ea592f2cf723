"""Keep what the user is told while a benchmark is gathered, for the readers of its scores.

Notes come from loaders and as warnings of the package's logger. Both are shown at once, but a
terminal scrolls away, so they are kept as data too (`Evaluation.notes`).
"""

import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self


def not_among(warnings: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The warnings that no note repeats."""
    return [text for text in warnings if not any(text in note for note in notes)]


class Remarks(logging.Handler):
    """Collects remarks inside its context, each once; also the package's warnings.

    `report` shows those that are given to `add`; warnings are shown by whoever shows logs.
    """

    def __init__(self, report: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(logging.WARNING)
        self._report = report
        self._found: dict[str, None] = {}

    def add(self, text: str) -> None:
        """Keep a remark and show it."""
        self._found[text] = None
        self._report(text)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self._found[record.getMessage()] = None

    def of(self, benchmark: str) -> tuple[str, ...]:
        """The remarks, without the benchmark's name where they begin with it."""
        return tuple(text.removeprefix(f"{benchmark}: ") for text in self._found)

    @property
    def all(self) -> tuple[str, ...]:
        """The remarks."""
        return tuple(self._found)

    def __enter__(self) -> Self:
        logging.getLogger("dataselect").addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        logging.getLogger("dataselect").removeHandler(self)
