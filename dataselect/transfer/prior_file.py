"""The JSON file of a prior, and the one that is shipped.

Written by `dataselect fit --prior-out` from tables of one's own. The shipped one, `public`, holds
slopes and scatters of published runs, derived by `benchmarks/transfer/public_prior.py`.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dataselect.errors import InputError
from dataselect.formats.jsonfile import parse_json, read_json, sealed_json
from dataselect.transfer.prior import Prior

PUBLIC = "public"
"""Name of the shipped prior."""
_FIX = "make the prior again with `dataselect fit --prior-out`, or fix that field"


class _File(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, frozen=True, populate_by_name=True
    )
    version: Annotated[Literal[1], Field(alias="schema")]
    prior: Prior


def prior_json(prior: Prior) -> str:
    """Text of a prior's file: {"schema": 1, "prior": {...}, "sha256": ...}; deterministic."""
    return sealed_json(_File(version=1, prior=prior).model_dump_json(by_alias=True), indent=2)


def read_prior(path: Path | str) -> Prior:
    """The prior in a file, or the shipped one by its name `public`.

    Raises InputError for a file that cannot be read, naming the field at fault.
    """
    if str(path) == PUBLIC:
        return public_prior()
    if not Path(path).exists():
        raise InputError(path, "there is no such file", f"give the path of a prior, or {PUBLIC!r}")
    return read_json(_File, Path(path), _FIX).prior


@cache
def public_prior() -> Prior:
    """The shipped prior, from published runs."""
    where = files("dataselect.transfer") / "public_prior.json"
    return parse_json(_File, where.read_bytes(), "public_prior.json", _FIX).prior
