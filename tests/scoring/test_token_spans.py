from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dataselect.corpus.saved_tokenizer import special_tokens_before
from dataselect.scoring.token_spans import (
    RewrittenTextError,
    align,
    decode,
    letter_probabilities,
    token_bytes,
)

LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def word_tokenizer(*, lowercase: bool = False) -> Any:
    """Not byte-level: whole words without their spaces, so only offsets know the letters."""
    names = ["[UNK]", "question", "answer", ":", "she", "has", "Question", "Answer", "She", "."]
    backend = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, "[UNK]"))
    if lowercase:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def with_backend(tokenizer: Any, **changes: Any) -> Any:
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    for name, value in changes.items():
        setattr(backend, name, value)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


@settings(max_examples=75, deadline=None)
@given(context=LETTERS, text=LETTERS.filter(bool))
def test_every_letter_is_held_and_spans_agree_with_the_bytes(
    tokenizer: Any, context: str, text: str
) -> None:
    aligned = align(tokenizer, context, text)
    pieces = token_bytes(tokenizer, aligned.ids)
    assert pieces is not None
    assert b"".join(pieces) == text.encode()
    starts = np.cumsum([0, *[len(letter.encode()) for letter in text]])
    at = 0
    for piece, (first, end) in zip(pieces, aligned.spans, strict=True):
        held = [i for i in range(len(text)) if starts[i] < at + len(piece) and starts[i + 1] > at]
        assert (first, end) == (held[0], held[-1] + 1)
        at += len(piece)
    whole = tokenizer(context + text, add_special_tokens=False)["input_ids"]
    assert not aligned.joint or aligned.context_ids + aligned.ids == whole


def test_a_token_with_part_of_a_character_counts_that_character(tokenizer: Any) -> None:
    aligned = align(tokenizer, "Answer:", " 한")
    assert len(aligned.ids) > 2
    assert all(end == 2 for _, end in aligned.spans if end > 1)
    assert (aligned.spans[-2:] == [1, 2]).all()


def test_a_token_over_the_join_makes_the_continuation_stand_alone(tokenizer: Any) -> None:
    whole = tokenizer("The answer", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(whole)[-1] == "Ġanswer"
    aligned = align(tokenizer, "The ans", "wer")
    assert not aligned.joint
    assert aligned.ids == tokenizer("wer", add_special_tokens=False)["input_ids"]
    assert aligned.context_ids == tokenizer("The ans", add_special_tokens=False)["input_ids"]
    assert aligned.spans[-1][1] == 3


def test_a_token_that_the_tokenizer_adds_in_front_opens_the_context(tokenizer: Any) -> None:
    template = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    opened = with_backend(tokenizer, post_processor=template)
    assert special_tokens_before(tokenizer) == []
    assert special_tokens_before(opened) == [0]
    plain, begun = align(tokenizer, "Answer:", " She"), align(opened, "Answer:", " She")
    assert begun.context_ids == [0, *plain.context_ids]
    assert begun.ids == plain.ids


def test_trimmed_offsets_do_not_matter_to_a_byte_level_tokenizer(tokenizer: Any) -> None:
    trimming = with_backend(tokenizer, post_processor=processors.ByteLevel(trim_offsets=True))
    text = " She starts with 3 apples."
    offsets = trimming(text, return_offsets_mapping=True)["offset_mapping"]
    assert offsets[1][0] > offsets[0][1]
    spans = align(trimming, "Answer:", text).spans
    assert spans[1][0] == spans[0][1]


def test_a_tokenizer_that_rewrites_the_text_is_refused(tokenizer: Any) -> None:
    composing = with_backend(tokenizer, normalizer=normalizers.NFC())
    decomposed = " Cafe\u0301 is open"
    with pytest.raises(RewrittenTextError):
        align(composing, "Answer:", decomposed)
    assert align(composing, "Cafe\u0301:", " She starts").joint


def metaspace_tokenizer() -> Any:
    """Like Llama 2's: spaces are ▁, unknown characters are bytes, and only offsets know letters."""
    names = ["▁", "▁She", "▁has", "3", ".", "s", "e", "h", "a", *"QAnwr:?x"]
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    vocabulary |= {name: 256 + i for i, name in enumerate(dict.fromkeys(names))}
    merges = [("h", "a"), ("S", "h"), ("▁", "Sh"), ("▁Sh", "e"), ("▁", "ha"), ("▁ha", "s")]
    for left, right in merges:
        for name in (left, right, left + right):
            vocabulary.setdefault(name, len(vocabulary))
    backend = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def test_other_tokenizers_fall_back_to_offsets() -> None:
    pieces = metaspace_tokenizer()
    aligned = align(pieces, "Q:", " She has 3.")
    assert aligned.joint
    assert pieces.convert_ids_to_tokens(aligned.ids) == ["▁She", "▁has", "▁", "3", "."]
    assert aligned.spans.tolist() == [[0, 4], [4, 8], [8, 9], [9, 10], [10, 11]]
    euro = align(pieces, "Q:", " 3€.")
    assert pieces.convert_ids_to_tokens(euro.ids)[2:5] == ["<0xE2>", "<0x82>", "<0xAC>"]
    assert euro.spans.tolist() == [[0, 1], [1, 2], [2, 3], [2, 3], [2, 3], [3, 4]]


@settings(max_examples=50, deadline=None)
@given(context=LETTERS, text=LETTERS.filter(bool))
def test_offsets_hold_every_letter_or_the_text_is_refused(context: str, text: str) -> None:
    try:
        spans = align(metaspace_tokenizer(), context, text).spans
    except RewrittenTextError:
        return
    held = {letter for first, end in spans for letter in range(first, end)}
    assert held == set(range(len(text)))


@pytest.mark.parametrize("lowercase", [False, True])
def test_letters_in_no_token_are_refused(lowercase: bool) -> None:
    """This tokenizer drops spaces, and gives one token for every word that it does not know."""
    words = word_tokenizer(lowercase=lowercase)
    for text in (" She has", "She\nhas", "Sheba"):
        with pytest.raises(RewrittenTextError):
            align(words, "Question: x\nAnswer:", text)


def test_letters_that_are_changed_are_refused_where_offsets_hold_them_all() -> None:
    pieces = metaspace_tokenizer()
    backend = pieces.backend_tokenizer
    backend.normalizer = normalizers.Sequence([normalizers.Replace("?", "x"), backend.normalizer])
    assert align(pieces, "Q:", " She x").joint
    with pytest.raises(RewrittenTextError):
        align(pieces, "Q:", " She ?")


@settings(max_examples=50, deadline=None)
@given(text=LETTERS.filter(bool))
def test_decoding_gives_back_text_and_spans(tokenizer: Any, text: str) -> None:
    aligned = align(tokenizer, "", text)
    decoded, spans = decode(tokenizer, aligned.ids)
    assert decoded == text
    assert np.array_equal(spans, aligned.spans)


def test_decoding_leaves_out_an_unfinished_last_character(tokenizer: Any) -> None:
    ids = tokenizer("She 한", add_special_tokens=False)["input_ids"][:-1]
    text, spans = decode(tokenizer, ids)
    assert text == "She "
    assert spans[-1].tolist() == [4, 4]


def test_decoding_bytes_that_are_no_text_is_refused(tokenizer: Any) -> None:
    lone = tokenizer("한", add_special_tokens=False)["input_ids"][-1:]
    she = tokenizer("She", add_special_tokens=False)["input_ids"]
    with pytest.raises(RewrittenTextError, match="UTF-8"):
        decode(tokenizer, lone + she)


def test_decoding_with_another_tokenizer_tiles_the_text() -> None:
    pieces = Tokenizer(models.WordLevel({"[UNK]": 0, "▁She": 1, "▁has": 2, ".": 3}, "[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces.decoder = decoders.Metaspace()
    metaspace = PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]")
    text, spans = decode(metaspace, [1, 2, 3])
    assert text == "She has."
    assert spans.tolist() == [[0, 3], [3, 7], [7, 8]]


def test_a_letter_split_over_tokens_takes_the_mean_of_their_probabilities() -> None:
    spans = np.array([[0, 1], [1, 2], [1, 2], [3, 3]])
    letters = letter_probabilities(spans, [0.5, 0.2, 0.4, 1.0], 3)
    assert letters[:2] == pytest.approx([0.5, 0.3])
    assert np.isnan(letters[2])
