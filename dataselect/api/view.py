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
from dataselect.api.result import Result
from dataselect.api.score import Device
from dataselect.compute import require_device
from dataselect.errors import InputError
from dataselect.report.items.links import ITEMS_FOLDER, stamp
from dataselect.report.items.words import lead_words
from dataselect.report.selection.files import reading, write_item_pages
from dataselect.report.selection.stages import ran, title
from dataselect.scoring.evaluate import Evaluation
from dataselect.scoring.gather import gather
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.recorded_checkpoints import recorded_checkpoints
from dataselect.stages.run_status import find_run
from dataselect.stages.viewed_items import (
    Checkpoints,
    ScoredBenchmark,
    ViewedBenchmark,
    read_scores,
    view_items,
)
from dataselect.store import Store, in_use
from dataselect.store.run_record import run_of_report
from dataselect.wording import nearest, quoted

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_STORE = ".dataselect"
_MOST_STRIPS = 8
"""Candidates whose tokens are shown unless they are named."""
_SAME = 1e-9
"""Relative difference up to which a mean of the store is that of the report."""


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
        write_item_pages(self.folder, self.content, pages)
        return [self.folder / ITEMS_FOLDER / f"{name}.html" for name in pages]

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {"Items on which candidates differ most": self.items}


def view(
    run: str | Path,
    *,
    items: int = 10,
    item: Paths = (),
    benchmark: Paths = (),
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
    `benchmark` are ids, by default all. `candidates` are those whose tokens are shown, the first
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
    with reading(folder) as content, in_use(artifacts := _open(place, told)):
        chosen = _stage(content, stage)
        manifest, plan = load_inputs(folder / "resolved.yaml")
        names = _benchmarks(content, chosen, several("benchmark", benchmark))
        wanted = [each for each in plan.benchmarks if each.id in names]
        only = plan.model_copy(update={"benchmarks": wanted})
        where = require_device(device)
        evaluations = gather(only, artifacts, where, told)
        proxies = content["provenance"]["proxies"][chosen]
        ranked = [each["id"] for each in content["candidates"] if each["id"] in proxies]
        checkpoints = recorded_checkpoints(
            {name: proxies[name] for name in ranked}, StageName(chosen), manifest, plan, artifacts
        )
        shown = _candidates(content, ranked, several("candidates", candidates))
        scored = [
            _scored(folder, content, chosen, evaluations[name], checkpoints, artifacts)
            for name in names
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


def _stage(content: Mapping[str, Any], number: int | None) -> str:
    """The key of the stage: the one with this number, or the last that scored two candidates."""
    proxies = content["provenance"]["proxies"]
    stages = [name for name in ran(content) if proxies[name]]
    if number is not None:
        wanted = f"stage{as_count('--stage', number, 1)}"
        if wanted not in stages:
            listed = ", ".join(name.removeprefix("stage") for name in stages)
            raise InputError(
                "--stage", f"the run has no scores of stage {number}", f"give {listed}"
            )
        return wanted
    return next((name for name in reversed(stages) if len(proxies[name]) > 1), stages[-1])


def _benchmarks(content: Mapping[str, Any], stage: str, named: Sequence[str]) -> list[str]:
    known = list(content["stages"][stage]["items"])
    for name in named:
        require_one_of("--benchmark", name, known)
    return [name for name in known if not named or name in named]


def _candidates(
    content: Mapping[str, Any], ranked: Sequence[str], named: Sequence[str]
) -> list[str]:
    known = [each["id"] for each in content["candidates"]]
    for name in named:
        require_one_of("--candidates", name, known)
        if name not in ranked:
            fix = f"name {', '.join(ranked)}, or give another --stage"
            raise InputError("--candidates", f"{name} has no scores in this stage", fix)
    return list(dict.fromkeys(named)) or list(ranked[:_MOST_STRIPS])


def _scored(
    folder: Path,
    content: Mapping[str, Any],
    stage: str,
    evaluation: Evaluation,
    checkpoints: Checkpoints,
    store: Store,
) -> ScoredBenchmark:
    """A benchmark's scores. Raises InputError where they are not those of the report."""
    name = evaluation.benchmark.id
    known = content["provenance"]["benchmarks"][name]
    found = (evaluation.benchmark.content_hash, evaluation.traces_hash)
    if found != (known["hash"], known["traces_hash"]):
        raise InputError(
            folder / "resolved.yaml",
            f"the items or traces of '{name}' have changed since the run (their hash is another)",
            "run it again, which scores the new ones",
        )
    left_out = {
        each["item"]: each["reason"]
        for each in content["exclusions"].get(name, ())
        if stage in each["stages"]
    }
    table = read_scores(store, evaluation, checkpoints, left_out)
    for each in content["candidates"]:
        if each["id"] in checkpoints:
            said = float(each[stage]["benchmarks"][name]["rbridge"])
            mean = float(table[each["id"]].mean())
            if not abs(said - mean) <= _SAME * max(1.0, abs(said)):
                raise InputError(
                    folder / "report.json",
                    f"{each['id']} has {said:.6g} on '{name}' there, and {mean:.6g} in the store",
                    "run it again, which writes the report anew",
                )
    return ScoredBenchmark(evaluation, table, left_out, _leaked(content, name))


def _leaked(content: Mapping[str, Any], benchmark: str) -> dict[str, tuple[str, ...]]:
    """By item, the candidates whose text holds it."""
    held: dict[str, tuple[str, ...]] = {}
    for candidate, of in ((content["leaks"] or {}).get("candidates") or {}).items():
        leak = of.get(benchmark, {}).get("items", {})
        # Reports of before name the first few alone.
        for item in leak.get("ids", leak.get("first", ())):
            held[item] = (*held.get(item, ()), candidate)
    return held


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
