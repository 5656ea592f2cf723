"""The tables of a designed swarm, and constraints for the proposal that its runs will lead to."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from dataselect.mixture.constraints import Constraints
from dataselect.mixture.swarm_design import SwarmDesign

Array = NDArray[np.float64]


def used_sources(design: SwarmDesign) -> list[int]:
    """Places of the sources that some run has; the others have no column."""
    found: list[int] = np.flatnonzero((design.shares > 0).any(axis=0)).tolist()
    return found


def ratios_csv(design: SwarmDesign) -> str:
    """Shares of the tokens: a row for each run, a column for each source."""
    used = used_sources(design)
    head = ["run", *(design.sources[j] for j in used)]
    return _csv(head, ([run.name, *(run.shares[j] for j in used)] for run in design.runs))


def epochs_csv(design: SwarmDesign) -> str | None:
    """How often each run reads the sources whose tokens are known; None where none are."""
    if design.rates is None:
        return None
    epochs = design.rates * design.shares
    used = [j for j in used_sources(design) if design.rates[:, j].any()]
    head = ["run", *(design.sources[j] for j in used)]
    rows = zip(design.runs, epochs[:, used].tolist(), strict=True)
    return _csv(head, ([run.name, *(float(f"{e:.6g}") for e in row)] for run, row in rows))


def runs_csv(design: SwarmDesign) -> str:
    """The runs with their seeds, and what each is for."""
    rows = (
        [run.name, "" if run.seed is None else run.seed, run.role, run.repeats or ""]
        for run in design.runs
    )
    return _csv(["run", "seed", "role", "repeats"], rows)


def constraints_yaml(design: SwarmDesign, file: Constraints) -> str:
    """The constraints on the swarm's sources, resolved, for `mix propose`."""
    used = {design.sources[j] for j in used_sources(design)}
    known = file.model_dump(mode="json", exclude_unset=True, exclude={"name", "sources", "prior"})
    parts = {text for each in design.limits.parts.values() for text in each}
    sources: dict[str, Any] = {
        name: _limits_of(file, name)
        for name in (*design.current, *(text for text in file.sources if text in parts))
        if name in used or name in parts
    }
    sources |= {name: {"weight": 0} for name in design.removed if name in used}
    if design.limits.target_tokens is not None:
        known = {"target_tokens": design.limits.target_tokens, **known}
    shares = zip(design.current, design.prior.tolist(), strict=True)
    prior = {name: share for name, share in shares if name in used}
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 100
    text = io.StringIO()
    yaml.dump({**known, "sources": sources, "prior": prior}, text)
    return text.getvalue()


def _limits_of(file: Constraints, name: str) -> dict[str, Any]:
    given = file.sources.get(name)
    return {} if given is None else given.model_dump(mode="json", exclude_unset=True)


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    table.writerows(rows)
    return text.getvalue()
