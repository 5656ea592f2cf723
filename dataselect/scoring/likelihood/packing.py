"""Which continuations are computed together, so that no token is computed twice.

Continuations of one context (a trace and a label, the choices of an item) stand behind it in one
row, each seeing the context and itself. Contexts that begin alike (the worked examples of a
benchmark, or of one of its categories) leave that beginning out of their rows: its keys and
values are computed once. Pure functions of token ids; the forward pass is `scorer`'s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

Ids = Sequence[int]
Pair = tuple[Ids, Ids]

_SHORTEST_PREFIX = 16
_KEPT_SHARE = 0.75
# Tokens of continuations in one row. They do not see each other, and what is not seen is still
# multiplied: with "Answer:" alone thousands of choices have the same context.
_LONGEST_SHARED = 256


@dataclass(frozen=True)
class Row:
    """What follows the shared beginning of one context: the rest of it, and its continuations.

    `rest` has one token at least, the last one of the context, which predicts the first of each
    continuation. `numbers` say which pair a continuation is of. A continuation's last token is
    no input: it predicts nothing that is asked for.
    """

    rest: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...]

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
    """Group the (context ids, continuation ids) pairs; none of them empty."""
    numbers: dict[tuple[int, ...], list[int]] = {}
    for number, (context, _) in enumerate(pairs):
        numbers.setdefault(tuple(context), []).append(number)
    groups = []
    for length, contexts in _alike(sorted(numbers)):
        rows = [
            Row(context[length:], tuple(tuple(pairs[n][1]) for n in chosen), tuple(chosen))
            for context in contexts
            for chosen in _shares(numbers[context], pairs)
        ]
        rows.sort(key=lambda row: (-row.width, row.numbers))
        groups.append(Group(contexts[0][:length], tuple(rows)))
    return groups


def batches(group: Group, tokens: int, max_keys: int) -> Iterator[list[Row]]:
    """Rows of like width, longest first: at most `tokens` of input and `max_keys` keys in each.

    A row that is larger goes alone.
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
    """A batch as tensors; R rows of W tokens after P tokens of prefix.

    `inputs` and `positions` have shape (R, W); `seen` (R, W, P + W) says what each token sees.
    `sources` are (row, column) of the states that predict `targets`, and `lengths` and `numbers`
    the continuations that these are of, in order.
    """

    inputs: torch.Tensor
    positions: torch.Tensor
    seen: torch.Tensor
    sources: tuple[list[int], list[int]]
    targets: list[int]
    lengths: list[int]
    numbers: list[int]


def lay_out(rows: Sequence[Row], prefix: int) -> Layout:
    """Place the rows; padding is behind them, sees everything and is seen by nothing."""
    width = max(row.width for row in rows)
    inputs = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    seen = torch.ones(len(rows), width, prefix + width, dtype=torch.bool)
    source_rows: list[int] = []
    source_columns: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
    numbers: list[int] = []
    for r, row in enumerate(rows):
        rest = len(row.rest)
        inputs[r, :rest] = torch.tensor(row.rest)
        positions[r, :rest] = torch.arange(prefix, prefix + rest)
        own = seen[r, :, prefix:]
        own[: row.width] = False
        own[:rest, :rest] = torch.ones(rest, rest, dtype=torch.bool).tril()
        at = rest
        for ids in row.continuations:
            size = len(ids) - 1
            end = at + size
            inputs[r, at:end] = torch.tensor(ids[:-1], dtype=torch.long)
            positions[r, at:end] = torch.arange(prefix + rest, prefix + rest + size)
            own[at:end, :rest] = True
            own[at:end, at:end] = torch.ones(size, size, dtype=torch.bool).tril()
            source_rows += [r] * len(ids)
            source_columns += [rest - 1, *range(at, end)]
            targets += ids
            lengths.append(len(ids))
            at = end
        numbers += row.numbers
    return Layout(inputs, positions, seen, (source_rows, source_columns), targets, lengths, numbers)


def _shares(numbers: Sequence[int], pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """The continuations of one context, as many in a row as are not long together."""
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


def _alike(
    contexts: Sequence[tuple[int, ...]],
) -> Iterator[tuple[int, Sequence[tuple[int, ...]]]]:
    """Runs of sorted contexts with the length of their common beginning.

    A run ends where going on would cost it a quarter of what its first two have in common.
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
