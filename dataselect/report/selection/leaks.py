"""Leaks in a report: which candidates contain benchmark items, and the ranking without these.

`leak_figures` is the part `leaks` of the document, null if no text was scanned:

    ngram, share, alarm_share, unread[]
    candidates     by candidate, benchmark and split ("items", "training"): what it contains
    without_leaked_items
                   by stage, null if nothing was left out: items left and left out by
                   benchmark, and ranking[] (id, score, low, high, rank, and rBridge by
                   benchmark) best first
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataselect.leaks.alarm import ALARM_ITEMS, ALARM_SHARE, CleanRanking
from dataselect.leaks.index import FEWEST_WORDS
from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.report.selection.stage_scores import decimals
from dataselect.report.selection.stages import title
from dataselect.stages.proxy_origins import StageName

if TYPE_CHECKING:
    from dataselect.leaks.candidates import Leaked
    from dataselect.pipeline import Selection

FIRST_IDS = 5
_ALARMS = {"items": ("!", "{}"), "training": ("~", "the split of {}'s worked examples")}
"""By split: the mark before a candidate, and the words of its alarm line."""
_KINDS = {
    "question": "question",
    "choices": "question with choices",
    "solution": "solution",
    "trace": "trace",
}


def leak_figures(selection: "Selection") -> dict[str, Any] | None:
    """The document's part on leaks."""
    alarm = selection.experiment.leaks
    if alarm is None:
        return None
    return {
        "ngram": alarm.search.ngram,
        "share": alarm.search.share,
        "alarm_share": ALARM_SHARE,
        "alarm_items": ALARM_ITEMS,
        "unread": alarm.unread,
        "candidates": {
            name: {
                benchmark: {split: _held(leaked) for split, leaked in splits.items()}
                for benchmark, splits in benchmarks.items()
            }
            for name, benchmarks in alarm.held.items()
        },
        "without_leaked_items": {
            stage: _clean(selection.clean.get(stage)) for stage in selection.scores
        },
    }


def _held(leaked: "Leaked") -> dict[str, Any]:
    return {
        "items": len(leaked.items),
        "of": leaked.total,
        "share": leaked.share,
        "word_for_word": len(leaked.whole),
        "like": len(leaked.like),
        "by_part": dict(leaked.kinds),
        "first": leaked.items[:FIRST_IDS],
        "ids": leaked.items,
        "documents": leaked.documents,
        "text_share": leaked.text_share,
    }


def _clean(clean: CleanRanking | None) -> dict[str, Any] | None:
    if clean is None:
        return None
    rows = {} if clean.ranking is None else clean.ranking.table.to_dict("index")
    keys = ("score", "low", "high", "rank")
    return {
        "left": dict(clean.left),
        "left_out": dict(clean.left_out),
        "ranking": [
            {
                "id": name,
                **{key: row[key] for key in keys},
                "benchmarks": {of: means[str(name)] for of, means in clean.means.items()},
            }
            for name, row in rows.items()
        ],
    }


def raised(selection: "Selection", name: str) -> dict[str, list[str]] | None:
    """Benchmarks that raise the alarm for a candidate, by split; None if its text is unread."""
    alarm = selection.experiment.leaks
    if alarm is None or name not in alarm.held:
        return None
    return {
        "items": list(alarm.raised(name, "items")),
        "training": list(alarm.raised(name, "training")),
    }


def verdict_clause(selection: "Selection", winner: str, stage: StageName) -> tuple[str, str | None]:
    """The verdict's clause on leaks, "" for none, and the first without leaked items, if known."""
    clean = selection.clean.get(stage)
    ranking = None if clean is None else clean.ranking
    first = None if ranking is None else str(ranking.table.index[0])
    alarm = selection.experiment.leaks
    held = {} if alarm is None else alarm.raised(winner, "items")
    if not held:
        changed = f" On the items that no candidate holds, {first} has the best score."
        return (changed if first not in (None, winner) else ""), first
    shares = " and ".join(
        f"{numbers.percent(found.share)} of the items of {benchmark}"
        for benchmark, found in held.items()
    )
    without = "nothing is left without these"
    if first is not None:
        without = f"without leaked items {'it stays' if first == winner else f'{first} is'} first"
    trust = f"its scores there are not to be trusted; {without}"
    return f" {winner}'s text holds {shares}, so {trust}.", first


def mark(candidate: dict[str, Any]) -> str:
    """The mark before the id of a candidate with an alarm; "" without one."""
    found = candidate["leaks"] or {}
    return next((f"{mark} " for split, (mark, _) in _ALARMS.items() if found.get(split)), "")


def leak_cells(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Cells of a candidate's row: items held by benchmark, and ranks without leaked items."""
    leaks = document["leaks"]
    if leaks is None:
        return {}
    held = leaks["candidates"].get(name, {})
    cells = {
        f"leaked_items_{benchmark}": each["items"]["items"] for benchmark, each in held.items()
    }
    for stage, clean in leaks["without_leaked_items"].items():
        if clean is not None:
            ranks = {row["id"]: row["rank"] for row in clean["ranking"]}
            cells[f"{stage}_rank_without_leaked_items"] = ranks.get(name)
    return cells


def alarms(document: Mapping[str, Any]) -> list[str]:
    """The alarm lines as a list of Markdown."""
    lines = [f"- {escape(line)}" for line in alarm_lines(document)]
    return ["\n".join(lines)] if lines else []


def alarm_lines(document: Mapping[str, Any]) -> list[str]:
    """A plain line for each alarm by candidate and benchmark, those on items first."""
    leaks = document["leaks"]
    if leaks is None:
        return []
    lines = []
    for split, (sign, of) in _ALARMS.items():
        for each in document["candidates"]:
            for benchmark in (each["leaks"] or {}).get(split, ()):
                held = leaks["candidates"][each["id"]][benchmark][split]
                lines.append(f"{sign} {each['id']} holds {_count(held)} of {of.format(benchmark)}")
    return lines


def _count(held: dict[str, Any]) -> str:
    share = numbers.percent(held["share"])
    whole = f"{held['word_for_word']:,} word for word" if held["word_for_word"] else "none whole"
    return f"{held['items']:,} of {held['of']:,} items ({share}; {whole})"


def leak_lines(document: Mapping[str, Any]) -> list[str]:
    """The README's section on leaks."""
    leaks = document["leaks"]
    if leaks is None:
        return []
    rule = (
        f"Only the documents that the candidates' proxies are trained on were searched. An item "
        f"counts as held if one document has {numbers.percent(leaks['share'])} of the words of its "
        f"question, solution or trace, at least {FEWEST_WORDS}, in matching runs of "
        f"{leaks['ngram']} words or more; case and punctuation are ignored. With half as many "
        f"words, a document has something like the item. A candidate marked ! holds "
        f"{numbers.percent(leaks['alarm_share'])} or more of a benchmark's items, and at least "
        f"{leaks['alarm_items']}; one marked ~ holds as many of the split that its worked examples "
        "come from, mostly the training split: that is not contamination, but it helps."
    )
    rows = [
        _row(each["id"], benchmark, split, held)
        for each in document["candidates"]
        for benchmark, splits in leaks["candidates"].get(each["id"], {}).items()
        for split, held in splits.items()
        if held["items"] or held["like"]
    ]
    parts = ["## Leaks", rule]
    head = ["candidate", "benchmark", "items held", "word for word", "others like them"]
    head += ["parts held", "documents", "share of its text"]
    parts += [table(head, rows, "  rrr rr")] if rows else ["No candidate holds any item."]
    if leaks["unread"]:
        names = ", ".join(map(code, leaks["unread"]))
        parts.append(f"Not searched, because their text is not read here: {names}.")
    return [*parts, *_without(document)]


def _row(name: str, benchmark: str, split: str, held: dict[str, Any]) -> list[str]:
    of = code(benchmark) if split == "items" else f"{code(benchmark)}, worked examples' split"
    parts = ", ".join(f"{_KINDS[kind]} {count:,}" for kind, count in held["by_part"].items())
    share = numbers.percent(held["share"])
    return [
        code(name),
        of,
        f"{held['items']:,} of {held['of']:,} ({share})",
        f"{held['word_for_word']:,}",
        f"{held['like']:,}",
        parts,
        f"{held['documents']:,}",
        numbers.percent(held["text_share"]),
    ]


def _without(document: Mapping[str, Any]) -> list[str]:
    parts = []
    for stage, clean in document["leaks"]["without_leaked_items"].items():
        if clean is None:
            continue
        left_out = ", ".join(
            f"{count:,} of {count + clean['left'][name]:,} of {code(name)}"
            for name, count in clean["left_out"].items()
            if count
        )
        text = f"{title(stage)} again without leaked items ({left_out})"
        if not clean["ranking"]:
            parts.append(f"{text}: nothing is left to rank by.")
            continue
        scores = {c["id"]: c[stage] for c in document["candidates"] if c[stage]}
        places = decimals(document["stages"][stage])
        before = sorted(scores, key=lambda name: scores[name]["score"])
        rows = [
            [
                numbers.number(row["rank"], 0),
                code(row["id"]),
                numbers.number(before.index(row["id"]) + 1, 0),
                numbers.score_text(row, places),
                numbers.number(scores[row["id"]]["score"], places),
            ]
            for row in clean["ranking"]
        ]
        head = ["rank", "candidate", "with all items", "score", "with all items"]
        parts += [f"{text}, by score:", table(head, rows, "r rrr")]
    return parts
