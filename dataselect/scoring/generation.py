"""Metrics of generated answers: token edit distance to the gold label, and accuracy.

Accuracy is the metric that rBridge stands in for. Small models score near zero on it until late
in training, so it says little about small proxies; it is measured here on targets, and on proxies
for comparison. Token edit distance (TED; Schaeffer et al. 2023, arXiv 2304.15004) is the paper's
continuous substitute: the number of token insertions, deletions and substitutions between the
greedy output and the benchmark's label. The output is compared up to the label's length, so that
generation costs no more than the label, and so that a model which writes on after a right answer,
as base models do, is not penalised.

One generation serves both metrics: the beginning of a greedy output does not depend on its end,
and the prompt leaves the same room with and without accuracy. A stop string ends a row only after
the label's length, because labels may contain one ("\\n\\n" in a solution).

Not here: extracting an answer from a text and grading it (`dataselect.benchmarks.answers`).
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from rapidfuzz.distance import Levenshtein

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.corpus.saved_tokenizer import plain_ids, special_tokens_before
from dataselect.cost import scoring_flops
from dataselect.scoring.decoding import greedy
from dataselect.scoring.model_facts import parameter_count, position_limit
from dataselect.scoring.non_finite import NOT_FINITE
from dataselect.scoring.prepare import TooLongError
from dataselect.scoring.token_spans import Aligner, RewrittenTextError


@dataclass(frozen=True)
class Generated:
    """A checkpoint's greedy answers on one benchmark and their cost."""

    table: pd.DataFrame
    """One row per item: item; output, the text before the first stop string, with its leading
    space or indent; ted in tokens; ted_per_token, ted divided by the label's tokens; and with
    accuracy, correct: 1.0 or 0.0."""
    exclusions: tuple[Exclusion, ...]
    """Items that cannot be asked, with the reason."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""
    tokens: int
    """Tokens processed."""
    flops: float
    """2 x parameters x tokens."""


@dataclass(frozen=True)
class _Prompt:
    item: Item
    text: str
    context_tokens: int
    label: list[int]
    dropped: int


def generate_answers(
    model: Any,
    tokenizer: Any,
    benchmark: BenchmarkItems,
    device: str = "cpu",
    *,
    accuracy: bool,
    unsafe: bool = False,
    batch_size: int = 128,
) -> Generated:
    """Greedy answers after the worked examples and the question.

    With `accuracy` an answer has up to `benchmark.new_tokens` tokens and is graded (`unsafe` as in
    `answers.grade`); without, it has the label's length, at most `new_tokens`. Worked examples are
    dropped from the end until the model's positions have room for an answer; an item whose question
    alone leaves none is excluded, and so is one for which the model gives a NaN as a probability.
    """
    limit = position_limit(model)
    aligner = Aligner(tokenizer)
    prompts: list[_Prompt] = []
    exclusions: list[Exclusion] = []
    for item in benchmark.items:
        try:
            prompts.append(_prompt(benchmark, item, tokenizer, aligner, limit))
        except (RewrittenTextError, TooLongError) as error:
            exclusions.append(Exclusion(item.id, str(error)))
    lengths = [min(len(prompt.label), benchmark.new_tokens) for prompt in prompts]
    written = greedy(
        model,
        tokenizer,
        [prompt.text for prompt in prompts],
        benchmark.new_tokens if accuracy else lengths,
        benchmark.stop,
        stop_from=lengths,
        device=device,
        batch_size=batch_size,
    )
    tokens = sum(
        prompt.context_tokens + len(each.ids) for prompt, each in zip(prompts, written, strict=True)
    )
    broken = [not each.finite for each in written]
    exclusions += [
        Exclusion(p.item.id, NOT_FINITE) for p, bad in zip(prompts, broken, strict=True) if bad
    ]
    prompts = [prompt for prompt, bad in zip(prompts, broken, strict=True) if not bad]
    written = [each for each in written if each.finite]
    rows = []
    for prompt, continuation in zip(prompts, written, strict=True):
        length = len(prompt.label)
        distance = Levenshtein.distance(prompt.label, continuation.ids[:length])
        rows.append((prompt.item.id, continuation.text, distance, distance / length))
    table = pd.DataFrame(rows, columns=["item", "output", "ted", "ted_per_token"])
    if accuracy:
        table["correct"] = _correct(benchmark, prompts, list(table["output"]), unsafe)
    shortened = sum(prompt.dropped > 0 for prompt in prompts)
    notes = []
    if shortened:
        notes.append(f"answers written after fewer worked examples, to leave room: {shortened}")
    return Generated(
        table,
        tuple(exclusions),
        tuple(notes),
        tokens,
        scoring_flops(parameter_count(model), tokens),
    )


def _correct(
    benchmark: BenchmarkItems, prompts: list[_Prompt], outputs: list[str], unsafe: bool
) -> list[float]:
    # Imported here because checking mathematics needs heavy libraries.
    from dataselect.benchmarks.answers import grade

    items = [prompt.item for prompt in prompts]
    return [float(right) for right in grade(items, benchmark.answer_kind, outputs, unsafe=unsafe)]


def _prompt(
    benchmark: BenchmarkItems, item: Item, tokenizer: Any, aligner: Aligner, limit: int | None
) -> _Prompt:
    all_shots = len(benchmark.examples(item))
    opening = len(special_tokens_before(tokenizer))
    for shots in range(all_shots, -1, -1):
        text = benchmark.context(item, shots)
        length = opening + len(plain_ids(tokenizer, [text])[0])
        if limit is None or length + benchmark.new_tokens <= limit:
            break
    if limit is not None and length >= limit:
        raise TooLongError(f"its question takes {length} tokens and the model takes {limit}")
    label = aligner.align(text, benchmark.label_text(item)).ids
    return _Prompt(item, text, length, label, all_shots - shots)
