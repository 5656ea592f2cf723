"""Where a proxy comes from when it is not trained here, as a manifest or a plan says it.

Either checkpoints that exist (`checkpoints`), or a command: the team's own trainer, a script,
 a Slurm submission that waits. A command is a program with arguments and never a shell, so
nothing in a path or an id can be taken for more than text. What differs from call to call stands
in it as placeholders, `PLACEHOLDERS`; an unknown one is an error here, before anything is spent.

Not covered: what a placeholder stands for in a run, and the check of what the command left, which
`proxy_sources.command` does.
"""

import shlex
from string import Formatter
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from dataselect.config.checkpoints import Checkpoints
from dataselect.config.schema import FieldError, Section, Text
from dataselect.units import Count
from dataselect.wording import nearest, quoted

PLACEHOLDERS = {
    "data": "folder with the candidate's tokens, described by its `data.json`",
    "output": "folder to leave the checkpoint in; the same again after an interruption",
    "tokenizer": "folder of the tokenizer that the plan names",
    "tokens": "training tokens",
    "candidate": "the candidate's id",
    "stage": "`screen` or `predict`",
    "seed": "seed of this training run",
    "checkpoints": "how many checkpoints to leave, evenly spaced",
}
"""What may stand in braces in a command."""


class Trainer(Section):
    """A command that trains a proxy and leaves it as a Hugging Face checkpoint."""

    command: Text | Annotated[list[Text], Field(min_length=1)]
    """Program and arguments, as one text (split as a shell would, though none is started) or a
    list. In braces: {placeholders}. Braces that are meant as such are doubled."""

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
                "close quotes, and double braces that are no placeholder: {{ }}",
                "command",
            ) from None
        for name in sorted(names - set(PLACEHOLDERS)):
            listed = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            fix = nearest(name, PLACEHOLDERS) or "double braces that are no placeholder: {{ }}"
            raise FieldError(
                f"there is no placeholder {quoted('{' + name + '}')}",
                f"{fix} ({listed})",
                "command",
            )
        if "output" not in names:
            raise FieldError(
                "it has no {output}, where the checkpoint has to be left",
                "add it to the arguments",
                "command",
            )
        return self

    @property
    def words(self) -> list[str]:
        """Program and arguments; ValueError for quotes that are not closed."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command)

    @property
    def placeholders(self) -> set[str]:
        """Names in braces; ValueError for braces that do not match."""
        names = set()
        for word in self.words:
            for _, name, form, conversion in Formatter().parse(word):
                if name is not None:
                    shown = f"{name}{'!' + conversion if conversion else ''}"
                    names.add(f"{shown}:{form}" if form else shown)
        return names


class Trained(Section):
    """A proxy that a command of one's own trains."""

    train: Trainer
    """The command, and what it needs to know."""


def _form(value: Any) -> str:
    """Which of the three forms is meant, so that an error is about that one."""
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
    """Where a candidate's proxies come from, by stage; a stage left out trains them here."""

    screen: Proxies | None = None
    """Stage 1: checkpoints that exist, a list of such series (one for each seed), or
    `train: {command: ...}`."""

    predict: Proxies | None = None
    """Stage 2, in the same words."""
