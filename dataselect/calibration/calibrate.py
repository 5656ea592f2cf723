"""`dataselect calibrate`: a transfer function measured on checkpoints of a proxy and its target.

    checkpoints of the proxy, and accuracies or checkpoints of the target
      -> paired at equal tokens; too few pairs are an error before anything is scored
      -> the proxy's paired checkpoints scored on the traces; the target's evaluated if the spec
         names them, with `sft` each after fine-tuning on the benchmark's training set
      -> a table of pairs, which `dataselect fit` reads
      -> a transfer function for each benchmark, with the setting that it depends on

A checkpoint that cannot be scored, or has too many values that are not finite, is left out with its
pairs, and the record says so. Every score is an artifact, so a command that was stopped resumes,
and the same spec with another protocol or target scores nothing twice. One model is in memory at a
time.

Not covered: averaging over several calibration runs. Join their tables, with a `group` for each,
and give the result to `dataselect fit`.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from dataselect.calibration.accuracies import Accuracies
from dataselect.calibration.paired import Paired, Series, commit_of
from dataselect.calibration.training import load_training_sets
from dataselect.errors import InputError
from dataselect.proxy_sources.given import GivenCheckpoints
from dataselect.scoring.evaluate import METRICS, Evaluation
from dataselect.scoring.gather import gather
from dataselect.scoring.isft import score_finetuned, tune_recipe
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.scoring.score_models import BenchmarkScores, ModelScores, score_models
from dataselect.scoring.series import Member
from dataselect.store import Store
from dataselect.transfer.chance import known_chance
from dataselect.transfer.function import Provenance, Setting
from dataselect.transfer.pairs import PairsFile
from dataselect.transfer.protocols import PaperFit, RobustFit, fit_paper, fit_robustly

if TYPE_CHECKING:
    import pandas as pd

    from dataselect.stages.watch import Watch

COLUMNS = (
    *("benchmark", "metric", "accuracy", "tokens", "chance"),
    *("proxy", "proxy_tokens", "target", "target_tokens", "trace_nll", "label_nll"),
)
"""Columns of the table of pairs; `dataselect fit` reads the first five."""

_Score = Callable[..., ModelScores]
"""`score_models` or `score_finetuned`, with the arguments that differ filled in."""


@dataclass(frozen=True)
class Measured:
    """The pairs with their scores and accuracies, and what they were measured with."""

    rows: tuple[Mapping[str, object], ...]
    """Rows of the table of pairs, with the columns `COLUMNS`."""
    settings: Mapping[str, Setting]
    """By benchmark, what its scores and accuracies depend on."""
    calibration: str
    """The calibration run, in words."""
    checkpoints: tuple[str, ...]
    """Names of all checkpoints that were scored or evaluated."""
    notes: tuple[str, ...]
    """What was paired, and items and checkpoints left out."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why checkpoints have no scores, by name."""

    def table(self) -> str:
        """The pairs as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def setting_file(self) -> str:
        """The setting of the pairs as JSON, as `dataselect fit --setting` reads it."""
        shared = asdict(next(iter(self.settings.values())))
        del shared["traces"], shared["benchmark"]
        hashes = {
            name: {"traces": each.traces, "benchmark": each.benchmark}
            for name, each in self.settings.items()
        }
        content = {**shared, "calibration": self.calibration, "benchmarks": hashes}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def measure(paired: Paired, store: Store, device: str, unsafe: bool, watch: "Watch") -> Measured:
    """Score what the store lacks and assemble the pairs.

    `unsafe` lets programs that the target writes run without isolation. Raises InputError when a
    benchmark has no item that every checkpoint can be scored on, or too few pairs are left without
    the checkpoints that failed.
    """
    spec, planned = paired.spec, paired
    watch.step("Benchmarks and reasoning traces")
    evaluations = gather(spec, store, device, watch.note)
    grade: _Score = partial(score_models, measurements=("graded",))
    if spec.target.sft:
        benchmarks = {name: each.benchmark for name, each in evaluations.items()}
        grade = partial(score_finetuned, training_sets=load_training_sets(spec, benchmarks))
    watch.step(f"Proxy: {len(paired.proxies)} checkpoints of {paired.proxy.name}")
    score = partial(score_models, measurements=("scores",))
    proxies, failed = _scored(score, paired.proxies, evaluations, store, device, unsafe, watch)
    paired = _without(paired, failed, {})
    measured: Mapping[str, _Scored] | None = None
    lost: dict[Member, str] = {}
    if paired.targets:
        watch.step(f"Target: {len(paired.targets)} checkpoints of {paired.target_name}")
        measured, lost = _scored(grade, paired.targets, evaluations, store, device, unsafe, watch)
        paired = _without(paired, {}, lost)
    rows: list[Mapping[str, object]] = []
    for name, evaluation in evaluations.items():
        chance = _chance(evaluation)
        for point in paired.matches[name].found:
            scores = _means(proxies, name, paired.proxy.members[point.proxy])
            if measured is not None and isinstance(paired.target, Series):
                member = paired.target.members[point.target]
                accuracy = _means(measured, name, member)["correct"]
                origin = paired.known_as(member)
            else:
                assert isinstance(paired.target, Accuracies), "not evaluated, so it was read"
                accuracy = paired.target.values[name][point.target]
                origin = paired.target.origins[name, point.target]
            rows.append(
                {
                    "benchmark": name,
                    "metric": scores["rbridge"],
                    "accuracy": accuracy,
                    "tokens": point.tokens,
                    "chance": chance,
                    "proxy": commit_of(paired.proxy.members[point.proxy]),
                    "proxy_tokens": point.proxy,
                    "target": origin,
                    "target_tokens": point.target,
                    "trace_nll": scores["trace_nll"],
                    "label_nll": scores["label_nll"],
                }
            )
    notes = dict.fromkeys(
        f"{name}: {note}"
        for name in evaluations
        for scored in (proxies, measured or {})
        if name in scored
        for note in _remarks(scored[name].scores)
    )
    left = {f"proxy {member.label}": why for member, why in failed.items()}
    left |= {f"target {member.label}": why for member, why in lost.items()}
    return Measured(
        tuple(rows),
        _settings(paired, evaluations, store, device),
        _description(paired, device),
        (*map(commit_of, paired.proxies), *map(paired.known_as, paired.targets)),
        (
            *planned.notes(),
            *(f"{n} failed and is not paired: {w}" for n, w in left.items()),
            *notes,
        ),
        left,
    )


def fit(
    file: PairsFile,
    paired: Paired,
    measured: Measured,
    protocol: Literal["robust", "paper"],
    command: str,
) -> dict[str, PaperFit | RobustFit]:
    """A transfer function for each benchmark, fitted on pairs read from the table `file`."""
    fits: dict[str, PaperFit | RobustFit] = {}
    prior = paired.spec.read_prior()
    for name, pairs in file.benchmarks.items():
        provenance = Provenance(
            measured.settings[name],
            measured.calibration,
            command,
            checkpoints=measured.checkpoints,
        )
        fits[name] = (
            fit_paper(pairs, provenance, paired.spec.seed)
            if protocol == "paper"
            else fit_robustly(pairs, provenance, paired.spec.seed, falling=True, prior=prior)
        )
    return fits


@dataclass(frozen=True)
class _Scored:
    """A benchmark's scores."""

    scores: BenchmarkScores
    """Scores of all checkpoints."""
    tables: Mapping[str, "pd.DataFrame"]
    """The table of each checkpoint, by its label."""


def _scored(
    score: _Score,
    members: Sequence[Member],
    evaluations: Mapping[str, Evaluation],
    store: Store,
    device: str,
    unsafe: bool,
    watch: "Watch",
) -> tuple[dict[str, _Scored], dict[Member, str]]:
    """Scores by benchmark, and why checkpoints failed."""

    def report(text: str) -> None:
        watch.progress(text, {})

    found = score(
        store,
        [replace(member, store=store).checkpoint for member in members],
        list(evaluations.values()),
        device=device,
        precision=members[0].precision,
        unsafe=unsafe,
        report=report,
    )
    labels = [member.label for place, member in enumerate(members) if place not in found.failed]
    by_benchmark = {}
    for name, scores in zip(evaluations, found.benchmarks, strict=True):
        if scores.tables[0].empty:
            raise InputError(
                f"benchmark '{name}'",
                "there is no item that every checkpoint can be scored on",
                "use other items, or leave out a checkpoint",
            )
        by_benchmark[name] = _Scored(scores, dict(zip(labels, scores.tables, strict=True)))
    return by_benchmark, {members[place]: why for place, why in found.failed.items()}


def _without(
    paired: Paired, proxies: Mapping[Member, str], targets: Mapping[Member, str]
) -> Paired:
    """The calibration run without the pairs of failed checkpoints. InputError if few are left."""
    matches = {}
    for name, each in paired.matches.items():
        kept = tuple(
            point
            for point in each.found
            if paired.proxy.members[point.proxy] not in proxies
            and not (
                isinstance(paired.target, Series) and paired.target.members[point.target] in targets
            )
        )
        if len(kept) < paired.spec.least_pairs:
            first, why = next(iter({**proxies, **targets}.items()))
            raise InputError(
                paired.spec.where("pair"),
                f"{name}: {len(kept)} pairs are left without the checkpoints that failed "
                f"({first.label}: {why}); {paired.spec.least_pairs} are needed",
                "give intact checkpoints, or more of them",
            )
        matches[name] = replace(each, found=kept)
    return replace(paired, matches=matches)


def _means(scored: Mapping[str, _Scored], benchmark: str, member: Member) -> dict[str, float]:
    table = scored[benchmark].tables[member.label]
    metrics = [name for name in (*METRICS, "correct") if name in table]
    return {name: float(table[name].mean()) for name in metrics}


def _remarks(scores: BenchmarkScores) -> list[str]:
    left_out = [f"items left out for all checkpoints: {len(scores.exclusions)}"]
    return [*(left_out if scores.exclusions else []), *scores.notes]


def _settings(
    paired: Paired, evaluations: Mapping[str, Evaluation], store: Store, device: str
) -> dict[str, Setting]:
    last = replace(paired.proxies[-1], store=store)
    source = GivenCheckpoints((last,))
    proxy = source.find(store) or source.make(store, last.label, device, lambda *_: None)
    return {
        name: Setting(
            target_size=paired.spec.target.size,
            target_tokens=paired.target_tokens,
            proxy_size=proxy.parameters,
            proxy_tokens=paired.proxy.tokens,
            traces=evaluation.traces_hash,
            benchmark=evaluation.benchmark.content_hash,
            tokenizer=proxy.tokenizer,
            metric_version=METRIC_VERSION,
        )
        for name, evaluation in evaluations.items()
    }


def _description(paired: Paired, device: str) -> str:
    runs = f"{paired.proxy.name} and {paired.target_name}"
    if not paired.spec.target.sft:
        return runs
    recipe = tune_recipe(device)
    return (
        f"{runs} fine-tuned on the benchmark's training set (epochs {recipe.epochs}, learning rate"
        f" {recipe.learning_rate:g}, batch {recipe.batch_size})"
    )


def _chance(evaluation: Evaluation) -> float | str:
    """Accuracy of guessing on a user's benchmark with choices; empty text for other benchmarks."""
    benchmark = evaluation.benchmark
    choices = [len(item.choices or ()) for item in benchmark.items]
    if known_chance(benchmark.id) is not None or not choices or 0 in choices:
        return ""
    return sum(1 / count for count in choices) / len(choices)
