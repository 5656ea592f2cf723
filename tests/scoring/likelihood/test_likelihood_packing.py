"""Rows hold every continuation once, behind its own context, and see nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.scoring.likelihood.packing import Pair, batches, pack
from dataselect.scoring.likelihood.trees import as_trees, padded

TOKENS = st.integers(1, 9)
# Few beginnings, so that contexts share them.
CONTEXTS = st.builds(
    lambda few_shots, question: (*few_shots, *question),
    st.sampled_from([(), (5,) * 40, tuple(range(1, 10)) * 4]),
    st.lists(TOKENS, min_size=1, max_size=12),
)
PAIRS = st.lists(
    st.tuples(CONTEXTS, st.lists(TOKENS, min_size=1, max_size=8).map(tuple)),
    min_size=1,
    max_size=20,
)


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_every_pair_is_in_one_row_behind_its_own_context(pairs: list[Pair]) -> None:
    found = {}
    for group in pack(pairs):
        for row in group.rows:
            assert row.rest
            for number, ids in zip(row.numbers, row.continuations, strict=True):
                assert number not in found
                found[number] = ((*group.prefix, *row.rest), ids)
    assert [found[number] for number in range(len(pairs))] == [tuple(pair) for pair in pairs]


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.integers(1, 200), st.integers(1, 400))
def test_batches_hold_all_rows_within_both_bounds(
    pairs: list[Pair], tokens: int, held: int
) -> None:
    for group in pack(pairs):
        made = list(batches(group, tokens, held))
        assert tuple(row for batch in made for row in batch) == group.rows
        for batch in made:
            width = max(row.width for row in batch)
            fits = width * len(batch) <= tokens
            assert len(batch) == 1 or (fits and (width + len(group.prefix)) * len(batch) <= held)


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_a_token_sees_its_context_and_the_part_of_its_continuation_before_it(
    pairs: list[Pair],
) -> None:
    for group in pack(pairs):
        before = len(group.prefix)
        trees = as_trees(group.rows, before)
        layout = padded(trees)
        at = 0
        sources = list(zip(*layout.sources, strict=True))
        for r, row in enumerate(group.rows):
            for ids in row.continuations:
                context = [*group.prefix, *row.rest]
                for place, target in enumerate(ids):
                    source_row, column = sources[trees.states[at]]
                    assert (source_row, trees.targets[at]) == (r, target)
                    seen = layout.inputs[r, layout.visible[r, column]].tolist()
                    assert seen == [*context[before:], *ids[:place]]
                    assert layout.positions[r, column] == len(context) + place - 1
                    at += 1
        assert at == len(trees.targets) == sum(trees.lengths)
        # Each beginning of a row's continuations is there once.
        inner = sum(
            len({ids[:n] for ids in row.continuations for n in range(len(ids))})
            for row in group.rows
        )
        assert len(layout.sources[0]) == inner


def test_items_with_the_same_examples_share_them_and_duplicates_shorten_them_little() -> None:
    examples = tuple(range(100, 160))
    twins = [(*examples, 1, 2, 3, 4), (*examples, 1, 2, 3, 5)]
    others = [(*examples, 7 + n, 8, 9) for n in range(4)]
    (group,) = pack([(context, (1, 2)) for context in (*twins, *others)])
    assert group.prefix == examples
    assert sorted(row.rest for row in group.rows) == sorted(c[60:] for c in (*twins, *others))


def test_other_examples_are_another_group_and_short_beginnings_none() -> None:
    one, two = (1,) * 50, (2,) * 50
    contexts = [(*one, 8), (*one, 9), (*two, 8), (*two, 9), (3, 4, 5), (3, 4, 6)]
    groups = pack([(context, (1,)) for context in contexts])
    assert sorted(group.prefix for group in groups) == [(), (), one, two]


def test_many_continuations_of_one_context_are_spread_over_rows() -> None:
    choices = [(n + 1,) * 10 for n in range(500)]
    (group,) = pack([((1, 2), ids) for ids in choices])
    assert all(row.width <= 256 for row in group.rows)
    assert len(group.rows) == 20


def test_what_continuations_begin_with_alike_stands_in_a_row_once() -> None:
    choices = [(1, 2, 3), (1, 2, 4, 5), (6,), (1, 2, 3), (1, 2)]
    (group,) = pack([((8, 9), ids) for ids in choices])
    (row,) = group.rows
    assert row.width == 2 + 3  # 1, 2 and 4 are the inputs behind the context
    assert as_trees([row], 0).tokens.tolist() == [8, 9, 1, 2, 4]
