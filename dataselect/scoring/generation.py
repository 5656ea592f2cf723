"""What a model itself writes: token edit distance to the gold label, and accuracy.

Accuracy is the metric that rBridge stands in for. Small models score near zero on it until late
in training, which is why it says little about small proxies; it is measured here on targets, and
on proxies for comparison. Token edit distance (TED; Schaeffer et al. 2023, arXiv 2304.15004) is
the paper's continuous stand-in: how many token insertions, deletions and substitutions lead from
the greedy output to the benchmark's own label. The output is compared up to the label's own
length, so that it costs no more than the label, and so that a model which goes on after a right
answer, as base models do, is not punished for it.

One generation serves both: a greedy output's beginning does not depend on where it ends, and the
prompt leaves the same room whether or not accuracy is asked for. A stop string ends a row only
after the label's length, because labels may hold one ("\\n\\n" in a solution).

Not here: how an answer is found in a text and compared (`dataselect.benchmarks.answers`).
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from rapidfuzz.distance import Levenshtein

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.cost import scoring_flops
from dataselect.scoring.decoding import greedy, position_limit
from dataselect.scoring.prepare import TooLongError
from dataselect.scoring.token_spans import Aligner, RewrittenTextError, opening_ids


@dataclass(frozen=True)
class Generated:
    """A checkpoint's greedy answers on one benchmark and what they cost.

    `table` has one row an item: item; output, the text before the first stop string, with its
    leading space or indent; ted in tokens and ted_per_token, the same over the label's tokens;
    and with accuracy, correct: 1.0 or 0.0. `tokens` counts the tokens processed, `flops` is
    2 x parameters x tokens.
    """

    table: pd.DataFrame
    exclusions: tuple[Exclusion, ...]
    notes: tuple[str, ...]
    tokens: int
    flops: float


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

    With `accuracy` they run to `benchmark.new_tokens` and are graded (`unsafe` as in
    `answers.grade`), else to the length of the label, and never further than `new_tokens`. Worked
    examples that leave no room for an answer in the model's positions are dropped from the end;
    an item whose question alone leaves none is excluded.
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
    rows = []
    for prompt, continuation in zip(prompts, written, strict=True):
        length = len(prompt.label)
        distance = Levenshtein.distance(prompt.label, continuation.ids[:length])
        rows.append((prompt.item.id, continuation.text, distance, distance / length))
    table = pd.DataFrame(rows, columns=["item", "output", "ted", "ted_per_token"])
    if accuracy:
        table["correct"] = _correct(benchmark, prompts, list(table["output"]), unsafe)
    tokens = sum(
        prompt.context_tokens + len(each.ids) for prompt, each in zip(prompts, written, strict=True)
    )
    parameters = sum(p.numel() for p in model.parameters())
    shortened = sum(prompt.dropped > 0 for prompt in prompts)
    notes = []
    if shortened:
        notes.append(f"answers written after fewer worked examples, to leave room: {shortened}")
    return Generated(
        table, tuple(exclusions), tuple(notes), tokens, scoring_flops(parameters, tokens)
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
    wanted = len(benchmark.examples(item))
    opening = len(opening_ids(tokenizer))
    for shots in range(wanted, -1, -1):
        text = benchmark.context(item, shots)
        length = opening + len(tokenizer(text, add_special_tokens=False)["input_ids"])
        if limit is None or length + benchmark.new_tokens <= limit:
            break
    if limit is not None and length >= limit:
        raise TooLongError(f"its question takes {length} tokens and the model takes {limit}")
    label = aligner.align(text, benchmark.label_text(item)).ids
    return _Prompt(item, text, length, label, wanted - shots)
