"""The JSON file of a fitted model: the runs, what was fitted, and where it came from.

It holds parameters, and what follows from them in closed form is computed again: a Gaussian process
from its kernel and the runs, stacking weights from the held-out predictions. No pickle, so a file
from elsewhere is safe to read; inconsistent content is refused. The same command with the same
files writes the same bytes.
"""

import base64
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dataselect.errors import InputError
from dataselect.formats.jsonfile import read_json, sealed_json
from dataselect.mixture.gaussian_process import FittedProcess, with_sizes
from dataselect.mixture.law_fit import FittedLaw
from dataselect.mixture.laws import EffectiveData, Exponential, Law, RepeatedData
from dataselect.mixture.model import MixtureModel, error_table
from dataselect.mixture.objective import Objective
from dataselect.mixture.repetition import harm, usual_rates
from dataselect.mixture.ridge import FittedRidge
from dataselect.mixture.stack import Stack, find_stacking_weights, honest_average
from dataselect.mixture.surrogates import REPEATED, Fitted, FittedSum
from dataselect.mixture.swarm import Swarm
from dataselect.mixture.trees import FittedTrees

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Row = list[float]
Table = list[list[float]]

_LONGEST_TEXT = 2**26
_FORMS: Mapping[type[Law], Literal["effective data", "repeated data", "exponential"]] = {
    EffectiveData: "effective data",
    RepeatedData: "repeated data",
    Exponential: "exponential",
}
_FIX = "write the file again with 'dataselect mix fit'"


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, frozen=True, populate_by_name=True
    )


class _Law(_Part):
    kind: Literal["law"] = "law"
    form: Literal["effective data", "repeated data", "exponential"]
    beta: float | None
    parameters: Table
    centre: Row
    scale: Row


class _Process(_Part):
    kind: Literal["process"] = "process"
    roots: Row
    sizes: Table


class _Sum(_Part):
    kind: Literal["sum"] = "sum"
    law: _Law
    process: _Process


class _Ridge(_Part):
    kind: Literal["ridge"] = "ridge"
    transforms: bool
    centre: Row
    slopes: Table


class _Trees(_Part):
    kind: Literal["trees"] = "trees"
    texts: list[str]


_Any = Annotated[_Law | _Process | _Sum | _Ridge | _Trees, Field(discriminator="kind")]


class _Surrogate(_Part):
    whole: _Any
    folds: list[_Any]
    held_out: Table


class Provenance(_Part):
    """Where a model came from."""

    command: str
    """The command or call that fitted it."""
    version: str
    """Version of dataselect."""
    files: dict[str, dict[str, str]]
    """By role, the name and SHA-256 of each table."""


class _File(_Part):
    version: Annotated[Literal[1], Field(alias="schema")]
    sources: list[str]
    metrics: list[str]
    lower_is_better: bool
    objective: Row
    standardised: bool
    seed: int
    runs: list[str]
    weights: Table
    values: Table
    rates: Table | None = None
    """Epochs at a share of 1; absent where no run read text twice."""
    fold_of: list[int]
    surrogates: dict[str, _Surrogate]
    relative_errors: dict[str, dict[str, float]]
    shares: dict[str, Row]
    notes: list[str]
    provenance: Provenance


def to_json(model: MixtureModel, provenance: Provenance) -> str:
    """Text of a model file; deterministic."""
    swarm, stack = model.swarm, model.stack
    surrogates = {
        name: _Surrogate(
            whole=_state(fitted),
            folds=[_state(fold[name]) for fold in stack.folds],
            held_out=stack.held_out[i].tolist(),
        )
        for i, (name, fitted) in enumerate(stack.whole.items())
    }
    file = _File(
        version=1,
        sources=list(swarm.sources),
        metrics=list(swarm.metrics),
        lower_is_better=model.lower_is_better,
        objective=model.objective.weights.tolist(),
        standardised=model.objective.standardised,
        seed=model.seed,
        runs=list(swarm.runs),
        weights=swarm.shares.tolist(),
        values=swarm.values.tolist(),
        rates=None if swarm.rates is None else swarm.rates.tolist(),
        fold_of=stack.fold_of.tolist(),
        surrogates=surrogates,
        relative_errors={name: dict(row) for name, row in error_table(model).items()},
        shares=dict(zip(stack.whole, stack.stacking_weights.tolist(), strict=True)),
        notes=list(swarm.notes),
        provenance=provenance,
    )
    absent = {"rates"} if file.rates is None else None
    return sealed_json(file.model_dump_json(by_alias=True, exclude=absent))


def read_model(path: Path) -> tuple[MixtureModel, Provenance]:
    """The model in a file, and its provenance. InputError for anything wrong in the file."""
    file = read_json(_File, path, _FIX)
    try:
        return _model(file), file.provenance
    except (ValueError, LookupError, TypeError, ArithmeticError, np.linalg.LinAlgError):
        raise InputError(path, "its tables do not fit together", _FIX) from None


def _model(file: _File) -> MixtureModel:
    runs, sources, metrics = len(file.runs), len(file.sources), len(file.metrics)
    shares = _table(file.weights, (runs, sources))
    values = _table(file.values, (runs, metrics))
    if (shares < 0).any() or not np.allclose(shares.sum(axis=1), 1):
        raise ValueError("weights")
    rates = None if file.rates is None else _table(file.rates, (runs, sources))
    if rates is not None and (rates < 0).any():
        raise ValueError("rates")
    swarm = Swarm(
        tuple(file.runs),
        tuple(file.sources),
        tuple(file.metrics),
        shares,
        values,
        tuple(file.notes),
        rates,
    )
    costs = values if file.lower_is_better else -values
    fold_of = np.array(file.fold_of)
    folds = len(next(iter(file.surrogates.values())).folds)
    if fold_of.shape != (runs,) or set(fold_of.tolist()) != set(range(folds)):
        raise ValueError("folds")
    held_out = np.array([_table(s.held_out, (runs, metrics)) for s in file.surrogates.values()])
    whole = _all_fitted(
        {n: s.whole for n, s in file.surrogates.items()}, swarm, costs, fold_of >= 0
    )
    by_fold = [
        _all_fitted({n: s.folds[k] for n, s in file.surrogates.items()}, swarm, costs, fold_of != k)
        for k in range(folds)
    ]
    stack = Stack(
        whole,
        tuple(by_fold),
        fold_of,
        held_out,
        find_stacking_weights(held_out, costs),
        honest_average(held_out, costs, fold_of),
    )
    objective = Objective(_row(file.objective, metrics), file.standardised)
    if (objective.weights < 0).any() or objective.weights.sum() == 0:
        raise ValueError("objective")
    return MixtureModel(swarm, file.lower_is_better, objective, stack, file.seed)


def _all_fitted(
    states: Mapping[str, Any], swarm: Swarm, costs: Array, rows: Flags
) -> dict[str, Fitted]:
    """The surrogates that were fitted to these rows of the runs."""
    shares, costs = swarm.shares[rows], costs[rows]
    usual = None
    if swarm.rates is None and REPEATED in states:
        raise ValueError("rates")
    if swarm.rates is not None:
        usual = usual_rates(swarm.shares, swarm.rates)
        state = states[REPEATED]
        if not isinstance(state, _Law) or state.form != "repeated data":
            raise ValueError("repeated")
        law = _law(state, usual, shares.shape[1], costs.shape[1])
        costs = costs - harm(law, shares, swarm.rates[rows])
    return {name: _fitted(state, shares, costs, usual) for name, state in states.items()}


def _state(fitted: Fitted) -> Any:
    match fitted:
        case FittedLaw(law=law):
            return _Law(
                form=_FORMS[type(law)],
                beta=law.beta if isinstance(law, EffectiveData) else None,
                parameters=fitted.parameters.tolist(),
                centre=fitted.centre.tolist(),
                scale=fitted.scale.tolist(),
            )
        case FittedProcess():
            return _Process(roots=fitted.roots.tolist(), sizes=fitted.sizes.tolist())
        case FittedSum():
            return _Sum(law=_state(fitted.law), process=_state(fitted.process))
        case FittedRidge():
            return _Ridge(
                transforms=fitted.transforms,
                centre=fitted.centre.tolist(),
                slopes=fitted.slopes.tolist(),
            )
        case FittedTrees():
            return _Trees(texts=[_packed(text) for text in fitted.texts])


def _fitted(state: Any, shares: Array, costs: Array, usual: Array | None) -> Fitted:
    """The surrogate that `state` describes, given the runs that it was fitted to."""
    sources, metrics = shares.shape[1], costs.shape[1]
    match state:
        case _Law():
            return _law(state, usual, sources, metrics)
        case _Process():
            return _process(state, shares, costs)
        case _Sum():
            law = _law(state.law, usual, sources, metrics)
            return FittedSum(law, _process(state.process, shares, costs - law.predict(shares)))
        case _Ridge():
            features = 4 * sources if state.transforms else sources
            slopes = _table(state.slopes, (features, metrics))
            return FittedRidge(state.transforms, _row(state.centre, metrics), slopes)
        case _:
            if len(state.texts) != metrics:
                raise ValueError("trees")
            return FittedTrees(tuple(_unpacked(text) for text in state.texts))


def _packed(text: str) -> str:
    """Compressed: a file holds several hundred trees, which are long and alike."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def _unpacked(text: str) -> str:
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(base64.b64decode(text, validate=True), _LONGEST_TEXT)
    except zlib.error:
        raise ValueError("trees") from None
    if unpacking.unconsumed_tail:
        raise ValueError("trees")
    return found.decode()


def _law(state: _Law, usual: Array | None, sources: int, metrics: int) -> FittedLaw:
    law: Law
    match state.form:
        case "effective data":
            law, more = EffectiveData(state.beta), 5
        case "exponential":
            law, more = Exponential(), 2
        case _:
            if usual is None:
                raise ValueError("rates")
            law, more = RepeatedData(usual), 6
    return FittedLaw(
        law,
        _table(state.parameters, (metrics, sources + more)),
        _row(state.centre, metrics),
        _row(state.scale, metrics),
    )


def _process(state: _Process, shares: Array, costs: Array) -> FittedProcess:
    sources, metrics = shares.shape[1], costs.shape[1]
    sizes = _table(state.sizes, (metrics, sources + 3))
    return with_sizes(shares, costs, _row(state.roots, metrics), sizes)


def _table(rows: Table, shape: tuple[int, ...]) -> Array:
    table = np.array(rows, dtype=np.float64)
    if table.shape != shape:
        raise ValueError("shape")
    return table


def _row(row: Row, length: int) -> Array:
    found: Array = _table([row], (1, length))[0]
    return found
