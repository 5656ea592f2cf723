"""The sections of a manifest or plan for proxies that are not trained here.

A proxy is either existing checkpoints (`checkpoints`) or trained by a command: the team's own
trainer, a script, a Slurm submission that waits. A command is a program with arguments and never
runs in a shell, so nothing in a path or an id is interpreted. What differs from call to call is
written as `PLACEHOLDERS`; an unknown one is an error here, before anything is spent.

Not covered: the values of the placeholders in a run, and the check of the checkpoint that the
command wrote; `proxy_sources.command` does both.
"""

import re
import shlex
from collections.abc import Sequence
from string import Formatter
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from dataselect.config.checkpoints import Checkpoints
from dataselect.config.schema import FieldError, Section, Text
from dataselect.units import Count
from dataselect.wording import nearest, quoted

PLACEHOLDERS = {
    "data": "folder with the candidate's tokens, described by its `data.json`",
    "output": "folder to write the checkpoint to; the same again after an interruption",
    "tokenizer": "folder of the plan's tokenizer",
    "tokens": "training tokens",
    "candidate": "the candidate's id",
    "stage": "`screen`, `predict`, or of more than two rungs `stage2` and so on between them",
    "seed": "seed of this training run",
    "checkpoints": "how many checkpoints to write, evenly spaced",
}
"""Names that a command may have in braces, and their meaning."""


class Trainer(Section):
    """A command that trains a proxy and writes it as a Hugging Face checkpoint."""

    command: Text | Annotated[list[Text], Field(min_length=1)]
    """Program and arguments, as a list or as one text, which is split as a shell would (no shell
    is started). {placeholders} are in braces; literal braces are doubled."""

    tokens: Count | None = None
    """Training tokens. Default: those of the stage's `proxy`."""

    folder: Text | None = None
    """Working folder of the command, relative to this file. Default: the folder of this file."""

    @model_validator(mode="after")
    def _is_a_command(self) -> "Trainer":
        try:
            names = self.placeholders
        except ValueError as error:
            raise FieldError(
                f"it cannot be read ({error})",
                "close quotes, and double literal braces: {{ }}",
                "command",
            ) from None
        for name in sorted(names - set(PLACEHOLDERS)):
            listed = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            fix = nearest(name, PLACEHOLDERS) or "double literal braces: {{ }}"
            raise FieldError(
                f"there is no placeholder {quoted('{' + name + '}')}",
                f"{fix} ({listed})",
                "command",
            )
        if "output" not in names:
            raise FieldError(
                "it has no {output}, the folder to write the checkpoint to",
                "add it to the arguments",
                "command",
            )
        return self

    @property
    def words(self) -> list[str]:
        """Program and arguments. Raises ValueError for quotes that are not closed."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command)

    @property
    def placeholders(self) -> set[str]:
        """Names in braces. Raises ValueError for braces that do not match."""
        names = set()
        for word in self.words:
            for _, name, form, conversion in Formatter().parse(word):
                if name is not None:
                    placeholder = f"{name}{'!' + conversion if conversion else ''}"
                    names.add(f"{placeholder}:{form}" if form else placeholder)
        return names


class Trained(Section):
    """A proxy that the user's own command trains."""

    train: Trainer
    """The command and its settings."""


def _form(value: Any) -> str:
    """Which of the three forms the value has, so that errors are about that form."""
    if isinstance(value, list):
        return "series of each seed"
    commanded = "train" in value if isinstance(value, dict) else isinstance(value, Trained)
    return "command" if commanded else "series"


Proxies = Annotated[
    Annotated[Checkpoints, Tag("series")]
    | Annotated[Trained, Tag("command")]
    | Annotated[list[Checkpoints], Field(min_length=1), Tag("series of each seed")],
    Discriminator(_form),
]


class CandidateProxies(Section):
    """Where a candidate's proxies come from, by stage. A stage left out trains them here."""

    screen: Proxies | None = None
    """Stage 1: existing checkpoints, a list of such series (one for each seed), or
    `train: {command: ...}`."""

    predict: Proxies | None = None
    """The last of several stages, with the same keys."""

    rungs: dict[str, Proxies] | None = None
    """Stages between the first and the last, by number from 2: `{2: ...}`, with the same keys."""

    @model_validator(mode="after")
    def _names_rungs_by_number(self) -> "CandidateProxies":
        for number in self.rungs or ():
            if number == "1":
                raise FieldError("the first stage is 'screen'", "write it there", "rungs", "1")
            if not re.fullmatch(r"[2-9]|[1-9]\d+", number):
                raise FieldError(
                    "it is not the number of a stage", "write 2 for Stage 2", "rungs", number
                )
        return self

    def named(self, keys: Sequence[str]) -> Checkpoints | Trained | list[Checkpoints] | None:
        """What `keys` lead to: ("screen",), ("predict",) or ("rungs", "2")."""
        if len(keys) == 2:
            return (self.rungs or {}).get(keys[1])
        return self.screen if keys == ("screen",) else self.predict
