"""Pack continuations into rows, so that no shared token is computed twice.

Continuations of one context (a trace and a label, the choices of an item) follow it in one row;
each attends to the context and itself. Tokens that continuations begin with alike stand there once,
as in a tree: a token attends to those that lead to it. Rows of contexts with a common prefix (the
worked examples of a benchmark, or of one of its categories) leave it out: its keys and values are
computed once. Pure functions of token ids; how rows lie in memory is in `trees`, the forward pass
in `sharing` and `fused`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

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
    """All their tokens, in alphabetical order; the last one of each is no input, as it predicts
    nothing requested."""
    numbers: tuple[int, ...]
    """Index of each continuation's pair."""

    @cached_property
    def shared(self) -> tuple[int, ...]:
        """How many inputs of each continuation are those of the one before it."""
        pairs = zip(((), *self.continuations), self.continuations, strict=False)
        return tuple(_shared_inputs(before, ids) for before, ids in pairs)

    @cached_property
    def width(self) -> int:
        """Input tokens of the row."""
        inputs = sum(len(ids) - 1 for ids in self.continuations)
        return len(self.rest) + inputs - sum(self.shared)


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


def _shared_inputs(before: Ids, ids: Ids) -> int:
    """How many first tokens they have in common that are inputs of both."""
    return max(0, min(_common(before, ids), len(before) - 1, len(ids) - 1))


def _shares(numbers: Sequence[int], pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """The continuations of one context, like ones together, in rows of at most `_LONGEST_SHARED`
    tokens."""
    chosen: list[int] = []
    total, before = 0, pairs[numbers[0]][1]
    for number in sorted(numbers, key=lambda n: tuple(pairs[n][1])):
        ids = pairs[number][1]
        size = len(ids) - (_shared_inputs(before, ids) if chosen else 0)
        if chosen and total + size > _LONGEST_SHARED:
            yield chosen
            chosen, total, size = [], 0, len(ids)
        chosen.append(number)
        total += size
        before = ids
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


def _common(one: Ids, other: Ids) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
