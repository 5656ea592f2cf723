"""Whether a transfer function applies to the scores at hand: refusals and warnings.

A function is refused where a difference changes the meaning of the numbers. A warning is given
where a difference shifts the score by an unknown amount, and where one side is unknown, so that
nothing can be checked. A candidate that a function was fitted on is named, for its accuracy is
known and says nothing of how good predictions are.
"""

from collections.abc import Mapping, Sequence

from dataselect.transfer.function import Setting, TransferFunction
from dataselect.units import format_count

_NAME = "the transfer function of"
_WORDS = {
    "target_size": "target's size",
    "benchmark": "benchmark items",
    "traces": "traces",
    "metric_version": "metric version",
    "tokenizer": "tokenizer",
    "proxy_size": "proxy's size",
    "proxy_tokens": "proxy's tokens",
    "target_tokens": "target's tokens",
}


def check_all(
    functions: Mapping[str, TransferFunction],
    runs: Mapping[str, Setting],
    *,
    lower_is_better: bool | None = True,
) -> tuple[dict[str, str], list[str]]:
    """`check_applies` for each benchmark: refusals by benchmark, and warnings.

    A warning that several benchmarks share is given once.
    """
    refusals: dict[str, str] = {}
    benchmarks: dict[str, list[str]] = {}
    for benchmark, function in functions.items():
        name = f"{_NAME} {benchmark} "
        refusal, warnings = check_applies(
            function, runs[benchmark], lower_is_better=lower_is_better
        )
        if refusal is not None:
            refusals[benchmark] = refusal
        for warning in warnings:
            benchmarks.setdefault(warning.removeprefix(name), []).append(benchmark)
    return refusals, [
        f"{_NAME} {'each of ' if len(names) > 1 else ''}{', '.join(names)} {warning}"
        for warning, names in benchmarks.items()
    ]


def check_applies(
    function: TransferFunction, run: Setting, *, lower_is_better: bool | None = True
) -> tuple[str | None, list[str]]:
    """Whether a function may be used for the scores of a run: a refusal or None, and warnings.

    Refused: another target size, benchmark, trace set or metric version, each of which changes the
    meaning of the numbers. Warned of: another tokenizer, proxy size or token count, which shift the
    score by an unknown amount; what only one of the two settings states; and a function against the
    score's direction (`lower_is_better`; None if unknown).
    """
    fitted = function.provenance.setting
    name = f"{_NAME} {function.benchmark}"
    differing = []
    if _differ(fitted.target_size, run.target_size):
        differing.append(
            f"a target of {_count(fitted.target_size)} parameters, not {_count(run.target_size)}"
        )
    if _differ(fitted.benchmark, run.benchmark):
        differing.append("other benchmark items")
    if _differ(fitted.traces, run.traces):
        differing.append("other reasoning traces")
    if _differ(fitted.metric_version, run.metric_version):
        differing.append(f"metric version {fitted.metric_version}, not {run.metric_version}")
    refusal = f"{name} was fitted for {', '.join(differing)}" if differing else None

    warnings = []
    if _differ(fitted.tokenizer, run.tokenizer):
        warnings.append(f"{name} was fitted with another tokenizer")
    for what, then, now in (
        ("a proxy of {} parameters", fitted.proxy_size, run.proxy_size),
        ("proxies trained on {} tokens", fitted.proxy_tokens, run.proxy_tokens),
        ("a target trained on {} tokens", fitted.target_tokens, run.target_tokens),
    ):
        if _differ(then, now):
            warnings.append(f"{name} was fitted for {what.format(_count(then))}, not {_count(now)}")
    unknown = [
        words
        for field, words in _WORDS.items()
        if getattr(fitted, field) is None and getattr(run, field) is not None
    ]
    if unknown:
        warnings.append(f"{name} does not say its {', '.join(unknown)}: not checked")
    only_fitted = [
        words
        for field, words in _WORDS.items()
        if getattr(run, field) is None and getattr(fitted, field) is not None
    ]
    if only_fitted:
        which = ", ".join(only_fitted)
        warnings.append(f"{name} says its {which}, unknown for the scores: not checked")
    if lower_is_better is not None and function.rising == lower_is_better:
        moves = "rises" if function.rising else "falls"
        warnings.append(f"{name} {moves} with the score: its calibration points are mostly noise")
    return refusal, warnings


def fitted_on(functions: Mapping[str, TransferFunction], candidates: Sequence[str]) -> list[str]:
    """Candidates whose own targets a function was fitted on, by the names of its datasets."""
    known = {name for each in functions.values() for name in each.provenance.datasets}
    return [name for name in candidates if name in known]


def no_test(fitted: Sequence[str]) -> list[str]:
    """A remark on candidates that are calibration data themselves; none if there are none."""
    if not fitted:
        return []
    were, their = ("was", "its") if len(fitted) == 1 else ("were", "their")
    return [
        f"{', '.join(fitted)} {were} among the datasets that the functions were fitted on:"
        f" {their} prediction is no test of them"
    ]


def _differ(then: object, now: object) -> bool:
    """Whether both are known and differ."""
    return then is not None and now is not None and then != now


def _count(number: int | None) -> str:
    return "unknown" if number is None else format_count(number)
