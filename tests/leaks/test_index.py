"""Which parts a document holds."""

import naive_leaks as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.leaks import index as index_module
from dataselect.leaks.index import HELD, LIKE, WHOLE, LeakIndex
from dataselect.leaks.parts import Kind, Part, Split

QUESTION = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes "
    "muffins for her friends every day with four. How much does she make at the market?"
)


def part(text: str, item: str = "q1", kind: Kind = "question", split: Split = "items") -> Part:
    return Part("duck-sums", split, item, kind, text)


def held(index: LeakIndex, text: str) -> dict[int, int]:
    """Own words found of each part that is held."""
    found = index.scan([text])
    kept = found.level >= HELD
    return dict(zip(found.parts[kept].tolist(), found.covered[kept].tolist(), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        QUESTION,
        QUESTION.upper().replace(".", " !").replace(" ", "\n\t"),
        f"Before it {QUESTION} and after it",
        QUESTION.replace("'", "’"),
    ],
)
def test_a_copy_is_found_whatever_its_case_punctuation_and_spacing(text: str) -> None:
    index = LeakIndex([part(QUESTION)], 8, 0.5)
    found = index.scan(["another text", text])
    assert found.documents.tolist() == [1]
    assert found.level.tolist() == [WHOLE]


def test_a_changed_word_costs_no_more_than_itself() -> None:
    index = LeakIndex([part(QUESTION)], 8, 0.5)
    words = len(naive.words(QUESTION))
    assert held(index, QUESTION.replace("breakfast", "supper")) == {0: words - 1}
    assert index.scan([QUESTION.replace("breakfast", "supper")]).level.tolist() == [HELD]


@pytest.mark.parametrize("cut", [40, 80, 120])
def test_of_a_copy_cut_into_two_documents_the_longer_one_is_found(cut: int) -> None:
    index = LeakIndex([part(QUESTION)], 8, 0.8)
    halves = [f"A page that ends in {QUESTION[:cut]}", f"{QUESTION[cut:]} begins another page"]
    assert held(index, max(halves, key=len))


def test_half_of_a_question_inside_a_document_is_only_like_it() -> None:
    index = LeakIndex([part(QUESTION)], 8, 0.8)
    other = "Now she has 16 ducks, and they lay what they want to lay on most days of the week."
    found = index.scan([f"{other} {QUESTION[:100]} {other}"])
    assert found.level.tolist() == [LIKE]


def test_half_of_a_sentence_in_common_is_not_enough() -> None:
    index = LeakIndex([part(QUESTION)], 8, 0.5)
    assert not held(index, "She eats three for breakfast every morning and bakes bread")


def test_a_short_question_must_be_there_as_a_whole() -> None:
    index = LeakIndex([part("What do people aim to do at work?")], 8, 0.5)
    assert held(index, "He asked: what do people aim to do at work? Nobody knew.") == {0: 8}
    assert not held(index, "what do people aim to do at the office")
    assert LeakIndex([part("What do people aim to do?")], 8, 0.5).own.tolist() == [0]


def test_runs_that_many_items_share_are_left_out() -> None:
    opening = "Think step by step and then write down the final answer to this question: "
    parts = [part(f"{opening} {QUESTION} number{i}", f"q{i}") for i in range(20)]
    parts.append(part(f"{opening} why do ducks swim in ponds and not in rivers or seas?", "other"))
    index = LeakIndex(parts, 8, 0.5)
    assert not held(index, opening)
    assert not index.own[:20].any(), "twenty items that differ in one word cannot be told apart"
    assert list(held(index, parts[-1].text)) == [20]


def test_another_benchmark_with_the_same_text_is_found_too() -> None:
    parts = [part(QUESTION), Part("other-sums", "items", "x", "question", QUESTION)]
    assert list(held(LeakIndex(parts, 8, 0.5), QUESTION)) == [0, 1]


def test_a_document_longer_than_what_is_hashed_at_once_is_searched_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_module, "MOST_CHARACTERS", 1000)
    monkeypatch.setattr(index_module, "_LONGEST", 999)
    monkeypatch.setattr(index_module, "_OVERLAP_CHARACTERS", 200)
    index = LeakIndex([part(QUESTION)], 8, 0.5)
    words = len(naive.words(QUESTION))
    for before in range(500, 3000, 171):
        assert held(index, "x " * (before // 2) + QUESTION + " y" * 700) == {0: words}


def test_nothing_to_look_for_and_nothing_to_look_at() -> None:
    assert not held(LeakIndex([], 8, 0.5), QUESTION)
    empty = LeakIndex([part(QUESTION)], 8, 0.5).scan([])
    assert not len(empty.documents)
    assert not len(empty.characters)


def test_memory_is_that_of_the_benchmarks() -> None:
    rng = np.random.default_rng(0)
    parts = [part(" ".join(map(str, rng.integers(0, 9999, 100))), f"q{i}") for i in range(500)]
    index = LeakIndex(parts, 8, 0.5)
    arrays = [value for value in vars(index).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 64 * 100 * 500


word = st.sampled_from(["a", "b", "c", "dd"])
text = st.lists(word, max_size=14).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("12345"), text), max_size=8),
    st.lists(text, max_size=4),
    st.integers(1, 4),
    st.sampled_from([0.3, 0.5, 1.0]),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_it_finds_what_a_loop_over_words_finds(
    given_parts: list[tuple[str, str, str]],
    documents: list[str],
    n: int,
    share: float,
    fewest: int,
    most_items: int,
) -> None:
    parts = [Part(name, "items", item, "question", text) for name, item, text in given_parts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "FEWEST_WORDS", fewest)
        patch.setattr(index_module, "MOST_ITEMS", most_items)
        found = LeakIndex(parts, n, share).scan(documents)
    got = {
        (document, number): (count, level)
        for document, number, count, level in zip(
            found.documents.tolist(),
            found.parts.tolist(),
            found.covered.tolist(),
            found.level.tolist(),
            strict=True,
        )
    }
    expected = {
        (place, number): outcome
        for place, document in enumerate(documents)
        for number, outcome in naive.held(
            parts, document, n=n, share=share, fewest=fewest, most_items=most_items
        ).items()
    }
    assert got == expected
