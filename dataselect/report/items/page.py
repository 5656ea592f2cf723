"""One page of the items of a benchmark on which the candidates of a run differ most.

First who is ahead and on how few items that rests, then a table of the items shown, then each item:
question, gold answer, every candidate's score, and the trace with weights and NLLs by token
(`items.tokens`). The page runs nothing and loads nothing (`html_page`).
"""

from collections.abc import Mapping, Sequence

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.report.html_markup import escape
from dataselect.report.html_page import Section, page
from dataselect.report.items.links import META
from dataselect.report.items.tokens import (
    STYLE,
    differing,
    letters,
    plain_trace_html,
    scale_html,
    shown_token,
    token_texts,
    trace_html,
)
from dataselect.report.items.words import influence_words, lead_words, most_words, spread_words
from dataselect.report.numbers import number, percent
from dataselect.report.tables.trace_view import gold_text
from dataselect.stages.viewed_items import ViewedBenchmark, ViewedItem, ViewedTrace
from dataselect.wording import in_plain_lines, one_line

_MOST_OPEN = 8
"""Candidates up to which an item's table of scores is open."""
PLACES = 4
"""Decimals of scores, in nats per token."""


def items_page(
    view: ViewedBenchmark, run: str, stage: str, stamp: str, others: Sequence[str] = ()
) -> str:
    """The page; `stage` is the title of the stage, `others` are benchmarks with pages beside it."""
    names = dict(zip(view.candidates, letters(len(view.candidates)), strict=True))
    benchmark = view.scored.id
    head = [
        f"<h1>{escape(one_line(run))}: items of {escape(benchmark)}</h1>\n",
        f"<p><strong>{escape(lead_words(view))}</strong></p>\n",
        *(f"<p>{escape(one_line(words))}</p>\n" for words in filter(None, [most_words(view)])),
        *(f'<p class="warn">{escape(one_line(note))}</p>\n' for note in view.notes),
        f"<p>{escape(_how_to_read(view, stage))}</p>\n",
        _beside(others),
    ]
    sections = [Section("Candidates", _candidates(view, names))]
    if any(item.traces and item.scores for item in view.items):
        pair = view.pair
        compared = "" if pair is None else f"{names[pair.first]} and {names[pair.second]}"
        sections[0] = Section("Candidates", f"{sections[0].body}{scale_html(compared)}")
    sections.append(Section("The items shown", _overview(view, names)))
    for place, item in enumerate(view.items, start=1):
        sections.append(Section(f"{place}. {one_line(item.item.id)}", _item(view, item, names)))
    return page(
        one_line(f"{run}: items of {benchmark}"),
        "".join(head),
        sections,
        style=STYLE,
        meta={META: stamp},
    )


def _how_to_read(view: ViewedBenchmark, stage: str) -> str:
    table = view.scored.table
    return (
        f"Scores of {stage}, in nats per token; lower is better. A score is the mean over the "
        "trace's tokens of NLL × weight: how much each token surprises the candidate, by how sure "
        f"the frontier model was of it. {spread_words(view)} Shown: {len(view.items)} of "
        f"{len(table)} items."
    )


def _beside(others: Sequence[str]) -> str:
    links = [f'<a href="{escape(name)}.html">{escape(name)}</a>' for name in others]
    more = f" Other benchmarks: {', '.join(links)}." if links else ""
    return f'<p><a href="../report.html">The report</a>.{more}</p>\n'


def _candidates(view: ViewedBenchmark, names: Mapping[str, str]) -> str:
    """Every candidate with its mean; those whose tokens are shown have a short name."""
    means = view.scored.table.mean()
    best = float(means.min())
    rows = [
        [
            names.get(name, ""),
            escape(name),
            number(float(mean), PLACES),
            number(float(mean) - best, PLACES),
        ]
        for name, mean in zip(means.index.astype(str), means, strict=True)
    ]
    return _table(["row", "candidate", "mean over all items", "above the best"], rows, " .rr")


def _overview(view: ViewedBenchmark, names: Mapping[str, str]) -> str:
    pair, rows = view.pair, []
    head, sides = ["", "item", "spread"], "r.r"
    if pair is not None:
        a, b = names[pair.first], names[pair.second]
        head += [a, b, f"{b} − {a}", f"{b} − {a} over all others", "marks"]
        sides += "rrrr."
    else:
        head, sides = [*head, "marks"], f"{sides}."
    offset = 2
    for place, item in enumerate(view.items, start=1):
        link = f'<a href="#part-{place - 1 + offset}">{escape(one_line(item.item.id))}</a>'
        row = [str(place), link, number(item.spread, PLACES)]
        if pair is not None:
            counted = bool(item.scores)
            row += [
                number(item.scores.get(pair.first), PLACES),
                number(item.scores.get(pair.second), PLACES),
                number(float(pair.differences[item.item.id]) if counted else None, PLACES),
                number(float(pair.without[item.item.id]) if counted else None, PLACES),
            ]
        rows.append([*row, escape(_marks(view, item))])
    return _table(head, rows, sides)


def _marks(view: ViewedBenchmark, item: ViewedItem) -> str:
    """What the reader must know of an item, in few words."""
    marks = ["left out"] if item.left_out is not None else []
    if item.leaked:
        marks.append("leaked")
    pair = view.pair
    if pair is not None and item.scores:
        without = float(pair.without[item.item.id])
        if without * pair.mean < 0:
            marks.append("turns the order")
    return ", ".join(marks)


def _item(view: ViewedBenchmark, item: ViewedItem, names: Mapping[str, str]) -> str:
    parts = []
    if item.left_out is not None:
        why = f"Left out for all candidates: {one_line(item.left_out)}."
        parts.append(f'<p class="warn">{escape(why)}</p>')
    if item.leaked:
        held = f"! Its text is in what was trained on for: {', '.join(item.leaked)}."
        parts.append(f'<p class="warn">{escape(held)}</p>')
    parts += _question(view.scored.evaluation.benchmark, item.item)
    if item.scores:
        parts.append(_scores(view, item, names))
    if (words := influence_words(view, item)) is not None:
        parts.append(f"<p>{escape(words)}</p>")
    for trace in item.traces:
        parts.append(_trace(view, trace, names))
    if not item.traces:
        parts.append("<p>It has no trace.</p>")
    return "\n".join(parts) + "\n"


def _question(benchmark: BenchmarkItems, item: Item) -> list[str]:
    if not item.question:
        return []
    shots = len(benchmark.examples(item))
    examples = f", with {shots} worked example{'' if shots == 1 else 's'}" if shots else ""
    parts = [
        f'<p class="q" dir="auto">{escape(in_plain_lines(benchmark.question_text(item)))}</p>',
        f'<p class="q" dir="auto"><strong>Gold answer:</strong> '
        f"{escape(in_plain_lines(gold_text(item)))}</p>",
        _details(f"The prompt as the models see it{examples}", benchmark.context(item)),
    ]
    if item.rationale is not None:
        parts.append(_details("The benchmark's own solution", item.rationale))
    return parts


def _details(summary: str, text: str) -> str:
    shown = escape(in_plain_lines(text))
    return f'<details><summary>{summary}</summary><pre dir="auto">{shown}</pre></details>'


def _scores(view: ViewedBenchmark, item: ViewedItem, names: Mapping[str, str]) -> str:
    best, worst = min(item.scores.values()), max(item.scores.values())
    rows = []
    for name, score in sorted(item.scores.items(), key=lambda each: each[1]):
        place = 1 + sum(other < score for other in item.scores.values())
        width = 0.0 if worst == 0 else 4 * score / worst
        bar = f'<span class="bar" style="width:{max(width, 0):.2f}rem"></span>'
        mean = float(view.scored.table[name].mean())
        rows.append(
            [
                str(place),
                names.get(name, ""),
                escape(name),
                number(score, PLACES),
                bar,
                number(score - best, PLACES),
                number(mean, PLACES),
            ]
        )
    head = ["rank", "row", "candidate", "score here", "", "above the best", "mean over all items"]
    table = _table(head, rows, "r..r.rr")
    if len(rows) <= _MOST_OPEN:
        return table
    return f"<details><summary>Scores of all {len(rows)} candidates</summary>{table}</details>"


def _trace(view: ViewedBenchmark, trace: ViewedTrace, names: Mapping[str, str]) -> str:
    model = f"Trace of {one_line(trace.model)}"
    if trace.trace.answer is not None:
        model += f", which answered {one_line(trace.trace.answer)}"
    parts = [f"<h3>{escape(model)}</h3>"]
    if not trace.tokens:
        return "\n".join([*parts, plain_trace_html(trace.text)])
    pair = () if view.pair is None else (view.pair.first, view.pair.second)
    parts.append(trace_html(trace.text, trace.tokens, names, pair))
    if len(pair) == 2 and all(each in trace.tokens for each in pair):
        parts.append(_most_different(trace, pair, names))
    return "\n".join(parts)


def _most_different(trace: ViewedTrace, pair: Sequence[str], names: Mapping[str, str]) -> str:
    """The marked tokens as a table: what each adds to the difference of the two scores."""
    first, second = (trace.tokens[each] for each in pair)
    a, b = (names[each] for each in pair)
    texts = token_texts(trace.text, first.spans)
    whole = second.score - first.score
    rows = []
    for place in differing(first, second):
        part = float(second.parts[place] - first.parts[place])
        rows.append(
            [
                str(place + 1),
                f"<code>{escape(shown_token(texts[place], spaces=True))}</code>",
                number(float(first.weights[place]), 2),
                number(float(first.nll[place]), 2),
                number(float(second.nll[place]), 2),
                number(part, PLACES),
                percent(part / whole).replace("-", "−") if whole else "–",
            ]
        )
    if not rows:
        return f"<p>{escape(a)} and {escape(b)} find every token of it equally likely.</p>"
    head = ["token", "text", "weight", f"NLL {a}", f"NLL {b}", f"{b} − {a} in the score", "of it"]
    words = f"The tokens that add most to the difference of {escape(a)} and {escape(b)}:"
    return f"<p>{words}</p>{_table(head, rows, 'r.rrrrr')}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], sides: str) -> str:
    """A table of HTML cells; `sides` has an "r" for each column of numbers."""
    style = [' style="text-align:right"' if side == "r" else "" for side in sides]
    titles = "".join(
        f'<th scope="col"{each}>{escape(text)}</th>' if text else "<td></td>"
        for text, each in zip(head, style, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{each}>{cell}</td>" for cell, each in zip(row, style, strict=True))
        + "</tr>\n"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="table"><table>\n'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )
