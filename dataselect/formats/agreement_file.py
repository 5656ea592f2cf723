"""The JSON file of `dataselect agree`, as far as it says how good proxies were.

A plan can name it in place of published figures, so it is read strictly: a field of another type, a
share outside 0..1 and a count that the others contradict are refused. Fields that only people read
(top, kept, stated) are not looked at.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dataselect.errors import InputError
from dataselect.formats.jsonfile import parse_json
from dataselect.formats.similar_files import JSON_FILES, unreadable
from dataselect.wording import quoted

_AGAIN = "write it again: dataselect agree PROXY.csv TARGET.csv … --out FILE"

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, frozen=True)


class MeasuredAgreement(_Part):
    """How proxies of one size ordered candidates whose targets are known."""

    metric: str
    """The metric that they were ordered by."""
    size: str | None
    """Size of the proxies, as written in the table; None if it had no sizes."""
    target: str
    """Column of the targets that they were compared with."""
    candidates: Annotated[int, Field(ge=3)]
    """Number of candidates."""
    decision_accuracy: Share
    """Share of the pairs that the proxies put in the targets' order."""
    decision_accuracy_interval: tuple[Share, Share]
    """Its interval over candidates."""
    pairs: Annotated[int, Field(ge=1)]
    """Number of pairs compared."""
    effective_pairs: Annotated[float, Field(gt=0)]
    """Number of independent pairs that they are worth."""
    scores: dict[str, float]
    """The proxies' mean scores by candidate, in the metric's unit."""
    spread: Annotated[float, Field(gt=0)]
    """Standard deviation of `scores`."""
    seeds: Annotated[int, Field(ge=1)]
    """Number of seeds of the candidate that has fewest."""
    seed_sd: Annotated[float, Field(ge=0)] | None
    """Standard deviation of one seed's score; None if not known."""

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if len(self.scores) != self.candidates:
            raise ValueError(f"{self.candidates} candidates but {len(self.scores)} scores")
        if self.pairs > self.candidates * (self.candidates - 1) // 2:
            raise ValueError(f"{self.pairs} pairs of {self.candidates} candidates")
        low, high = self.decision_accuracy_interval
        if not low <= self.decision_accuracy <= high:
            raise ValueError("the decision accuracy is outside its interval")
        return self


class _File(_Part):
    metrics: Annotated[dict[str, MeasuredAgreement], Field(min_length=1)]
    lower_is_better: bool | list[str]
    target_size: str | None


@dataclass(frozen=True)
class AgreementFile:
    """What a file of `dataselect agree` says about one metric."""

    path: Path
    """The file."""
    sha256: str
    """Hash of its bytes, in hexadecimal."""
    comparisons: Mapping[str, MeasuredAgreement]
    """Comparisons of the metric by their name in the file; several for several sizes or targets."""
    target_size: str | None
    """Size of the targets, as written in their table; None if it had no sizes."""


def read_agreement_file(path: Path, metric: str) -> AgreementFile:
    """The comparisons of a metric, of which lower is better. Raises InputError for any fault."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, JSON_FILES, "check its name") from None
    file = parse_json(_File, data, path, _AGAIN)
    chosen = {name: each for name, each in file.metrics.items() if each.metric == metric}
    if not chosen:
        others = list(dict.fromkeys(each.metric for each in file.metrics.values()))
        listed = ", ".join(map(quoted, others[:5]))
        raise InputError(
            path,
            f"it compares no {quoted(metric)}, by which candidates are ranked (it has {listed})",
            f"name the column of those scores {quoted(metric)} and run dataselect agree again",
        )
    lower = file.lower_is_better
    if not (lower is True or (lower is not False and metric in lower)):
        raise InputError(
            path,
            f"it takes higher {quoted(metric)} for better",
            f"run dataselect agree again with --lower {metric}",
        )
    return AgreementFile(path, hashlib.sha256(data).hexdigest(), chosen, file.target_size)
