import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.traces.alignment import AlignmentError, ServerToken
from dataselect.traces.answer_tokens import answer_tokens
from dataselect.traces.thinking import split_thinking, thinking_letters

ANSWER = '{"reasoning": "It is 15.", "final_answer": "15"}'
TAGS = [("<think>\n", "\n</think>\n\n"), ("[THINK]", "[/THINK]"), ("", "</think>\n")]
CHANNELS = (
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
)


def tokens_of(text: str, *, as_bytes: bool = True) -> list[ServerToken]:
    """Words, spaces and signs as tokens; every token has a probability of its own."""
    pieces = re.findall(r" ?\w+|\s+|[^\w\s]", text)
    return [
        ServerToken(t, t.encode() if as_bytes else None, -i / 500) for i, t in enumerate(pieces)
    ]


def owners(text: str, start: int, count: int) -> list[float]:
    of_letter = [token for token in tokens_of(text) for _ in token.text]
    return [math.exp(token.logprob or 0.0) for token in of_letter[start : start + count]]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (f"<think>\nHm.\n</think>\n\n{ANSWER}", ("Hm.", ANSWER)),
        (f" <thinking>Hm.</thinking>{ANSWER}", ("Hm.", ANSWER)),
        # The chat template put the opening tag into the prompt.
        (f"Hm.\n</think>\n{ANSWER}", ("Hm.", ANSWER)),
        ("<think>Hm.</think>", ("Hm.", "")),
        ("<think>\n\n</think>\n\nYes.", ("", "Yes.")),
        (ANSWER, (None, ANSWER)),
        ("<think>Hm, and on", (None, "<think>Hm, and on")),
        # Text about tags is an answer.
        ("Write <think> and </think>.", (None, "Write <think> and </think>.")),
        ("One </think> two </think>.", (None, "One </think> two </think>.")),
    ],
)
def test_thinking_before_an_answer_is_told_from_it(
    content: str, parts: tuple[str | None, str]
) -> None:
    assert split_thinking(content) == parts


@pytest.mark.parametrize("tags", [*TAGS, CHANNELS])
@pytest.mark.parametrize("shown", [True, False])
@given(thinking=st.text(st.sampled_from('ab <>/{}"\n.é日15'), min_size=1, max_size=40))
def test_thinking_has_the_probabilities_of_its_own_tokens(
    tags: tuple[str, str], shown: bool, thinking: str
) -> None:
    thinking = f"So {thinking} and {ANSWER} then"
    text = f"{tags[0]}{thinking}{tags[1]}{ANSWER}<|im_end|>"
    own = answer_tokens(ANSWER, tokens_of(text))
    found, letters = thinking_letters(thinking if shown else None, own.before)
    assert found == thinking
    assert letters.tolist() == pytest.approx(owners(text, len(tags[0]), len(thinking)))


def test_letters_split_over_tokens_have_the_mean_of_their_parts_in_thinking_too() -> None:
    pieces = [("<think>", 0.9), ("a", 0.8), ("", 0.5), ("é", 0.3), ("</think>", 0.9)]
    for empty in (b"", None):
        tokens = [
            ServerToken(text, text.encode() if empty is not None else None, math.log(p))
            for text, p in [*pieces, (ANSWER, 0.7)]
        ]
        found, letters = thinking_letters(None, answer_tokens(ANSWER, tokens).before)
        assert (found, letters.tolist()) == ("aé", pytest.approx([0.8, 0.4]))
    # A server that shows U+FFFD gives the text apart.
    shown = [("<think>", 0.9), ("a\ufffd", 0.8), ("\ufffd", 0.5), ("</think>", 0.9), (ANSWER, 0.7)]
    tokens = [ServerToken(text, None, math.log(p)) for text, p in shown]
    found, letters = thinking_letters("aé", answer_tokens(ANSWER, tokens).before)
    assert letters.tolist() == pytest.approx([0.8, 0.65])
    with pytest.raises(AlignmentError, match="shows no text of its thinking"):
        thinking_letters(None, answer_tokens(ANSWER, tokens).before)


@pytest.mark.parametrize(
    ("thinking", "text", "problem"),
    [
        ("Other words", "<think>Hm.</think>", "are not its thinking"),
        ("Hm", "<think>Hm. More.</think>", "are not its thinking"),
        ("Hm. More.", "<think>Hm.</think>", "are not its thinking"),
        (None, "<think>\n\n</think>\n\n", "no thinking"),
        (None, "\n\n", "no thinking"),
    ],
)
def test_other_thinking_than_the_tokens_is_refused(
    thinking: str | None, text: str, problem: str
) -> None:
    tokens = answer_tokens(ANSWER, tokens_of(text + ANSWER)).before
    with pytest.raises(AlignmentError, match=problem):
        thinking_letters(thinking, tokens)


def test_long_thinking_is_found_in_no_long_time() -> None:
    thinking = "a <b> " * 20_000 + "é"
    text = f"<think>\n{thinking}\n</think>\n{ANSWER}"
    found, letters = thinking_letters(thinking, answer_tokens(ANSWER, tokens_of(text)).before)
    assert len(found) == len(letters) == len(thinking)
