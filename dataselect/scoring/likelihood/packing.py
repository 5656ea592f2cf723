"""Pack continuations into rows, so that no shared token is computed twice.

Continuations of one context (a trace and a label, the choices of an item) follow it in one row;
each attends to the context and itself. Rows of contexts with a common prefix (the worked examples
of a benchmark, or of one of its categories) leave it out: its keys and values are computed once.
Pure functions of token ids; the forward pass is in `sharing`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

Ids = Sequence[int]
Pair = tuple[Ids, Ids]

_SHORTEST_PREFIX = 16
_KEPT_SHARE = 0.75
# Most tokens of continuations in one row. Masked scores are still computed, and after "Answer:"
# alone thousands of choices have the same context.
_LONGEST_SHARED = 256


@dataclass(frozen=True)
class Row:
    """One context without its shared prefix, and its continuations."""

    rest: tuple[int, ...]
    """The context after the prefix; at least its last token, which predicts continuations."""
    continuations: tuple[tuple[int, ...], ...]
    """All their tokens; the last one of each is no input, as it predicts nothing requested."""
    numbers: tuple[int, ...]
    """Index of each continuation's pair."""

    @property
    def width(self) -> int:
        """Input tokens of the row."""
        return len(self.rest) + sum(len(ids) - 1 for ids in self.continuations)


@dataclass(frozen=True)
class Group:
    """Rows whose contexts all begin with `prefix`, which may be empty."""

    prefix: tuple[int, ...]
    rows: tuple[Row, ...]


def pack(pairs: Sequence[Pair]) -> list[Group]:
    """Group (context ids, continuation ids) pairs, all non-empty, by common prefix."""
    numbers: dict[tuple[int, ...], list[int]] = {}
    for number, (context, _) in enumerate(pairs):
        numbers.setdefault(tuple(context), []).append(number)
    groups = []
    for length, contexts in alike(sorted(numbers)):
        rows = [
            Row(context[length:], tuple(tuple(pairs[n][1]) for n in chosen), tuple(chosen))
            for context in contexts
            for chosen in _shares(numbers[context], pairs)
        ]
        rows.sort(key=lambda row: (-row.width, row.numbers))
        groups.append(Group(contexts[0][:length], tuple(rows)))
    return groups


def batches(group: Group, tokens: int, max_keys: int) -> Iterator[list[Row]]:
    """Batches of rows of similar width, widest first: at most `tokens` inputs and `max_keys` keys.

    A larger row is a batch alone.
    """
    batch: list[Row] = []
    for row in group.rows:
        width = batch[0].width if batch else row.width
        many = len(batch) + 1
        if batch and (width * many > tokens or (width + len(group.prefix)) * many > max_keys):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@dataclass(frozen=True)
class Layout:
    """A batch as tensors: R rows of W tokens after P tokens of prefix."""

    inputs: torch.Tensor
    """Token ids, shape (R, W)."""
    positions: torch.Tensor
    """Shape (R, W)."""
    visible: torch.Tensor
    """Boolean attention mask, shape (R, W, P + W): the keys that each token attends to."""
    sources: tuple[list[int], list[int]]
    """Rows and columns of the states that predict `targets`."""
    targets: list[int]
    """Tokens of all continuations, one after the other."""
    lengths: list[int]
    """Tokens of each continuation."""
    numbers: list[int]
    """Index of each continuation's pair."""


def lay_out(rows: Sequence[Row], prefix: int) -> Layout:
    """The rows as tensors, padded on the right; padding sees everything, nothing sees it."""
    width = max(row.width for row in rows)
    inputs = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    visible = torch.ones(len(rows), width, prefix + width, dtype=torch.bool)
    source_rows: list[int] = []
    source_columns: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
    numbers: list[int] = []
    for r, row in enumerate(rows):
        rest = len(row.rest)
        inputs[r, :rest] = torch.tensor(row.rest)
        positions[r, :rest] = torch.arange(prefix, prefix + rest)
        in_row = visible[r, :, prefix:]
        in_row[: row.width] = False
        in_row[:rest, :rest] = torch.ones(rest, rest, dtype=torch.bool).tril()
        at = rest
        for ids in row.continuations:
            size = len(ids) - 1
            end = at + size
            inputs[r, at:end] = torch.tensor(ids[:-1], dtype=torch.long)
            positions[r, at:end] = torch.arange(prefix + rest, prefix + rest + size)
            in_row[at:end, :rest] = True
            in_row[at:end, at:end] = torch.ones(size, size, dtype=torch.bool).tril()
            source_rows += [r] * len(ids)
            source_columns += [rest - 1, *range(at, end)]
            targets += ids
            lengths.append(len(ids))
            at = end
        numbers += row.numbers
    sources = source_rows, source_columns
    return Layout(inputs, positions, visible, sources, targets, lengths, numbers)


def _shares(numbers: Sequence[int], pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """The continuations of one context in rows of at most `_LONGEST_SHARED` tokens."""
    chosen: list[int] = []
    total = 0
    for number in numbers:
        size = len(pairs[number][1])
        if chosen and total + size > _LONGEST_SHARED:
            yield chosen
            chosen, total = [], 0
        chosen.append(number)
        total += size
    yield chosen


def alike(
    contexts: Sequence[tuple[int, ...]],
) -> Iterator[tuple[int, Sequence[tuple[int, ...]]]]:
    """Runs of sorted contexts, each with the length of their common prefix.

    A run ends where the next context would shorten the prefix of its first two by over a quarter.
    """
    start = 0
    while start < len(contexts):
        first, length, end = 0, 0, start + 1
        while end < len(contexts):
            # Each context keeps its last token, which predicts.
            longest = min(len(contexts[end - 1]), len(contexts[end])) - 1
            common = min(_common(contexts[end - 1], contexts[end]), longest)
            if common < max(_SHORTEST_PREFIX, _KEPT_SHARE * first):
                break
            first = first or common
            length = min(length or common, common)
            end += 1
        yield length, contexts[start:end]
        start = end


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
