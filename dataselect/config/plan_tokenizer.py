"""The `tokenizer` section of a plan: the tokenizer that the proxies trained here share."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from dataselect.config.schema import FieldError, Section, Text
from dataselect.units import Count


class TokenizerTraining(Section):
    """A byte-level BPE tokenizer trained on all sources in equal parts."""

    vocab_size: Annotated[Count, Field(ge=257)] = 4096
    """Number of entries, including the 256 bytes and the end-of-text token."""

    split_digits: bool = True
    """Make every digit a separate token, which makes arithmetic easier to learn."""

    characters: Count = 5_000_000
    """Characters to train on, in equal parts from all sources."""


class TokenizerPlan(Section):
    """The tokenizer that all proxies share."""

    path: Text | None = None
    """A folder relative to the plan, or a tokenizer on the Hub. Either this or `train`."""

    revision: Text | None = None
    """Branch, tag or commit of a tokenizer on the Hub."""

    train: TokenizerTraining | None = None
    """Train one on the manifest's texts instead; `{}` takes the defaults."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        self._require_one("path", "train")
        if self.revision is not None and self.path is None:
            raise FieldError("only a 'path' has revisions", "remove it", "revision")
        return self
