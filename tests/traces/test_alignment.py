import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.traces.alignment import (
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
)

TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('aé日😀"\\\n �'), max_size=30
)
LOGPROB = st.floats(-20, 0) | st.sampled_from([None, -9999.0, 1e-6])


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` cut at any bytes, with empty pieces among them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=2 * len(data) + 1)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def expected(content: str, pieces: list[bytes], logprobs: list[float | None]) -> list[float]:
    """Letter by letter: the mean over the tokens that hold one of its bytes."""
    token_of_byte = [i for i, piece in enumerate(pieces) for _ in piece]
    found, at = [], 0
    for letter in content:
        owners = sorted(set(token_of_byte[at : at + len(letter.encode())]))
        at += len(letter.encode())
        logs = [logprobs[i] for i in owners]
        known = [min(1.0, math.exp(x)) for x in logs if x is not None and x > -9999]
        found.append(sum(known) / len(known) if known else math.nan)
    return found


def exact(*tokens: tuple[bytes | str, float]) -> list[ServerToken]:
    """Tokens of known probability; text alone is a server without bytes."""
    return [
        ServerToken(piece, None, math.log(p))
        if isinstance(piece, str)
        else ServerToken(piece.decode("utf-8", "replace"), piece, math.log(p))
        for piece, p in tokens
    ]


@given(st.data(), TEXT)
def test_any_byte_split_gives_each_letter_its_tokens_mean(data: st.DataObject, text: str) -> None:
    pieces = data.draw(splits(text.encode()))
    logprobs = data.draw(st.lists(LOGPROB, min_size=len(pieces), max_size=len(pieces)))
    tokens = [
        ServerToken(piece.decode("utf-8", "replace"), piece, logprob)
        for piece, logprob in zip(pieces, logprobs, strict=True)
    ]
    probs = completion_letter_probabilities(text, tokens)
    assert probs.shape == (len(text),)
    assert probs.tolist() == pytest.approx(expected(text, pieces, logprobs), nan_ok=True)


@given(st.data(), TEXT)
def test_servers_without_bytes_are_aligned_by_their_text(data: st.DataObject, text: str) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    texts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    mixed = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    tokens = [
        ServerToken(piece, piece.encode() if known else None, -float(i))
        for i, (piece, known) in enumerate(zip(texts, mixed, strict=True))
    ]
    wanted = expected(text, [t.encode() for t in texts], [-float(i) for i in range(len(texts))])
    assert completion_letter_probabilities(text, tokens).tolist() == pytest.approx(wanted)


def run_of(shown: list[str], owners: list[int]) -> list[int]:
    """The tokens whose U+FFFDs touch those of the owners of a split letter."""
    filled = [i for i, text in enumerate(shown) if text]
    first, last = filled.index(owners[0]), filled.index(owners[-1])
    # A token with other letters ends the run, unless the split letter is its own.
    while first > 0 and not shown[filled[first]].strip("\ufffd"):
        if not shown[filled[first - 1]].endswith("\ufffd"):
            break
        first -= 1
    while last + 1 < len(filled) and not shown[filled[last]].strip("\ufffd"):
        if not shown[filled[last + 1]].startswith("\ufffd"):
            break
        last += 1
    return filled[first : last + 1]


def owners_of(text: str, pieces: list[bytes]) -> list[list[int]]:
    token_of_byte = [i for i, piece in enumerate(pieces) for _ in piece]
    ends = np.cumsum([len(letter.encode()) for letter in text], dtype=int)
    return [
        sorted(set(token_of_byte[end - len(letter.encode()) : end]))
        for letter, end in zip(text, ends, strict=True)
    ]


@pytest.mark.parametrize("as_bytes", [False, True])
@given(data=st.data(), text=TEXT.filter(lambda text: "\ufffd" not in text))
def test_letters_shown_as_replacement_characters_have_the_mean_of_their_run(
    as_bytes: bool, data: st.DataObject, text: str
) -> None:
    pieces = data.draw(splits(text.encode()))
    shown = [piece.decode("utf-8", "replace") for piece in pieces]
    tokens = [
        ServerToken(piece, piece.encode() if as_bytes else None, -float(i))
        for i, piece in enumerate(shown)
    ]
    refused = ""
    try:
        probs = completion_letter_probabilities(text, tokens)
    except AlignmentError as error:
        refused = str(error)
    if refused:
        assert "several ways" in refused
        return
    for owners, p in zip(owners_of(text, pieces), probs, strict=True):
        run = owners if len(owners) == 1 else run_of(shown, owners)
        assert p == pytest.approx(np.mean([math.exp(-i) for i in run]))


@given(data=st.data(), text=TEXT)
def test_letters_that_a_server_leaves_out_take_nothing_from_the_others(
    data: st.DataObject, text: str
) -> None:
    pieces = data.draw(splits(text.encode()))
    tokens = [
        ServerToken(piece.decode("utf-8", "ignore"), None, -float(i))
        for i, piece in enumerate(pieces)
    ]
    try:
        probs = completion_letter_probabilities(text, tokens)
    except AlignmentError:
        return
    for letter, owners, p in zip(text, owners_of(text, pieces), probs, strict=True):
        if letter.isascii():
            assert p == pytest.approx(math.exp(-owners[0]))


def test_a_gap_of_replacement_characters_has_the_mean_of_its_run() -> None:
    tokens = exact(("a", 0.9), (" \ufffd", 0.5), ("\ufffd\ufffd", 0.3), ("b", 0.8))
    probs = completion_letter_probabilities("a 日b", tokens)
    assert probs == pytest.approx([0.9, 0.5, 0.4, 0.8])


def test_a_gap_of_empty_tokens_has_the_mean_of_its_run() -> None:
    tokens = exact(("a", 0.9), ("", 0.5), ("", 0.3), ("b", 0.8), ("", 0.1))
    assert completion_letter_probabilities("a日b", tokens) == pytest.approx([0.9, 0.4, 0.8])


def test_a_server_may_give_bytes_for_some_tokens_only() -> None:
    tokens = exact(("日".encode()[:1], 0.9), ("\ufffd\ufffd", 0.5), (b"b", 0.8))
    assert completion_letter_probabilities("日b", tokens) == pytest.approx([0.7, 0.8])


def test_a_replacement_character_of_the_text_is_a_letter_like_others() -> None:
    tokens = exact(("a\ufffd", 0.9), ("\ufffd", 0.5), ("\ufffd", 0.3))
    probs = completion_letter_probabilities("a\ufffdé", tokens)
    assert probs[0] == pytest.approx(0.9)
    assert probs[2] == pytest.approx((0.9 + 0.5 + 0.3) / 3)


def test_a_gap_that_can_be_filled_in_two_ways_is_refused() -> None:
    gap = ("\ufffd" * 3, 0.5)
    with pytest.raises(AlignmentError, match="several ways"):
        completion_letter_probabilities("日日日日", exact(gap, ("日", 0.9), gap))


def test_a_gap_holds_nothing_that_is_ascii() -> None:
    with pytest.raises(AlignmentError, match="at letter 1 the answer has 'xb'"):
        completion_letter_probabilities("axb", exact(("a", 0.5), ("\ufffd", 0.5), ("b", 0.5)))


@pytest.mark.parametrize("end", ["", "<|im_end|>", "\ufffd"])
def test_tokens_after_the_end_are_left_out(end: str) -> None:
    tokens = exact(("ab", 0.5), (end, 0.1), (end, 0.1))
    assert completion_letter_probabilities("ab", tokens) == pytest.approx([0.5, 0.5])


def test_tokens_after_the_end_are_left_out_after_a_gap() -> None:
    tokens = exact(("\ufffd", 0.5), ("\ufffd", 0.3), ("b", 0.9), ("<|im_end|>", 0.1))
    assert completion_letter_probabilities("éb", tokens) == pytest.approx([0.4, 0.9])


def test_an_empty_answer_has_no_letters() -> None:
    assert completion_letter_probabilities("", []).shape == (0,)


def test_unknown_probabilities_are_missing_and_rounding_is_clipped() -> None:
    logprobs = [None, -9999.0, -math.inf, 1e-4, -1.0]
    tokens = [ServerToken("x", b"x", logprob) for logprob in logprobs]
    probs = completion_letter_probabilities("xxxxx", tokens)
    assert probs.tolist() == pytest.approx([math.nan] * 3 + [1, math.exp(-1)], nan_ok=True)


@pytest.mark.parametrize("logprob", [0.1, math.inf, math.nan])
def test_a_number_that_is_no_log_probability_is_refused(logprob: float) -> None:
    with pytest.raises(AlignmentError, match="log-probability"):
        completion_letter_probabilities("x", [ServerToken("x", b"x", logprob)])


@pytest.mark.parametrize(
    ("content", "tokens", "reason"),
    [
        ("ab", [], "gave no tokens"),
        ("abé", ["ab"], "only 2 of the answer's 4 bytes"),
        ("ab", ["a", "bc"], "beyond the answer's end"),
        ("日本", ["日", "木"], "at letter 1 the answer has '本' and the tokens spell '木'"),
        ("ab", [" ", "ab"], "at letter 0"),
        ("a\ud83d", ["a"], "surrogate"),
        ("a?", ["a\ud83d"], "at letter 1"),
    ],
)
def test_tokens_that_do_not_spell_the_answer_are_refused(
    content: str, tokens: list[str], reason: str
) -> None:
    with pytest.raises(AlignmentError, match=reason):
        completion_letter_probabilities(content, exact(*((text, 0.5) for text in tokens)))


@pytest.mark.parametrize(
    ("shown", "parts"),
    [
        # Each as a byte-level tokenizer cuts " 🍐!": the space with the emoji's first bytes.
        ([" ", "", "!"], [0, 1]),
        (["a", " ", "", "", "!"], [1, 2, 3]),
        (["a", " ", "", "", "", "!"], [1, 2, 3, 4]),
        (["a ", "", "", "!"], [1, 2]),
        # A token for every byte, as SentencePiece falls back to.
        (["a", " ", "", "", "", "", "!"], [2, 3, 4, 5]),
        # No token before it, so the one behind it has the rest.
        (["", "!"], [0, 1]),
    ],
)
def test_a_letter_that_begins_in_a_token_with_others_has_the_mean_of_all_its_parts(
    shown: list[str], parts: list[int]
) -> None:
    content = "".join(shown).replace("!", "🍐!")
    tokens = [ServerToken(text, None, -float(i + 1)) for i, text in enumerate(shown)]
    probs = completion_letter_probabilities(content, tokens)
    mean = np.mean([math.exp(-(i + 1)) for i in parts])
    assert probs[content.index("🍐")] == pytest.approx(mean)
    assert probs[-1] == pytest.approx(math.exp(-len(shown)))
    if content.startswith(" "):
        assert probs[0] == pytest.approx(math.exp(-1))


def test_three_letters_in_two_tokens_begin_and_end_beside_them() -> None:
    tokens = exact(("a", 0.9), ("", 0.5), ("", 0.3), ("b", 0.1))
    probs = completion_letter_probabilities("a日日日b", tokens)
    assert probs.tolist() == pytest.approx([0.9, 1.7 / 3, 0.4, 0.9 / 3, 0.1])
