"""The base class of results: their display in a notebook and in a Python terminal."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dataselect.api.html import result_html
from dataselect.wording import one_line

if TYPE_CHECKING:
    import pandas as pd


class Result(ABC):
    """A verdict in one sentence, tables, and notes."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The main finding, in one sentence."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Caveats: what was left out, and what is not known."""

    @abstractmethod
    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        """The tables of the notebook display, by caption."""

    def _shown_notes(self) -> tuple[str, ...]:
        """The notes of the notebook display; all of them unless overridden."""
        return self.notes

    def _repr_html_(self) -> str:
        return result_html(self.verdict, self._shown(), self._shown_notes())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {one_line(self.verdict)}>"
