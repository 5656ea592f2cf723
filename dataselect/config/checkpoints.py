"""A series of existing checkpoints in a manifest or calibration, and steps and tokens in names.

Checkpoints that were trained elsewhere are revisions of a Hub repository or folders, and their
names say how far training was: `stage1-step10000-tokens21B`, `step5000-seed-default`,
`checkpoint-3000`. This module has the YAML section and parses such names; `scoring.series` finds
the checkpoints.

Not covered: tokens counted from the start of a later stage, as in `stage2-ingredient1-…`; state
them in `tokens`.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dataselect.config.schema import FieldError, Section, Text
from dataselect.units import Count, parse_count

_NUMBER = r"[-_=]?(\d+(?:\.\d+)?[KMBTkmbt]?)(?![A-Za-z0-9])"
_STEP = re.compile(rf"(?<![a-z])(?:step|checkpoint|ckpt|iteration|iter){_NUMBER}", re.I)
_TOKENS = re.compile(rf"(?<![a-z])tokens?{_NUMBER}", re.I)


class Checkpoints(Section):
    """One or many checkpoints of a model that was trained elsewhere."""

    model: Text
    """A model on the Hub (`allenai/OLMo-2-0425-1B`, with `@REVISION` for a single checkpoint); a
    folder that is a checkpoint or holds a folder for each; or a pattern for folders
    (`checkpoints/fineweb/step*-hf`). Folders are relative to the file."""

    revisions: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    """Branches, tags or commits of a Hub model: names, or patterns such as
    `stage1-step*-tokens*B` or `step*-seed-default`. `NAME@COMMIT` pins the commit of a name.
    Default: `main`."""

    tokens: Count | dict[str, Count] | None = None
    """Training tokens: a number for a single checkpoint, else a mapping by name. Default: from the
    name (`tokens21B`), or its step times `tokens_per_step`."""

    tokens_per_step: Count | None = None
    """Tokens in a training step, for names that have only the step (`step5000`)."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format in which they are scored."""

    @model_validator(mode="after")
    def _tokens_have_one_origin(self) -> Self:
        if isinstance(self.tokens, int) and self.tokens_per_step is not None:
            raise FieldError("'tokens' is given as well", "keep one of the two", "tokens_per_step")
        return self

    @property
    def revision_patterns(self) -> list[str]:
        """The revisions as a list; empty where none is named."""
        revisions = self.revisions or []
        return [revisions] if isinstance(revisions, str) else revisions

    def tokens_at(self, name: str) -> int | None:
        """Training tokens of the checkpoint of that name; None where they are unknown.

        From `tokens`, else step times `tokens_per_step`, else the (rounded) tokens in the name.
        """
        if isinstance(self.tokens, int):
            return self.tokens
        if self.tokens is not None and name in self.tokens:
            return self.tokens[name]
        step = step_in(name)
        if self.tokens_per_step is not None and step is not None:
            return step * self.tokens_per_step
        return tokens_in(name)


def step_in(name: str) -> int | None:
    """The training step in a name, None without one: `step5000-seed-default` → 5000."""
    return _count(_STEP, name)


def tokens_in(name: str) -> int | None:
    """The tokens in a name, None without any: `stage1-step10000-tokens21B` → 21 billion."""
    return _count(_TOKENS, name)


def _count(pattern: re.Pattern[str], name: str) -> int | None:
    counts = pattern.findall(name)
    try:
        return parse_count(counts[-1]) if counts else None
    except ValueError:
        return None
