"""A text that is tokenised in pieces has the tokens of the whole text."""

import random

import pytest
from tokenizers import Tokenizer
from zoo import CORPUS, tokenizer_files

from dataselect.corpus import long_texts
from dataselect.corpus.long_texts import long_ids

KINDS = ("bytes", "bytes-bos", "gpt2", "digits", "sentencepiece", "metaspace", "unigram")
ODD = (
    "\n",
    "   ",
    "\n\n\n",
    "1234567890123",
    "日本語",
    "e\u0301",
    "¡ñ🙂",
    "<|endoftext|>",
    "\t\r\n",
    "x" * 40,
)


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "PIECE", 400)
    monkeypatch.setattr(long_texts, "SHARED", 160)


def tokenizer_of(kind: str) -> Tokenizer:
    made = Tokenizer.from_str(tokenizer_files(kind)[0])
    made.encode_special_tokens = True
    return made


def mixed(seed: int, words: int = 1_500) -> str:
    draw = random.Random(seed)
    plain = " ".join(CORPUS).split(" ")
    return " ".join(draw.choice(plain if draw.random() < 0.8 else ODD) for _ in range(words))


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_have_the_tokens_of_the_whole(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    for seed in range(8):
        text = mixed(seed)
        whole = tokenizer.encode(text, add_special_tokens=False).ids
        assert list(long_ids(tokenizer, text, 10**9)) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_without_end_is_cut_and_nothing_is_lost(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    text = "".join(random.Random(1).choice("0123456789ab") for _ in range(3_000))
    ids = list(long_ids(tokenizer, text, 10**9))
    assert tokenizer.decode(ids).replace(" ", "") == text


def test_no_more_is_tokenised_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, seen = tokenizer_of("bytes"), list[int]()
    encode = long_texts._encode

    def counted(made: Tokenizer, text: str) -> object:
        seen.append(len(text))
        return encode(made, text)

    monkeypatch.setattr(long_texts, "_encode", counted)
    text = mixed(0, 20_000)
    ids = long_ids(tokenizer, text, 300)
    whole = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(ids) >= 300
    assert list(ids[:300]) == whole[:300]
    assert sum(seen) < len(text) / 10
