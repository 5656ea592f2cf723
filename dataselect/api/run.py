"""`ds.run`: a whole run from Python, the same as `dataselect run`."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.api.arguments import as_folder, as_store
from dataselect.api.inputs import load_inputs
from dataselect.api.result import Result
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.errors import DataselectError, InputError
from dataselect.pipeline import Selection
from dataselect.pipeline import run as run_pipeline
from dataselect.report.output import make_folder
from dataselect.report.selection.document import document
from dataselect.report.selection.files import ranking_rows, write_report, write_stage_ranking
from dataselect.report.selection.stages import pruning, ran, title
from dataselect.stages.engine import driver_device, job_device, open_compute, with_engine
from dataselect.stages.recording import About, recorded
from dataselect.stages.runtime import Runtime
from dataselect.stages.tracking import cost_numbers, run_config, tracker_choice
from dataselect.stages.watch import SilentWatch, Watch, shown_waits
from dataselect.stages.watching import watches_of
from dataselect.stages.work import Fact, StageRanking
from dataselect.store import in_use, lock

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = {
    "rank": "rank",
    "status": "status",
    "stage1_score": "Stage 1 score",
    "stage1_low": "low",
    "stage1_high": "high",
    "stage1_p_top_k": "P(best k)",
    "predicted_accuracy": "predicted accuracy",
    "predicted_low": "accuracy, low",
    "predicted_high": "accuracy, high",
    "true_accuracy": "true accuracy",
}
"""Columns of the ranking in the notebook display, with their headings."""


@dataclass(frozen=True, repr=False)
class RunResult(Result):
    """The decision of a run: verdict, ranking and cost as tables."""

    document: Mapping[str, Any]
    """The content of report.json."""

    selection: Selection = field(compare=False)
    """The Python objects behind `document`: per-item scores, draws, transfer functions."""

    @property
    def verdict(self) -> str:
        """Which candidate comes first, by how much and how certain that is, in one sentence."""
        return str(self.document["verdict"])

    @property
    def next_step(self) -> str:
        """What to do next, what it costs and what it would tell; as numbers, `decision.next` of the
        document."""
        return str(self.document["next_step"])

    @property
    def complete(self) -> bool:
        """Whether no candidate failed; the same call retries those that did."""
        return self.selection.complete

    @property
    def ranking(self) -> "pd.DataFrame":
        """A row for each candidate, best first, indexed by its id.

        Columns are those of ranking.csv: `rank` (from 1, missing for candidates that were not
        ranked), `title`, `status`, `reason`; `stage1_score`, `stage1_low`, `stage1_high` (lower is
        better, in the unit that `document["stages"]` names: z-scores, or ranks), `stage1_p_top_k`;
        the same of later stages that prune, and the `score` alone of one that predicts;
        `predicted_accuracy`, `predicted_low`, `predicted_high` in 0..1 where a transfer function
        applies; `true_accuracy` in 0..1 where targets are known, and with predictions
        `prediction_error`, `constant_error` and `interval_held` (0 or 1);
        `leaked_items_BENCHMARK` where text was searched; and `stageN_BENCHMARK_METRIC` in nats per
        token.
        """
        import pandas as pd

        return pd.DataFrame(ranking_rows(self.document)).set_index("id")

    @property
    def wins(self) -> "pd.DataFrame":
        """Candidates x candidates: the probability that the row is better than the column.

        By predicted target accuracy if there is one, else by the last stage that ran.
        """
        import pandas as pd

        by_stage = self.document["wins"]
        wins = by_stage["prediction"] or by_stage[list(ran(self.document))[-1]]
        return pd.DataFrame.from_dict(wins, orient="index")

    @property
    def agreement(self) -> "pd.DataFrame | None":
        """How well each metric's ranking agrees with known targets: a row for each metric.

        Columns `decision_accuracy` (share of pairs in the same order) and `kendall_tau`, each with
        `_low` and `_high`, the ends of its interval. None if no target accuracy is known.
        """
        import pandas as pd

        evidence = self.document["evidence"]
        if evidence is None:
            return None
        rows: dict[str, dict[str, float | None]] = {}
        for metric in evidence["decision_accuracy"]:
            rows[metric] = {}
            for name in ("decision_accuracy", "kendall_tau"):
                low, high = evidence[f"{name}_interval"][metric] or (None, None)
                rows[metric] |= {
                    name: evidence[name][metric],
                    f"{name}_low": low,
                    f"{name}_high": high,
                }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    @property
    def cost(self) -> "pd.Series":
        """FLOPs of each stage and one target run, their `total`, and `naive`: a target run
        for every candidate. Besides, `elsewhere`: the part of the stages that was spent on given
        checkpoints; and `mixture`: the search, which is not in the total."""
        import pandas as pd

        return pd.Series(self.document["cost"]["flops"], name="FLOPs")

    @property
    def notes(self) -> tuple[str, ...]:
        """The mixture's verdict if there is one, and caveats on texts, proxies and functions."""
        mixture = self.document["mixture"]
        verdict = [] if mixture is None or not mixture["verdict"] else [mixture["verdict"]]
        return (*verdict, *self.document["notes"])

    @property
    def mixture_problem(self) -> DataselectError | None:
        """The error that ended the mixture search; None if there was none."""
        return self.selection.mixture_problem

    def write(self, out: str | Path) -> Path:
        """Write the report into the folder `out`, created if missing; returns its README.md."""
        folder = make_folder(as_folder("out", out))
        write_report(self.selection, folder)
        return folder / "README.md"

    def _shown_notes(self) -> tuple[str, ...]:
        return (self.next_step, *self.notes)

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        ranking = self.ranking
        headings = {**_SHOWN}
        for stage in list(pruning(self.document))[1:]:
            headings |= {f"{stage}_score": f"{title(stage)} score"}
        ranking = ranking[[name for name in headings if name in ranking]].rename(columns=headings)
        confidence = self.document["decision"]["confidence"]
        caption = f"Ranking; scores: lower is better; low and high: {confidence:.0%} interval"
        tables = {caption: ranking}
        if self.agreement is not None:
            tables["Agreement with known targets"] = self.agreement
        return tables


def run(
    manifest: str | Path | Manifest,
    plan: str | Path | Plan | None = None,
    *,
    store: str | Path = ".dataselect",
    out: str | Path | None = None,
    compare_metrics: bool = False,
    on: str | None = None,
    track: Sequence[str] | None = None,
    watch: Watch | None = None,
    command: str | None = None,
) -> RunResult:
    """Screen, predict, rank and, where the plan asks for it, search for a mixture.

    `manifest`: a file or a loaded manifest; `plan`: a name in stages/, a file, or a loaded plan,
    by default the manifest's. `store` keeps everything computed, so that the same call resumes
    after an interruption. `out`: folder of the report; without it no report is written.
    `compare_metrics` also ranks Stage 1 by every metric. `on`: where jobs run, `local`, `slurm`,
    `ray` or another engine, in place of the plan's. `track`: trackers that show the run's numbers
    (`wandb`, `tensorboard`, `trackio`, `mlflow`), in place of the plan's. `watch` receives progress
    and events.
    `command` is what `dataselect status` says to resume it with.

    Raises InputError before anything is spent, IncompleteError if no candidate was scored in Stage
    1, LockedError while another run holds the report folder. Any number of runs may share a
    store, also at once.

        selection = ds.run("candidates.yaml", plan="quickstart", out="reports/first")
        selection.ranking
    """
    loaded, chosen = load_inputs(manifest, plan)
    chosen = with_engine(chosen, on)
    trackers = tracker_choice(chosen, track)
    watch = watch or SilentWatch()
    artifacts = as_store("--store", store)
    folder = None if out is None else make_folder(as_folder("--out", out))
    if folder is not None and folder.resolve() == artifacts.root.resolve():
        raise InputError("--out", "it is the store", "give the report a folder of its own")
    device, here = job_device(chosen), driver_device(chosen)
    folder_lock = nullcontext() if folder is None else lock(folder, "the report folder")

    def selected(selection: Selection) -> None:
        if folder is not None:
            write_report(selection, folder)

    about = About(
        kind="run",
        name=loaded.name,
        command=command or _call(manifest, plan, store, out),
        manifest=str(loaded.file),
        plan=chosen.name,
        report=folder,
        device=device,
    )
    with (
        in_use(artifacts),
        folder_lock,
        recorded(artifacts.root, about) as recorder,
        open_compute(chosen, artifacts.root) as compute,
    ):
        more = [] if folder is None else [_StageRankings(folder)]
        config = run_config(loaded, chosen)
        watches, metrics = watches_of(recorder, [watch], config, trackers, trains=True, more=more)
        selection = run_pipeline(
            loaded,
            chosen,
            Runtime(artifacts.told_to(shown_waits(watches)), compute, device, watches, here),
            compare_metrics=compare_metrics,
            on_selected=selected,
        )
        content = document(selection) if folder is None else write_report(selection, folder)
        metrics.ranked(_final_numbers(content))
        metrics.cost(cost_numbers(selection.spent, selection.seconds))
        problem = selection.mixture_problem
        whole = selection.complete and problem is None
        recorder.close("done" if whole else "incomplete", "" if problem is None else str(problem))
    return RunResult(content, selection)


class _StageRankings(SilentWatch):
    """Writes the ranking of each stage that prunes into the report's folder at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tell(self, fact: Fact) -> None:
        """Write it if it is a ranking."""
        if isinstance(fact, StageRanking):
            write_stage_ranking(fact, self._folder)


def _final_numbers(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Numbers of the ranking with which a run ends, by candidate."""
    found: dict[str, dict[str, float]] = {}
    for row in ranking_rows(content):
        numbers = {name: row.get(name) for name in ("rank", "predicted_accuracy", "true_accuracy")}
        known = {k: float(v) for k, v in numbers.items() if isinstance(v, int | float)}
        if known:
            found[str(row["id"])] = {f"final/{name}": each for name, each in known.items()}
    return found


def _call(manifest: object, plan: object, store: object, out: object) -> str:
    """The call from Python that resumes the run, for people."""
    named = {"plan": plan, "store": store, "out": out}
    given = [f"{name}={str(value)!r}" for name, value in named.items() if value is not None]
    where = manifest.file if isinstance(manifest, Manifest) else manifest
    return f"ds.run({', '.join([repr(str(where)), *given])})"
