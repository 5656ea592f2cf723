"""Marks in a text and the rules that propose them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.benchmarks.marks import (
    FUNCTION_WORDS,
    RULES,
    Rule,
    parse_marks,
    propose,
    with_marks,
    within,
)


def marked(text: str, rule: Rule) -> list[str]:
    return [text[start:end] for start, end in propose(text, rule)]


def test_tags_are_taken_out_and_their_letters_kept() -> None:
    found = parse_marks(r"So <span>3 + 4</span> is <span>7<\span>.")
    assert found.text == "So 3 + 4 is 7."
    assert [found.text[a:b] for a, b in found.spans] == ["3 + 4", "7"]
    assert found.stray == 0


def test_a_mark_may_go_over_lines() -> None:
    found = parse_marks("<span>one\ntwo</span> three")
    assert (found.text, found.spans, found.stray) == ("one\ntwo three", ((0, 7),), 0)


@pytest.mark.parametrize(
    ("tagged", "text", "marks", "stray"),
    [
        ("a <span>b", "a b", (), 1),
        ("a</span> b", "a b", (), 1),
        ("<span>a <span>b</span> c", "a b c", ((2, 3),), 1),
        ("<span>a</span>b</span>c", "abc", ((0, 1),), 1),
        ("<span>a</span><span>b</span>", "ab", ((0, 2),), 0),
        ("a<span></span>b", "ab", (), 0),
        ('<span class="x">a</span >', '<span class="x">a</span >', (), 0),
    ],
)
def test_a_tag_without_a_partner_is_dropped_and_counted(
    tagged: str, text: str, marks: object, stray: int
) -> None:
    found = parse_marks(tagged)
    assert (found.text, found.spans, found.stray) == (text, marks, stray)


letters = st.text(alphabet="ab 1é\n", max_size=12)


@given(st.lists(st.tuples(letters, letters), max_size=5), letters)
def test_what_is_marked_is_read_back(parts: list[tuple[str, str]], end: str) -> None:
    text, spans = "", []
    for plain, inside in parts:
        text += plain
        spans.append((len(text), len(text) + len(inside)))
        text += inside
    found = parse_marks(with_marks(text + end, spans))
    assert found.text == text + end
    assert {i for a, b in found.spans for i in range(a, b)} == {
        i for a, b in spans for i in range(a, b)
    }
    assert parse_marks(with_marks(found.text, found.spans)) == found


def test_a_text_with_a_tag_of_its_own_cannot_be_marked() -> None:
    with pytest.raises(ValueError, match="holds a <span> tag itself"):
        with_marks("HTML has <span> and more", [(0, 4)])


def test_marks_within_a_part_are_counted_from_its_start() -> None:
    assert within(((0, 3), (5, 9), (12, 14)), 2, 8) == ((0, 1), (3, 6))


def test_numbers_keep_their_separators_and_percent_signs() -> None:
    text = "At 12:30 he paid $1,319.50, i.e. 3.5% of 2 and x2, not 4."
    assert marked(text, "numbers") == ["12:30", "1,319.50", "3.5%", "2", "2", "4"]


def test_operators_are_signs_and_commands_but_no_hyphens_of_words() -> None:
    text = r"A well-known and/or: 3 + 4 = 7, 8-1, x / y ≥ 2 \times 3 \timeses \frac12 -5 1/2"
    assert marked(text, "operators") == [
        *("+", "=", "-", "/", "≥", r"\times", r"\frac", "-", "/"),
    ]


def test_content_words_are_those_that_are_no_function_words() -> None:
    text = r"So we don't add the mother-in-law's 3 red apples, because Zoë’s \times x_1 ate THEM."
    assert marked(text, "content") == [
        *("add", "mother-in-law's", "red", "apples", "Zoë’s", "x", "ate"),
    ]
    assert all(word == word.lower() for word in FUNCTION_WORDS)


@given(st.text(max_size=60), st.sampled_from(RULES))
def test_proposed_marks_lie_in_order_in_the_text(text: str, rule: Rule) -> None:
    spans = propose(text, rule)
    flat = [end for span in spans for end in span]
    assert flat == sorted(set(flat))
    assert all(0 <= start < end <= len(text) for start, end in spans)
