import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.traces.alignment import (
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
)
from dataselect.traces.answer_tokens import answer_tokens

ANSWER = '{"reasoning": "First 12 — then 15 日.", "final_answer": "15"}'
TEXT = st.text(st.sampled_from('ab <>/{}"\n.é日15'), max_size=30)
ENDS = ["", "<|im_end|>", "</s>", "<|eot_id|>\n", "<|im_end|>\n<|endoftext|>"]


def tokens_of(text: str, cuts: list[int], first: int = 1) -> list[ServerToken]:
    """`text` cut after some letters; every token has a probability of its own."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)] if text else []
    return [ServerToken(t, t.encode(), -(first + i) / 1000) for i, t in enumerate(pieces)]


def letters(content: str, tokens: list[ServerToken]) -> list[float]:
    found = answer_tokens(content, tokens)
    return list(completion_letter_probabilities(content, found.tokens))


def owners(content: str, tokens: list[ServerToken], start: int) -> list[float]:
    """The probability of each letter's token, where `start` letters come before the content."""
    of_letter = [token for token in tokens for _ in token.text]
    return [math.exp(t.logprob or 0.0) for t in of_letter[start : start + len(content)]]


@given(st.data(), TEXT, st.sampled_from(ENDS), st.sampled_from(["", "\n", "\n\n", " "]))
def test_the_answer_is_the_suffix_behind_any_thinking(
    data: st.DataObject, thought: str, end: str, space: str
) -> None:
    # Thinking that holds the answer's text too, and is longer than the answer.
    thinking = thought + data.draw(st.sampled_from(["", ANSWER, f"{ANSWER} {ANSWER}"]))
    text = f"<think>\n{thinking}\n</think>{space}{ANSWER}{end}"
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=60))
    tokens = tokens_of(text, cuts)
    start = len(text) - len(end) - len(ANSWER)
    assert letters(ANSWER, tokens) == pytest.approx(owners(ANSWER, tokens, start))
    assert answer_tokens(ANSWER, tokens).hidden >= 1


@given(st.data(), st.sampled_from(["", " ", "\n\n"]), st.sampled_from(["", "\n", " \n"]))
def test_a_server_may_strip_the_text(data: st.DataObject, before: str, after: str) -> None:
    text = f"{before}{ANSWER}{after}"
    tokens = tokens_of(text, data.draw(st.lists(st.integers(0, len(text)), max_size=60)))
    assert letters(ANSWER, tokens) == pytest.approx(owners(ANSWER, tokens, len(before)))
    assert answer_tokens(ANSWER, tokens).hidden == 0


def test_text_that_is_kept_at_the_end_is_aligned_too() -> None:
    content = f"{ANSWER}\n"
    tokens = tokens_of(f"</think>\n\n{content}\n", [8, 9, 10, 20, len(ANSWER) + 10])
    assert letters(content, tokens) == pytest.approx(owners(content, tokens, 10))


@given(st.data())
def test_letters_split_over_tokens_are_found_behind_thinking(data: st.DataObject) -> None:
    pieces = ["<think>", "日", "\ufffd", "x", "</think>", "\n", '{"reasoning": "a', "\ufffd"]
    pieces += ["\ufffd\ufffd", 'b", "final', '_answer": "1"}']
    tokens = [ServerToken(t, None, -(i + 1) / 100) for i, t in enumerate(pieces)]
    end = data.draw(st.sampled_from(["", "<|im_end|>", "</s>"]))
    content = '{"reasoning": "a日b", "final_answer": "1"}'
    found = letters(content, [*tokens, ServerToken(end, None, -0.9)])
    at = content.index("日")
    assert found[at - 1] == pytest.approx(math.exp(-0.07))
    assert found[at] == pytest.approx((math.exp(-0.08) + math.exp(-0.09)) / 2)
    assert found[at + 1] == pytest.approx(math.exp(-0.10))


@pytest.mark.parametrize("data", [b"", None])
def test_a_letter_shown_at_its_last_token_has_the_mean_of_its_parts(data: bytes | None) -> None:
    def part(text: str, p: float) -> ServerToken:
        shown = text.encode() if data is not None else None
        return ServerToken(text, shown, math.log(p))

    tokens = [part("a", 0.9), part("", 0.5), part("", 0.3), part("日b", 0.1), part("", 0.2)]
    tokens += [part("c", 0.8), part("é", 0.7), part("", 0.6)]
    assert letters("a日bcé", tokens) == pytest.approx([0.9, 0.3, 0.1, 0.8, 0.7])


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        # As vLLM shows " \\xe2", "\\x9b", "\\xb5": the space waits for the rest of the letter.
        (["a", "", "", " ⛵", "b"], [[0], [1], [1, 2, 3], [4]]),
        (["", "⛵!"], [[0, 1], [1]]),
        (["", "José!"], [[0], [0], [0], [0, 1], [1]]),
        # Two letters that are split and share a token.
        (["", "", "", "", " ⛵✅"], [[0], [0, 1, 2], [2, 3, 4]]),
        (["", "", " ⛵✅"], [[0], [0, 1, 2], [2]]),
        # More parts than the letter has bytes.
        (["", "", "é"], [[0, 1, 2]]),
        (["", " x"], [[1], [1]]),
    ],
)
@pytest.mark.parametrize("with_bytes", [True, False])
def test_what_waits_for_a_split_letter_was_in_the_first_token(
    shown: list[str], wanted: list[list[int]], with_bytes: bool
) -> None:
    tokens = [
        ServerToken(text, text.encode() if with_bytes else None, -float(i + 1))
        for i, text in enumerate(shown)
    ]
    means = [sum(math.exp(-(i + 1)) for i in parts) / len(parts) for parts in wanted]
    assert letters("".join(shown), tokens) == pytest.approx(means)


def test_a_part_without_probability_is_not_in_the_mean() -> None:
    tokens = [ServerToken("", b"", None), ServerToken("é", "é".encode(), math.log(0.4))]
    assert letters("é", tokens) == pytest.approx([0.4])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # The list holds the thinking alone, which repeats the answer.
        (f"<think>{ANSWER}</think>", "the answer has|tokens follow"),
        (f"{ANSWER}</think>", "tokens follow"),
        (f"<think>{ANSWER}<|end_of_thought|>", "the answer has"),
        (f"<think>x</think>{ANSWER} And more.", "the answer has"),
        (f"{ANSWER} And this is more than an end token can be, really.", "tokens follow"),
        (f"<think>x</think>{ANSWER[:-1]}", "the answer has"),
        (f"<think>x</think>{ANSWER[1:]}", "the answer has"),
        (f"<think>x</think>{ANSWER.replace('12', '13')}", "the answer has"),
    ],
)
def test_what_is_not_the_answer_is_refused(text: str, reason: str) -> None:
    with pytest.raises(AlignmentError, match=reason):
        answer_tokens(ANSWER, tokens_of(text, list(range(len(text)))))


def test_an_answer_in_two_places_is_refused() -> None:
    # The answer may or may not have the end token in its text.
    content = "</s></s>"
    with pytest.raises(AlignmentError, match="several runs"):
        answer_tokens(content, tokens_of("x</s></s></s>", [1, 5, 9]))


def test_long_thinking_takes_no_long_time() -> None:
    thinking = '{"a": 1} é\ufffd ' * 4000
    tokens = tokens_of(thinking + ANSWER, list(range(0, len(thinking), 3)))
    tokens = [ServerToken(t.text, None, t.logprob) for t in tokens]
    assert len(letters(ANSWER, tokens)) == len(ANSWER)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (["token_id:17", "token_id:4"], "the numbers of its tokens, 'token_id:17', not their text"),
        (["a", "Ġb"], "its vocabulary writes them, 'Ġ' for ' '"),
        (["a", "▁b"], "its vocabulary writes them, '▁' for ' '"),
    ],
)
def test_tokens_that_are_no_text_are_named(pieces: list[str], reason: str) -> None:
    with pytest.raises(AlignmentError, match=reason):
        answer_tokens("a b", [ServerToken(piece, None, -0.1) for piece in pieces])


def spoilt(random: Random, tokens: list[ServerToken]) -> list[ServerToken]:
    """The list with a token less, one twice, one with another letter, or two of them swapped."""
    at, other = random.randrange(len(tokens)), random.randrange(len(tokens))
    made, text = list(tokens), tokens[at].text
    kind = random.choice(["drop", "double", "change", "swap"])
    if kind == "drop":
        del made[at]
    elif kind == "double":
        made.insert(at, made[at])
    elif kind == "change":
        letter = random.randrange(len(text))
        text = f"{text[:letter]}#{text[letter + 1 :]}"
        made[at] = ServerToken(text, text.encode(), made[at].logprob)
    elif "".join(tokens[other].text.split()) != "".join(text.split()):
        # Tokens of one text cannot be told apart by anyone, nor where whitespace is stripped.
        made[at], made[other] = made[other], made[at]
    return made


def test_a_spoilt_list_is_refused_or_gives_what_the_whole_one_gave() -> None:
    random, refused, same = Random(1), 0, 0
    for _ in range(2000):
        thinking = random.choice(["hm", "Let me see. " * 5, ANSWER + ANSWER, "12 — 日 " * 3])
        text = f"<think>\n{thinking}\n</think>\n\n{ANSWER}{random.choice(ENDS)}"
        tokens = tokens_of(text, random.sample(range(1, len(text)), len(text) // 3))
        whole = letters(ANSWER, tokens)
        assert whole == pytest.approx(owners(ANSWER, tokens, text.rindex(ANSWER)))
        try:
            found = letters(ANSWER, spoilt(random, tokens))
        except AlignmentError:
            refused += 1
            continue
        assert found == pytest.approx(whole)
        same += 1
    assert min(refused, same) > 500
