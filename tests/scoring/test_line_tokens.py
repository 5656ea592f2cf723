"""Tokens put together from lines are those of the whole text, with far fewer letters tokenised."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from dataselect.scoring.line_tokens import LineTokens

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITTERS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    **{
        name: pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(rule), behavior, invert),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        for name, rule, behavior, invert in (
            ("llama3", CL100K, "isolated", False),
            ("olmo2", CL100K, "removed", True),
            ("qwen2", CL100K.replace("{1,3}", ""), "isolated", False),
        )
    },
}
# Much of what stands at line breaks, and any other letter.
PIECES = st.sampled_from(
    [
        *("\n", "\n\n", "\r\n", " ", "  ", "\t", "\u2028", "\x1c", "\x85"),
        *("A", "Answer", "17", "'s", "'LL", "é", "e\u0301", "\u0301", "한", "½", "٣"),
        *("?!", "/", "—", "<|endoftext|>", "<m>"),
    ]
)
TEXTS = st.lists(
    PIECES | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=14
).map("".join)


def made(tokenizer: Any, **changes: Any) -> Any:
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    for name, value in changes.items():
        setattr(backend, name, value)
    backend.add_tokens([AddedToken("<m>", lstrip=True, rstrip=True)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def trained(splitter: Any, composed: bool) -> Any:
    """With tokens of white space of many kinds, so that where it is split shows."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = splitter
    backend.normalizer = normalizers.NFC() if composed else None
    blanks = ["".join(blank) for n in (2, 3) for blank in product(" \n\r\t", repeat=n)]
    words = ["Answer", "17", "'s", "?!/", ".", "é", "한"]
    texts = [f"{one}{blank}{two}" for blank in blanks for one in words for two in (*words, "")]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def whole(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
        "input_ids"
    ]
    return ids


@pytest.mark.parametrize("rules", SPLITTERS)
@pytest.mark.parametrize("composed", [False, True])
def test_lines_have_the_tokens_of_the_whole_text(rules: str, composed: bool) -> None:
    own = made(trained(SPLITTERS[rules], composed))
    lines = LineTokens(own)
    assert lines.by_line

    @settings(max_examples=50, deadline=None)
    @given(context=TEXTS, texts=st.lists(TEXTS, min_size=1, max_size=3))
    def check(context: str, texts: Sequence[str]) -> None:
        for text in texts:
            assert lines.ids(context, text) == whole(own, context + text)

    check()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True)}, "two\nThree\nfour"),
        ({"pre_tokenizer": pre_tokenizers.ByteLevel(False, use_regex=False)}, "a\nAnswer\nb"),
        ({"normalizer": normalizers.Strip()}, "one \nTwo"),
        ({"normalizer": normalizers.Prepend("x")}, "one\nTwo"),
    ],
)
def test_other_tokenizers_see_the_whole_text(
    tokenizer: Any, change: dict[str, Any], text: str
) -> None:
    own = made(tokenizer, **change)
    lines = LineTokens(own)
    lines.learn("", [text])
    assert not lines.by_line
    assert lines.ids("", text) == whole(own, text)


@pytest.mark.parametrize("content", ["Question", "a\nb", "\n7"])
def test_an_added_token_at_a_line_break_keeps_texts_whole(tokenizer: Any, content: str) -> None:
    own = made(tokenizer)
    own.add_tokens([content])
    lines = LineTokens(own)
    text = f"x  \n\n{content} ab\nc"
    assert not lines.by_line
    assert lines.ids("", text) == whole(own, text)


def test_each_distinct_line_is_tokenised_once(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LineTokens(tokenizer)
    asked: list[str] = []
    plain = type(tokenizer).__call__

    def counted(self: Any, texts: Any, **options: Any) -> Any:
        asked.extend([texts] if isinstance(texts, str) else texts)
        return plain(self, texts, **options)

    monkeypatch.setattr(type(tokenizer), "__call__", counted)
    examples = "Question: Ann has 3 red apples.\nAnswer: She has 3.\n\n" * 5
    contexts = [f"{examples}Question: How many are {n}?\nAnswer:" for n in range(20)]
    texts = [f" {letter}" for letter in "ABCD"]
    for context in contexts:
        lines.learn(context, texts)
        for text in texts:
            lines.ids(context, text)
    assert len(asked) == len(set(asked)) == 2 + 20 + 4
    assert sum(map(len, asked)) * 30 < sum(len(c + t) for c in contexts for t in texts)
    asked.clear()
    monkeypatch.setattr("dataselect.scoring.line_tokens._CACHED_LETTERS", 0)
    assert lines.ids(contexts[0], " E") == whole(tokenizer, f"{contexts[0]} E")
    assert lines.ids(contexts[1], " E") == whole(tokenizer, f"{contexts[1]} E")
    assert len(asked) > 2
