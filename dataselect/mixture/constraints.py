"""What the next pretraining run allows: a YAML file of sources, tokens and limits.

All keys are optional. With tokens of the sources and of the target, no source is repeated more than
`max_repetition` times: w ≤ repetition · available / target. Contradictions are found before any
search, and the error names the constraint, since "infeasible" alone helps nobody.

A source may be a fixed mixture of texts (`parts`). Its texts have entries of their own, which say
where and how long they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataselect.config.schema import Document, Section, Text, in_memory, read
from dataselect.errors import InputError
from dataselect.mixture.feasible import Feasible, divergence, everywhere, nearest_to_prior
from dataselect.mixture.parts import KnownText, length_of, normalised, tokens_of
from dataselect.units import Count, Number, format_count
from dataselect.wording import nearest, quoted

Array = NDArray[np.float64]
Share = Annotated[Number, Field(ge=0, le=1)]
Part = Annotated[Number, Field(gt=0)]


class SourceLimits(Section):
    """One source: how much of it there is, and how much may be used."""

    tokens: Count | None = None
    """Tokens available, such as 1.2T. None: not known."""

    weight: Share | None = None
    """Fixes the share."""

    min: Share = 0.0
    """Smallest share."""

    max: Share = 1.0
    """Largest share."""

    max_repetition: Annotated[Number, Field(gt=0)] | None = None
    """How often its tokens may be read. Default: that of the whole file."""

    path: Text | list[Text] | None = None
    """Where its data is, for the files of trainers. Default: its name."""

    tokens_per_document: Annotated[Number, Field(gt=0)] | None = None
    """Mean length, for trainers that draw documents instead of tokens."""

    parts: Annotated[dict[str, Part], Field(min_length=1)] | None = None
    """Ratios by text, where the source is a fixed mixture of texts: it has one share, and the files
    of trainers name its texts. They need not sum to 1."""


class Constraints(Document):
    """The whole file."""

    target_tokens: Count | None = None
    """Tokens of the next pretraining run."""

    max_repetition: Annotated[Number, Field(gt=0)] = 4.0
    """How often tokens of a source may be read."""

    repetition: Annotated[Number, Field(gt=0)] | Literal["fitted"] | None = None
    """How often text can be repeated before it is worth little: R of the law of repeated data, a
    number or `fitted` from runs whose epochs are known. Metrics are then predicted for the target's
    epochs. Default: for those of the runs."""

    sources: dict[str, SourceLimits] = Field(default_factory=dict)
    """By name as in the runs; a source that is not named has no limits."""

    prior: dict[str, Share] | Text | None = None
    """The mixture to compare with: shares, or a run of the swarm. Default: available tokens."""

    max_kl: Annotated[Number, Field(ge=0)] | None = None
    """Largest distance KL(shares ‖ prior), in nats."""

    kl_penalty: Annotated[Number, Field(ge=0)] = 0.0
    """Cost of a nat of distance to the prior, in units of the objective."""

    floors: dict[str, Number | Text] | Text | None = None
    """By metric, the value that it must not be worse than: a number, or `prior` for the prior's.
    `prior` alone: for all metrics."""


@dataclass(frozen=True)
class Limits:
    """A constraints file resolved for the sources of a model; arrays are in their order."""

    feasible: Feasible
    """Bounds on shares and on the distance to the prior."""
    prior: Array | None
    """The mixture to compare with, (sources,); None where there is none."""
    prior_from: str
    """Where the prior comes from, in words."""
    tokens: Array
    """Tokens available, (sources,); nan where not given."""
    target_tokens: int | None
    """Tokens of the next pretraining run; None where not given."""
    caps: tuple[str, ...]
    """What bounds each share from above, in words; empty for no bound."""
    floors: Mapping[str, float | None]
    """By metric, the value that it must not be worse than; None for the prior's."""
    paths: tuple[tuple[str, ...], ...]
    """Where each source's data is."""
    tokens_per_document: Array
    """Mean length of documents, (sources,); nan where not given."""
    repetition: float | Literal["fitted"] | None = None
    """R of the law of repeated data, for predictions at the target's epochs; None: at the runs'."""
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By source that is a mixture of texts, their ratios, which sum to 1."""
    texts: Mapping[str, KnownText] = field(default_factory=dict)
    """What is known of these texts, by name."""
    most_repetition: float = np.inf
    """How often tokens may be read, where nothing else is said of a text."""

    @property
    def rates(self) -> Array:
        """Epochs that the target would read each source at a share of 1, (sources,); 0: unknown."""
        if self.target_tokens is None:
            return np.zeros(len(self.tokens))
        rates: Array = np.nan_to_num(self.target_tokens / self.tokens)
        return rates


def no_limits(sources: Sequence[str]) -> Limits:
    """Limits where no file is given: any share of every source."""
    n = len(sources)
    unknown = np.full(n, np.nan)
    paths = tuple((name,) for name in sources)
    return Limits(everywhere(n), None, "", unknown, None, ("",) * n, {}, paths, unknown)


def read_limits(
    given: Path | Mapping[str, Any],
    sources: Sequence[str],
    metrics: Sequence[str],
    runs: Mapping[str, Array],
    target_tokens: int | None = None,
) -> Limits:
    """Limits on the `sources` of a model, from a YAML file or its content.

    `runs` are the model's mixtures by name, any of which may be the prior. `target_tokens` is the
    default for a file without that key. InputError names the file and the constraint.
    """
    return resolve(load_constraints(given), sources, metrics, runs, target_tokens)


def load_constraints(given: Path | Mapping[str, Any]) -> Constraints:
    """The file as it is written. Raises InputError with the place."""
    return read(Constraints, given) if isinstance(given, Path) else in_memory(Constraints, given)


def resolve(
    file: Constraints,
    sources: Sequence[str],
    metrics: Sequence[str],
    runs: Mapping[str, Array],
    target_tokens: int | None = None,
) -> Limits:
    """As `read_limits`, from a file that has been read."""
    if file.target_tokens is None:
        file = file.model_copy(update={"target_tokens": target_tokens})
    parts, texts = _texts(file, sources)
    for name in file.sources:
        if name not in sources and name not in texts:
            _unknown(file.where("sources", name), name, sources)
    limits_of = [file.sources.get(name, SourceLimits()) for name in sources]
    tokens, lengths = (np.full(len(sources), np.nan) for _ in range(2))
    for i, (name, each) in enumerate(zip(sources, limits_of, strict=True)):
        known = _known(name, each)
        tokens[i], lengths[i] = known.tokens, known.tokens_per_document
        if name in parts:
            tokens[i] = np.fmin(tokens[i], tokens_of(parts[name], texts))
            lengths[i] = length_of(parts[name], texts)
    if file.repetition is not None and (file.target_tokens is None or np.isnan(tokens).all()):
        missing = "target_tokens" if file.target_tokens is None else "tokens"
        raise InputError(
            file.where("repetition"), f"without {missing!r} it has no effect", "add it"
        )
    lower, upper, caps = _bounds(file, sources, limits_of, tokens)
    _check_bounds(file, sources, lower, upper, tokens)
    prior, prior_from = _prior(file, sources, tokens, runs)
    most_kl = np.inf if file.max_kl is None else file.max_kl
    if prior is None and (file.max_kl is not None or file.kl_penalty):
        key = "max_kl" if file.max_kl is not None else "kl_penalty"
        raise InputError(file.where(key), "there is no prior", "add 'prior:' or tokens")
    if prior is not None and np.isfinite(most_kl):
        closest = nearest_to_prior(prior, lower, upper)
        least = float(divergence(closest, prior)) if abs(closest.sum() - 1) < 1e-6 else np.inf
        if least > most_kl + 1e-9:
            raise InputError(
                file.where("max_kl"),
                f"the bounds on weights keep every mixture {least:.3g} nats or more from the prior",
                f"raise 'max_kl' from {most_kl:g}, or loosen the bounds",
            )
    return Limits(
        Feasible(lower, upper, prior, most_kl, file.kl_penalty),
        prior,
        prior_from,
        tokens,
        file.target_tokens,
        caps,
        _floors(file, metrics, prior),
        tuple(_paths(name, each) for name, each in zip(sources, limits_of, strict=True)),
        lengths,
        file.repetition,
        parts,
        texts,
        file.max_repetition,
    )


def _texts(
    file: Constraints, sources: Sequence[str]
) -> tuple[dict[str, dict[str, float]], dict[str, KnownText]]:
    """Ratios of the sources that are mixtures, and what is known of the texts in them."""
    parts: dict[str, dict[str, float]] = {}
    texts: dict[str, KnownText] = {}
    for name, each in file.sources.items():
        if each.parts is None:
            continue
        at = ("sources", name)
        for key in ("path", "tokens_per_document"):
            if getattr(each, key) is not None:
                raise InputError(
                    file.where(*at, key),
                    f"{quoted(name)} is a mixture of texts and has none of its own",
                    f"give the {key!r} of its texts, each an entry of its own",
                )
        for text in each.parts:
            entry = file.sources.get(text, SourceLimits())
            if entry.parts is not None:
                raise InputError(
                    file.where(*at, "parts", text),
                    f"{quoted(text)} is a mixture itself",
                    "name the texts in it",
                )
            for key in () if text in sources else ("weight", "min", "max", "max_repetition"):
                if key in entry.model_fields_set:
                    raise InputError(
                        file.where("sources", text, key),
                        f"{quoted(text)} is a part of {quoted(name)} and has no share of its own",
                        f"bound {quoted(name)}",
                    )
            texts[text] = _known(text, entry)
        parts[name] = normalised(each.parts)
    return parts, texts


def _known(name: str, each: SourceLimits) -> KnownText:
    nan = float("nan")
    tokens = nan if each.tokens is None else float(each.tokens)
    return KnownText(_paths(name, each), tokens, each.tokens_per_document or nan)


def _unknown(where: str, name: str, sources: Sequence[str]) -> None:
    known = f"the sources are {', '.join(map(quoted, sources[:8]))}"
    raise InputError(
        where, f"{quoted(name)} is no source of the model", nearest(name, sources) or known
    )


def _bounds(
    file: Constraints, sources: Sequence[str], given: Sequence[SourceLimits], tokens: Array
) -> tuple[Array, Array, tuple[str, ...]]:
    lower, upper, caps = np.zeros(len(sources)), np.ones(len(sources)), []
    for i, (name, each) in enumerate(zip(sources, given, strict=True)):
        at = ("sources", name)
        cap, words = 1.0, ""
        if not np.isnan(tokens[i]) and file.target_tokens is not None:
            times = each.max_repetition or file.max_repetition
            cap = min(1.0, times * tokens[i] / file.target_tokens)
            words = f"{format_count(tokens[i])} tokens {times:g} times"
        elif each.max_repetition is not None:
            missing = "tokens" if np.isnan(tokens[i]) else "target_tokens"
            raise InputError(
                file.where(*at, "max_repetition"), f"without {missing!r} it has no effect", "add it"
            )
        low, high = each.min, each.max
        if each.weight is not None:
            if {"min", "max"} & each.model_fields_set:
                raise InputError(
                    file.where(*at, "weight"), "'min' or 'max' is given as well", "keep one"
                )
            low = high = each.weight
            words = "fixed" if cap >= high else words
        if low > high:
            raise InputError(
                file.where(*at, "min"), f"'min' {low:g} is above 'max' {high:g}", "fix"
            )
        if low > cap + 1e-12:
            raise InputError(
                file.where(*at, "weight" if each.weight is not None else "min"),
                f"{quoted(name)} cannot have weight {low:g}: {words} of "
                f"{format_count(file.target_tokens or 0)} allow {cap:.3g}",
                "lower it, raise 'max_repetition', or lower 'target_tokens'",
            )
        if high <= cap and each.weight is None:
            words = f"max {high:g}" if high < 1 else ""
        lower[i], upper[i] = low, min(high, cap)
        caps.append(words)
    return lower, upper, tuple(caps)


def _check_bounds(
    file: Constraints, sources: Sequence[str], lower: Array, upper: Array, tokens: Array
) -> None:
    if lower.sum() > 1 + 1e-9:
        raise InputError(
            file.where("sources"),
            f"the least weights ('min', 'weight') sum to {lower.sum():.4g}, above 1",
            "lower some",
        )
    if upper.sum() >= 1 - 1e-9:
        return
    fixed = all(low == high for low, high in zip(lower, upper, strict=True))
    short = [n for n, t in zip(sources, tokens, strict=True) if np.isfinite(t)]
    if file.target_tokens is not None and short and not fixed:
        raise InputError(
            file.where("target_tokens"),
            f"the sources allow {upper.sum():.3g} of {format_count(file.target_tokens)} tokens "
            f"with 'max_repetition' {file.max_repetition:g} and 'max'",
            "raise 'max_repetition' or 'max', add tokens, or lower 'target_tokens'",
        )
    raise InputError(
        file.where("sources"),
        f"the largest weights ('max', 'weight') sum to {upper.sum():.4g}, below 1",
        "raise some",
    )


def _prior(
    file: Constraints, sources: Sequence[str], tokens: Array, runs: Mapping[str, Array]
) -> tuple[Array | None, str]:
    where = file.where("prior")
    if isinstance(file.prior, str):
        if file.prior not in runs:
            fix = nearest(file.prior, runs) or "name a run of the swarm, or write weights"
            raise InputError(where, f"{quoted(file.prior)} is no run of the swarm", fix)
        return runs[file.prior], f"run {file.prior}"
    if file.prior is not None:
        for name, share in file.prior.items():
            if name not in sources and share > 0:
                _unknown(file.where("prior", name), name, sources)
        prior = np.array([file.prior.get(name, 0.0) for name in sources])
        if abs(prior.sum() - 1) > 0.01:
            raise InputError(
                where, f"the weights sum to {prior.sum():.4g}, not 1", "write shares of tokens"
            )
        return prior / prior.sum(), "given"
    if np.isfinite(tokens).all():
        return tokens / tokens.sum(), "available tokens"
    return None, ""


def _floors(
    file: Constraints, metrics: Sequence[str], prior: Array | None
) -> dict[str, float | None]:
    """By metric the value; None for the prior's."""
    if file.floors is None:
        return {}
    where = file.where("floors")
    given = dict.fromkeys(metrics, file.floors) if isinstance(file.floors, str) else file.floors
    found: dict[str, float | None] = {}
    for name, value in given.items():
        at = where if isinstance(file.floors, str) else file.where("floors", name)
        if name not in metrics:
            fix = nearest(name, metrics) or f"the metrics are {', '.join(metrics[:8])}"
            raise InputError(at, f"{quoted(name)} is no metric", fix)
        if isinstance(value, str) and value != "prior":
            raise InputError(at, f"{quoted(value)} is no floor", "write a number, or prior")
        if isinstance(value, str) and prior is None:
            raise InputError(at, "there is no prior", "add 'prior:' or tokens of every source")
        found[name] = None if isinstance(value, str) else float(value)
    return found


def _paths(name: str, each: SourceLimits) -> tuple[str, ...]:
    if each.path is None:
        return (name,)
    return (each.path,) if isinstance(each.path, str) else tuple(each.path)
