"""`ds.doctor`: what dataselect runs on, from Python, as `dataselect doctor` shows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.api.arguments import as_folder, as_path
from dataselect.api.inputs import load_inputs
from dataselect.api.result import Result
from dataselect.checkup.examine import Server, examine
from dataselect.checkup.finding import Finding
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, repr=False)
class Examination(Result):
    """What the checks found."""

    findings: tuple[Finding, ...]
    """One for each check, in order."""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that stop a run."""
        return tuple(each for each in self.findings if each.state == "problem")

    @property
    def sound(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """How many problems and notes there are, and the checks with problems."""
        names = ", ".join(f"{each.part}: {each.check}" for each in self.problems)
        notes = sum(each.state == "note" for each in self.findings)
        beside = f", {notes} {'note' if notes == 1 else 'notes'}" if notes else ""
        if not names:
            return f"no problem in {len(self.findings)} checks{beside}"
        count = len(self.problems)
        return f"{count} {'problem' if count == 1 else 'problems'} ({names}){beside}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not in order, with its fix."""
        shown = (each for each in self.findings if each.state != "ok")
        return tuple(f"{each.part}, {each.check}: {each.found}; {each.fix}" for each in shown)

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each check: `part`, `check`, `state`, `found`, `fix`."""
        import pandas as pd

        return pd.DataFrame([each.as_json() for each in self.findings])

    @property
    def document(self) -> dict[str, Any]:
        """What `dataselect doctor --json` prints."""
        return {
            "sound": self.sound,
            "verdict": self.verdict,
            "findings": [each.as_json() for each in self.findings],
        }

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {"Checks": self.table}


def doctor(
    manifest: str | Path | Manifest | None = None,
    plan: str | Path | Plan | None = None,
    *,
    store: str | Path = ".dataselect",
    out: str | Path = "reports",
    base_url: str | None = None,
    model: str | None = None,
    key_variable: str = DEFAULT_KEY,
    on_finding: Callable[[Finding], None] | None = None,
) -> Examination:
    """Check environment, GPUs, disk, Hub, engines and, if named, a frontier model's server.

    With a `manifest` (and a `plan`) also what their run needs. `store` and `out` are those of the
    run. `model` at `base_url` (None: OpenAI's) is asked up to five short questions, with the key
    in the environment variable `key_variable`. `on_finding` gets each finding as it is made.
    Nothing is computed, made or changed; no finding has a secret in it.

    Raises InputError for arguments that do not fit together. A manifest that is not valid is a
    finding.
    """
    folder = as_folder("--out", out)
    place = (
        str(store) if isinstance(store, str) else str(as_path("--store", store, "give a folder"))
    )
    if base_url is not None and model is None:
        raise InputError("--model", "it is missing", "name the model that --base-url serves")
    server = None if model is None else Server(model, base_url, key_variable)
    run, invalid = None, None
    if manifest is not None:
        try:
            run = load_inputs(manifest, plan, "--plan")
        except InputError as error:
            text = f"{error.where}: {error.problem}"
            invalid = Finding("this run", "manifest", "problem", text, error.fix)
    elif plan is not None:
        raise InputError("--plan", "it needs a manifest", "name the manifest too")
    found = []
    # Not a list: a check may take minutes, and each finding is told when it is made.
    for each in chain(examine(place, folder, run, server), [] if invalid is None else [invalid]):
        found.append(each)
        if on_finding is not None:
            on_finding(each)
    return Examination(tuple(found))
