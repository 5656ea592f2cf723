"""Where the functions of a calibration come from: what its scores and accuracies depend on.

Runs of several datasets have one setting. What they do not have in common is left unknown there, so
that a use of the function says that it cannot be checked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from dataselect.calibration.paired import Paired
from dataselect.errors import DataselectError
from dataselect.proxy_sources.given import GivenCheckpoints
from dataselect.proxy_sources.source import MadeProxy
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.isft import tune_recipe
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.store import Store
from dataselect.transfer.function import Setting

_T = TypeVar("_T")


def _last(run: Paired, store: Store, device: str) -> MadeProxy:
    """The facts of a run's last proxy that is paired; its files are brought here for them."""
    last = replace(run.proxies[-1], store=store)
    source = GivenCheckpoints((last,))
    return source.find(store) or source.make(store, last.label, device, lambda *_: None)


def segmentation(run: Paired, store: Store, device: str) -> str | None:
    """How a run's last proxy splits texts; None where it cannot be read, which fails it later."""
    try:
        return _last(run, store, device).segmentation
    except DataselectError:
        return None


def settings(
    runs: Sequence[Paired], evaluations: Mapping[str, Evaluation], store: Store, device: str
) -> dict[str, Setting]:
    """By benchmark; what differs between the runs is unknown."""
    proxies = [_last(run, store, device) for run in runs]
    return {
        name: Setting(
            target_size=runs[0].spec.target.size,
            target_tokens=_same(run.target_tokens for run in runs),
            proxy_size=_same(proxy.parameters for proxy in proxies),
            proxy_tokens=_same(run.proxy_tokens for run in runs),
            traces=evaluation.traces_hash,
            benchmark=evaluation.benchmark.content_hash,
            tokenizer=_same(proxy.tokenizer for proxy in proxies),
            metric_version=METRIC_VERSION,
        )
        for name, evaluation in evaluations.items()
    }


def _same(values: Iterable[_T]) -> _T | None:
    different = set(values)
    return different.pop() if len(different) == 1 else None


def described(runs: Sequence[Paired], device: str) -> str:
    """The calibration in words: which proxies and targets."""
    names = "; ".join(
        f"{run.prefix}{run.proxy.name} and {run.target_name}" for run in _one_of_each(runs)
    )
    if not runs[0].spec.target.sft:
        return names
    recipe = tune_recipe(device)
    return (
        f"{names} fine-tuned on the benchmark's training set (epochs {recipe.epochs}, learning rate"
        f" {recipe.learning_rate:g}, batch {recipe.batch_size})"
    )


def _one_of_each(runs: Sequence[Paired]) -> list[Paired]:
    """One run of each dataset, proxy and target: seeds of one have the same names."""
    named = {(run.prefix, run.proxy.name, run.target_name): run for run in reversed(runs)}
    return list(reversed(named.values()))
