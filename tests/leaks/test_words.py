"""Words and their runs: what is the same text, and what is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_leaks import runs

from dataselect.leaks.words import WordRuns


def hashed(text: str, n: int) -> list[int]:
    return [int(value) for value in WordRuns([text]).hashes(n)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World!", "hello world"),
        ("Janet’s ducks\nlay  16 eggs", "JANET'S DUCKS LAY 16 EGGS."),
        ("it costs $1.50", "It costs 1 50"),
        ("Café crème", "cafe\u0301 cre\u0300me"),
        ("a soft\u00adhyphen", "a softhyphen"),
        ("ＡＢＣ １２３", "abc 123"),
        ("has_close_elements(x)", "has close elements x"),
    ],
)
def test_case_punctuation_spacing_and_accents_do_not_matter(one: str, other: str) -> None:
    for n in (1, 2):
        assert hashed(one, n) == hashed(other, n)
        assert hashed(one, n)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ab c", "a bc"), ("abc", "ab c"), ("a b", "b a"), ("16 eggs", "17 eggs"), ("aa", "a")],
)
def test_other_words_have_other_hashes(one: str, other: str) -> None:
    assert hashed(one, 1) != hashed(other, 1)


def test_a_script_without_spaces_has_a_word_for_each_character() -> None:
    assert len(hashed("三个苹果", 1)) == 4
    assert set(hashed("三个苹果", 2)) & set(hashed("两个苹果,", 2))


def test_emoji_and_other_characters_beyond_the_basic_plane_are_boundaries() -> None:
    assert hashed("two 🦆ducks🦆 swim", 3) == hashed("two ducks swim", 3)


texts = st.lists(st.text(alphabet="aAbB1 .,-\n", max_size=30), min_size=1, max_size=5)


@given(texts, st.integers(1, 4), st.booleans())
def test_runs_are_those_of_a_loop_over_words(texts: list[str], n: int, wide: bool) -> None:
    # A character beyond ASCII takes all the texts another way.
    words = WordRuns([*texts, "é"] if wide else texts)
    hashes = words.hashes(n)
    places, whole = words.within(np.arange(len(hashes)), n)
    pairs = zip(places[whole].tolist(), hashes[whole].tolist(), strict=True)
    found = [(place, value) for place, value in pairs if place < len(texts)]
    expected = [(place, run) for place, text in enumerate(texts) for run in runs(text, n)]
    assert [place for place, _ in found] == [place for place, _ in expected]
    # The same hash for the same words, and only for them.
    same = {(run, value) for (_, value), (_, run) in zip(found, expected, strict=True)}
    assert len(same) == len({run for run, _ in same}) == len({value for _, value in same})
