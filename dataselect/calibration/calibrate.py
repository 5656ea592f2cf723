"""`dataselect calibrate`: transfer functions measured on checkpoints of proxies and targets.

    for each run, checkpoints of the proxy, and accuracies or checkpoints of the target
      -> paired at equal tokens; too few pairs are an error before anything is scored
      -> the proxies' paired checkpoints scored on the traces; the targets' evaluated if the spec
         names them, with `sft` each after fine-tuning on the benchmark's training set
      -> one table of pairs with the dataset of each as its group, which `dataselect fit` reads
      -> a transfer function for each benchmark, with the setting that it depends on

The scores of all runs are over the same items: an item that one checkpoint cannot be scored on is
left out for all. A checkpoint that cannot be scored, or has too many values that are not finite, is
left out with its pairs, a run without pairs is left out, and the record says so. Every score is an
artifact, so a command that was stopped resumes, and the same spec with another protocol, target or
run scores nothing twice. One model is in memory at a time.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from dataselect.calibration.accuracies import Accuracies
from dataselect.calibration.paired import Paired, Series, check_runs_alike, commit_of, in_short
from dataselect.calibration.pairing import Match, Matches
from dataselect.calibration.provenance import described, segmentation, settings
from dataselect.calibration.training import load_training_sets
from dataselect.errors import InputError
from dataselect.scoring.evaluation import METRICS, Evaluation, Measurement
from dataselect.scoring.gather import gather
from dataselect.scoring.isft import score_finetuned
from dataselect.scoring.score_models import BenchmarkScores, ModelScores, score_models
from dataselect.scoring.series import Member
from dataselect.stages.scoring_work import planned_scoring, scoring_outlook
from dataselect.store import Store
from dataselect.transfer.chance import known_chance
from dataselect.transfer.function import Provenance, Setting
from dataselect.transfer.pairs import PairsFile
from dataselect.transfer.protocols import PaperFit, RobustFit, fit_paper, fit_robustly

if TYPE_CHECKING:
    import pandas as pd

    from dataselect.stages.watch import Watch

COLUMNS = (
    *("benchmark", "group", "metric", "accuracy", "tokens", "chance"),
    *("proxy", "proxy_tokens", "target", "target_tokens", "trace_nll", "label_nll"),
)
"""Columns of the table of pairs; `dataselect fit` reads the first six and the
last."""

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
    runs: tuple[Paired, ...]
    """The runs, with the pairs that have scores; without those that have none."""
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


def measure(
    runs: Sequence[Paired], store: Store, device: str, unsafe: bool, watch: "Watch"
) -> Measured:
    """Score what the store lacks and assemble the pairs of all runs.

    `unsafe` lets programs that the target writes run without isolation. Raises InputError when a
    benchmark has no item that every checkpoint can be scored on, too few pairs are left without the
    checkpoints that failed, or proxies of the runs have different tokenizers.
    """
    spec, planned = runs[0].spec, runs
    watch.step("Benchmarks and reasoning traces")
    evaluations = gather(spec, store, device, watch.note)
    grade: _Score = partial(score_models, measurements=("graded",))
    if spec.target.sft:
        benchmarks = {name: each.benchmark for name, each in evaluations.items()}
        grade = partial(
            score_finetuned,
            training_sets=load_training_sets(spec, benchmarks),
            on_tuning=lambda text: watch.progress(text, {}),
        )
    proxies = _each_once(run.proxies for run in runs)
    names = list(dict.fromkeys(run.proxy.name for run in runs))
    title = f"Proxy: {len(proxies)} checkpoints of {in_short(names)}"
    # How long the targets take is not known before one of them has been measured.
    later = ["Target"] if any(run.targets for run in runs) else []
    watch.tell(scoring_outlook(title, *later))
    watch.step(title)
    if len(runs) > 1:
        check_runs_alike(runs, [segmentation(run, store, device) for run in runs])
    score = partial(score_models, measurements=("scores",))
    how = store, device, unsafe, watch
    scores, failed = _scored(score, proxies, evaluations, "scores", *how)
    runs = _without(runs, failed, {})
    targets = _each_once(run.targets for run in runs)
    measured: Mapping[str, _Scored] | None = None
    lost: dict[Member, str] = {}
    if targets:
        names = list(dict.fromkeys(run.target_name for run in runs))
        title = f"Target: {len(targets)} checkpoints of {in_short(names)}"
        watch.tell(scoring_outlook(title))
        watch.step(title)
        graded: Measurement | None = None if spec.target.sft else "graded"
        measured, lost = _scored(grade, targets, evaluations, graded, *how)
        runs = _without(runs, {}, lost)
    notes = dict.fromkeys(
        f"{name}: {note}"
        for name in evaluations
        for scored in (scores, measured or {})
        if name in scored
        for note in _remarks(scored[name].scores)
    )
    left = _failures(planned, failed, lost)
    kept = [run.spec for run in runs]
    gone = [run for run in planned if all(run.spec is not spec for spec in kept)]
    return Measured(
        tuple(_rows(runs, evaluations, scores, measured)),
        settings(runs, evaluations, store, device),
        described(runs, device),
        _checkpoints(runs),
        tuple(runs),
        (
            *(f"{run.prefix}{note}" for run in planned for note in run.notes()),
            *(f"{n} failed and is not paired: {w}" for n, w in left.items()),
            *(f"{run.prefix}a benchmark has no pairs left: this run is left out" for run in gone),
            *notes,
        ),
        left,
    )


def _failures(
    runs: Sequence[Paired], proxies: Mapping[Member, str], targets: Mapping[Member, str]
) -> dict[str, str]:
    """Why checkpoints failed, by names that tell them apart."""
    found: dict[str, str] = {}
    for run in runs:
        for what, of, members, failed in (
            ("proxy", run.proxy.name, run.proxies, proxies),
            ("target", run.target_name, run.targets, targets),
        ):
            for member in members:
                if member not in failed:
                    continue
                name = f"{run.prefix}{what} {member.label}"
                # Seeds of a dataset may have labels in common.
                found[f"{name} of {of}" if name in found else name] = failed[member]
    return found


def _rows(
    runs: Sequence[Paired],
    evaluations: Mapping[str, Evaluation],
    scores: "Mapping[str, _Scored]",
    measured: "Mapping[str, _Scored] | None",
) -> Iterator[Mapping[str, object]]:
    """Rows of the table of pairs; `measured` has the targets' if they are evaluated here."""
    for name, evaluation in evaluations.items():
        chance = _chance(evaluation)
        for run in runs:
            for point in run.matches[name].found:
                proxy = run.proxy.members[point.proxy]
                found = _means(scores, name, proxy)
                if measured is not None and isinstance(run.target, Series):
                    member = run.target.members[point.target]
                    accuracy = _means(measured, name, member)["correct"]
                    origin = run.known_as(member)
                else:
                    assert isinstance(run.target, Accuracies), "not evaluated, so it was read"
                    accuracy = run.target.values[name][point.target]
                    origin = run.target.origins[name, point.target]
                yield {
                    "benchmark": name,
                    "group": run.spec.dataset or "",
                    "metric": found["rbridge"],
                    "accuracy": accuracy,
                    "tokens": point.tokens,
                    "chance": chance,
                    "proxy": commit_of(proxy),
                    "proxy_tokens": point.proxy,
                    "target": origin,
                    "target_tokens": point.target,
                    "trace_nll": found["trace_nll"],
                    "label_nll": found["label_nll"],
                }


def fit(
    file: PairsFile,
    measured: Measured,
    protocol: Literal["robust", "paper"],
    command: str,
) -> dict[str, PaperFit | RobustFit]:
    """A transfer function for each benchmark, fitted on pairs read from the table `file`."""
    fits: dict[str, PaperFit | RobustFit] = {}
    spec = measured.runs[0].spec
    prior = spec.read_prior()
    for name, pairs in file.benchmarks.items():
        provenance = Provenance(
            measured.settings[name],
            measured.calibration,
            command,
            checkpoints=measured.checkpoints,
        )
        fits[name] = (
            fit_paper(pairs, provenance, spec.seed)
            if protocol == "paper"
            else fit_robustly(
                pairs, provenance, spec.seed, falling=True, prior=prior, offsets=spec.offsets
            )
        )
    return fits


@dataclass(frozen=True)
class _Scored:
    """A benchmark's scores."""

    scores: BenchmarkScores
    """Scores of all checkpoints."""
    tables: Mapping[Member, "pd.DataFrame"]
    """The table of each checkpoint."""


def _scored(
    score: _Score,
    members: Sequence[Member],
    evaluations: Mapping[str, Evaluation],
    measurement: Measurement | None,
    store: Store,
    device: str,
    unsafe: bool,
    watch: "Watch",
) -> tuple[dict[str, _Scored], dict[Member, str]]:
    """Scores by benchmark, and why checkpoints failed.

    `measurement` is what `score` measures; None for what cannot be listed before.
    """
    checkpoints = [replace(member, store=store).checkpoint for member in members]
    if measurement is not None:
        watch.tell(planned_scoring(store, checkpoints, list(evaluations.values()), (measurement,)))
    found = score(
        store,
        checkpoints,
        list(evaluations.values()),
        device=device,
        precision=members[0].precision,
        unsafe=unsafe,
        report=lambda _: None,  # its messages are events as well
        on_event=watch.event,
    )
    kept = [member for place, member in enumerate(members) if place not in found.failed]
    by_benchmark = {}
    for name, scores in zip(evaluations, found.benchmarks, strict=True):
        if scores.tables[0].empty:
            raise InputError(
                f"benchmark '{name}'",
                "there is no item that every checkpoint can be scored on",
                "use other items, or leave out a checkpoint",
            )
        by_benchmark[name] = _Scored(scores, dict(zip(kept, scores.tables, strict=True)))
    return by_benchmark, {members[place]: why for place, why in found.failed.items()}


def _without(
    runs: Sequence[Paired], proxies: Mapping[Member, str], targets: Mapping[Member, str]
) -> tuple[Paired, ...]:
    """The runs without the pairs of failed checkpoints. InputError if few are left.

    A run that has no pair of some benchmark is left out.
    """
    spec = runs[0].spec
    left = [replace(run, matches=_intact(run, proxies, targets)) for run in runs]
    for name in runs[0].matches:
        count = sum(len(run.matches[name].found) for run in left)
        if count < spec.least_pairs:
            first, why = next(iter({**proxies, **targets}.items()))
            raise InputError(
                spec.where("pair"),
                f"{name}: {count} pairs are left without the checkpoints that failed "
                f"({first.label}: {why}); {spec.least_pairs} are needed",
                "give intact checkpoints, or more of them",
            )
    return tuple(run for run in left if all(each.found for each in run.matches.values()))


def _intact(
    run: Paired, proxies: Mapping[Member, str], targets: Mapping[Member, str]
) -> dict[str, Matches]:
    def intact(point: Match) -> bool:
        target = run.target
        lost = isinstance(target, Series) and target.members[point.target] in targets
        return run.proxy.members[point.proxy] not in proxies and not lost

    return {
        name: replace(each, found=tuple(filter(intact, each.found)))
        for name, each in run.matches.items()
    }


def _each_once(of_runs: Iterable[Sequence[Member]]) -> list[Member]:
    return list(dict.fromkeys(member for members in of_runs for member in members))


def _checkpoints(runs: Sequence[Paired]) -> tuple[str, ...]:
    """Names of the checkpoints behind the pairs: proxies, then targets."""
    proxies = (commit_of(member) for run in runs for member in run.proxies)
    targets = (run.known_as(member) for run in runs for member in run.targets)
    return tuple(dict.fromkeys((*proxies, *targets)))


def _means(scored: Mapping[str, _Scored], benchmark: str, member: Member) -> dict[str, float]:
    table = scored[benchmark].tables[member]
    metrics = [name for name in (*METRICS, "correct") if name in table]
    return {name: float(table[name].mean()) for name in metrics}


def _remarks(scores: BenchmarkScores) -> list[str]:
    left_out = [f"items left out for all checkpoints: {len(scores.exclusions)}"]
    return [*(left_out if scores.exclusions else []), *scores.notes]


def _chance(evaluation: Evaluation) -> float | str:
    """Accuracy of guessing on a user's benchmark with choices; empty text for other benchmarks."""
    benchmark = evaluation.benchmark
    choices = [len(item.choices or ()) for item in benchmark.items]
    if known_chance(benchmark.id) is not None or not choices or 0 in choices:
        return ""
    return sum(1 / count for count in choices) / len(choices)
