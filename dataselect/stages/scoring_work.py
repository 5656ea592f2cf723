"""The work of scoring several models on several benchmarks, before it is begun.

A part of it (a measurement of a model on a benchmark) is counted in items times the size of the
model's files, which is what a forward pass costs; parts are compared within a measurement alone,
since generating takes many times what a likelihood does.
"""

from collections.abc import Sequence
from contextlib import suppress

from dataselect.scoring.checkpoint import ModelCheckpoint, NamedCheckpoint
from dataselect.scoring.evaluate import parts_of
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.scoring.score_models import distinct
from dataselect.stages.work import ExpectedPart, Outlook, Planned, PlannedJob
from dataselect.store import Store, content_key


def planned_scoring(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> Planned:
    """The parts that the store lacks, by the names under which `score_models` tells of them."""
    jobs, found, found_keys = [], 0, []
    sizes = _sizes(models)
    titles = distinct([model.name for model in models])
    for model, title, size in zip(models, titles, sizes, strict=True):
        for part in parts_of(model, evaluations, measurements, title):
            key = f"{part.measurement}-{content_key(part.measurement, part.spec)}"
            if store.find(part.measurement, part.spec) is not None:
                found += 1
                found_keys.append(key)
                continue
            items = len(part.evaluation.benchmark.items)
            effort = float(items * size)
            jobs.append(PlannedJob(part.name, 1, effort, None, (key,), part.measurement))
    return Planned(tuple(jobs), found, tuple(found_keys))


def scoring_outlook(*titles: str) -> Outlook:
    """The parts of a command that scores, one model at a time."""
    return Outlook(1, tuple(ExpectedPart(title, 1, None) for title in titles))


def _sizes(models: Sequence[NamedCheckpoint]) -> list[int]:
    """Bytes of the models' weights; 1 for each where one is not known: what is on the Hub yet, or
    still to be fine-tuned, is not fetched or made for an estimate."""
    sizes = []
    for model in models:
        size = 0
        if isinstance(model, ModelCheckpoint):
            with suppress(OSError):
                size = sum(file.stat().st_size for file in model.path.glob("*.safetensors"))
        sizes.append(size)
    return sizes if all(sizes) else [1] * len(sizes)
