"""`ds.view` and `dataselect view`: the items of a run on which its candidates differ most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dataselect.api.arguments import (
    Paths,
    as_count,
    as_path,
    as_store,
    require_one_of,
    several,
)
from dataselect.api.inputs import load_inputs
from dataselect.api.reported_items import (
    ReportedBenchmark,
    chosen_benchmarks,
    chosen_stage,
    reported,
    shown_candidates,
)
from dataselect.api.result import Result
from dataselect.api.score import Device
from dataselect.compute import require_device
from dataselect.errors import InputError
from dataselect.report.items.links import ITEMS_FOLDER, stamp
from dataselect.report.items.words import lead_words
from dataselect.report.selection.files import reading, write_item_pages
from dataselect.report.selection.stages import title
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.gather import gather
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.recorded_checkpoints import named_checkpoints, recorded_checkpoints
from dataselect.stages.run_status import find_run
from dataselect.stages.viewed_items import (
    Checkpoints,
    ScoredBenchmark,
    ViewedBenchmark,
    read_scores,
    view_items,
)
from dataselect.store import Store, in_use
from dataselect.store.opened import DEFAULT_STORE
from dataselect.store.run_record import run_of_report
from dataselect.wording import nearest, quoted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class ItemsView(Result):
    """Items of a run, with each candidate's score and the NLL of each token."""

    folder: Path
    """The report's folder."""

    stage: str
    """The stage whose scores these are, as `stage1`."""

    benchmarks: tuple[ViewedBenchmark, ...]
    """What is shown of each benchmark."""

    content: Mapping[str, Any] = field(repr=False)
    """The content of report.json."""

    @property
    def verdict(self) -> str:
        """On each benchmark who is ahead, and on how few items that rests."""
        return " ".join(lead_words(each) for each in self.benchmarks)

    @property
    def notes(self) -> tuple[str, ...]:
        """Checkpoints that are gone, and those that do not give their own score again."""
        return tuple(dict.fromkeys(note for each in self.benchmarks for note in each.notes))

    @cached_property
    def items(self) -> "pd.DataFrame":
        """A row for each item shown: `benchmark`, `item`, `spread`, `difference` of the two that
        are compared (the second minus the first, above 0 speaks for the first), `without`, the mean
        difference of all other items, `left_out`, and the score of each candidate in nats per
        token, in a column with its id."""
        import pandas as pd

        rows = []
        for each in self.benchmarks:
            for item in each.items:
                row: dict[str, object] = {"benchmark": each.scored.id, "item": item.item.id}
                row["spread"] = item.spread
                if each.pair is not None and item.scores:
                    row["difference"] = float(each.pair.differences[item.item.id])
                    row["without"] = float(each.pair.without[item.item.id])
                rows.append({**row, "left_out": item.left_out, **item.scores})
        return pd.DataFrame(rows)

    @cached_property
    def tokens(self) -> "pd.DataFrame":
        """A row for each token of each trace shown: `benchmark`, `item`, `frontier`, `token` (from
        1), `text`, `weight` in 0..1 (missing where it does not count), and the NLL of each
        candidate in nats, in a column with its id."""
        import pandas as pd

        from dataselect.report.items.tokens import token_texts

        rows: list[dict[str, object]] = []
        for each in self.benchmarks:
            for item in each.items:
                for trace in item.traces:
                    if not trace.tokens:
                        continue
                    first = next(iter(trace.tokens.values()))
                    for place, text in enumerate(token_texts(trace.text, first.spans)):
                        rows.append(
                            {
                                "benchmark": each.scored.id,
                                "item": item.item.id,
                                "frontier": trace.model,
                                "token": place + 1,
                                "text": text,
                                "weight": float(first.weights[place]),
                                **{who: float(t.nll[place]) for who, t in trace.tokens.items()},
                            }
                        )
        return pd.DataFrame(rows)

    def write(self) -> list[Path]:
        """Write `items/BENCHMARK.html` into the report's folder, and links to it into the report.

        Pages of an earlier look go. Returns the pages. Raises LockedError while a run writes there.
        """
        from dataselect.report.items.page import items_page

        ids, stamped = [each.scored.id for each in self.benchmarks], stamp(self.content)
        pages = {
            each.scored.id: items_page(
                each,
                self.content["run"],
                title(self.stage),
                stamped,
                [other for other in ids if other != each.scored.id],
            )
            for each in self.benchmarks
        }
        write_item_pages(self.folder, pages)
        return [self.folder / ITEMS_FOLDER / f"{name}.html" for name in pages]

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {"Items on which candidates differ most": self.items}


def view(
    run: str | Path,
    *,
    items: int = 10,
    item: Paths = (),
    benchmarks: Paths = (),
    candidates: Paths = (),
    stage: int | None = None,
    store: str | Path | None = None,
    device: Device = "auto",
    report: Callable[[str], None] | None = None,
) -> ItemsView:
    """Look at the items of a run: traces by weight, and each candidate's NLL of every token.

        shown = ds.view("reports/first", candidates=["web", "textbook"])
        shown.tokens     # a row for each token
        shown.write()    # reports/first/items/BENCHMARK.html

    `run` is the folder of a report, or the name of a run in the store. `items`: how many of each
    benchmark, those on which the candidates differ most; `item` names ids in place of these.
    `benchmarks` are ids, by default all. `candidates` are those whose tokens are shown, the first
    two of whom are compared: by default the first eight of the ranking. `stage` is the number of a
    stage, by default the last that scored two candidates. `store` is by default that of the run.

    Scores are read from the store. NLLs of tokens are computed once for the items shown, and then
    kept; nothing is trained or downloaded. `report` receives progress messages.

    Raises InputError where there is no such report, benchmark, item or candidate, where the store
    lacks the scores, and where items or traces are not those of the run.
    """
    require_one_of("--device", device, get_args(Device))
    count = as_count("--items", items, 1)
    told = report or _silent
    folder, place = _find(run, store)
    with reading(folder) as content:
        chosen = chosen_stage(content, stage)
        known = [
            reported(content, chosen, name)
            for name in chosen_benchmarks(content, chosen, several("benchmarks", benchmarks))
        ]
        proxies = content["provenance"]["proxies"][chosen]
        ranked = {
            c["id"]: named_checkpoints(proxies[c["id"]])
            for c in content["candidates"]
            if c["id"] in proxies
        }
        shown = shown_candidates(content, list(ranked), several("candidates", candidates))
        _ = content["run"], stamp(content)  # the pages name them
    artifacts, where = _open(place, told), require_device(device)
    manifest, plan = load_inputs(folder / "resolved.yaml")
    planned = [each.id for each in plan.benchmarks]
    for each in known:
        if each.id not in planned:
            problem = f"it has no benchmark {quoted(each.id)}, which report.json names"
            raise InputError(folder / "resolved.yaml", problem, "run it again, which writes both")
    with in_use(artifacts):
        names = [each.id for each in known]
        only = [each for each in plan.benchmarks if each.id in names]
        plan = plan.model_copy(update={"benchmarks": only})
        evaluations = gather(plan, artifacts, where, told)
        checkpoints = recorded_checkpoints(ranked, StageName(chosen), manifest, plan, artifacts)
        scored = [
            _scored(each, evaluations[each.id], checkpoints, artifacts, folder) for each in known
        ]
        named = several("item", item)
        _check_items(scored, named)
        viewed = view_items(
            artifacts,
            scored,
            checkpoints,
            shown,
            count=count,
            named=named,
            device=where,
            report=told,
        )
    return ItemsView(folder, chosen, tuple(viewed), content)


def _find(run: str | Path, store: str | Path | None) -> tuple[Path, str | Path]:
    """The report's folder and the place of the run's store."""
    folder = as_path("RUN", run, "give the folder of a report, or the name of a run")
    if folder.is_dir():
        known = None if store is not None else run_of_report(folder)
        return folder, store or (DEFAULT_STORE if known is None else known.root)
    place = store or DEFAULT_STORE
    found = find_run(as_store("--store", place).root, str(run)).document.get("report")
    if not found:
        raise InputError(quoted(str(run)), "it wrote no report", "run it with --out FOLDER")
    return Path(str(found)), place


def _open(place: str | Path, report: Callable[[str], None]) -> Store:
    """The store of the run; none is made."""
    store = as_store("--store", place, lambda work, holder: report(f"{work}: waits for {holder}"))
    if store.sharing is None and not store.root.is_dir():
        fix = "name the run's store with --store"
        raise InputError(store.root, "there is no store here", fix)
    return store


def _scored(
    known: ReportedBenchmark,
    evaluation: Evaluation,
    checkpoints: Checkpoints,
    store: Store,
    folder: Path,
) -> ScoredBenchmark:
    """A benchmark's scores in the store. Raises InputError where they are not the report's."""
    known.require_items(evaluation, folder)
    table = read_scores(store, evaluation, checkpoints, known.left_out)
    known.require_scores(table, folder)
    return ScoredBenchmark(evaluation, table, known.left_out, known.leaked)


def _check_items(scored: Sequence[ScoredBenchmark], named: Sequence[str]) -> None:
    known = [
        name
        for each in scored
        for name in (*(item.id for item in each.evaluation.benchmark.items), *each.left_out)
    ]
    for name in named:
        if name not in known:
            meant = nearest(name, known) or "name one of the benchmark's items"
            raise InputError("--item", f"there is no item {quoted(name)}", meant)


def _silent(_: str) -> None:
    pass
