"""The tokenizer: byte-exact, the same every time, and refused when it cannot serve."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from dataselect.corpus.tokenizer import load_tokenizer, tokenizer_hash, train_tokenizer
from dataselect.errors import InputError

WORDS = [
    a + b + c for a in ("ka", "lo", "mi", "ru") for b in ("ne", "pa", "so") for c in ("t", "l", "ü")
]
TEXTS = [f"{WORDS[i % 36]} {WORDS[i * 7 % 36]} {i * 111}?\n111 111 {i}." for i in range(300)]


def trained(vocab_size: int = 300, split_digits: bool = True) -> PreTrainedTokenizerFast:
    return train_tokenizer(iter(TEXTS), vocab_size, split_digits)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return trained()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_comes_back_exactly(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_same_texts_give_the_same_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    assert trained().backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_vocabulary_is_as_large_as_asked(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) == 300
    assert tokenizer.eos_token_id == tokenizer.bos_token_id == tokenizer.pad_token_id == 0


def test_split_digits_makes_every_digit_a_token(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("12345") == list("12345")
    assert len(trained(split_digits=False).tokenize("111")) < 3


def test_too_small_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match="set it to 257 or more"):
        trained(vocab_size=256)


def test_saved_tokenizer_loads_the_same_with_the_same_hash(tmp_path: Path) -> None:
    first = trained()
    first.save_pretrained(tmp_path / "a")
    loaded = load_tokenizer(tmp_path / "a")
    assert loaded.encode(TEXTS[7]) == first.encode(TEXTS[7])
    assert loaded.eos_token == "<|endoftext|>"
    loaded.save_pretrained(tmp_path / "b")
    assert tokenizer_hash(tmp_path / "a") == tokenizer_hash(tmp_path / "b")
    trained(vocab_size=301).save_pretrained(tmp_path / "c")
    assert tokenizer_hash(tmp_path / "a") != tokenizer_hash(tmp_path / "c")


def test_hash_ignores_padding_and_counts_the_end_token(tmp_path: Path) -> None:
    tokenizer = trained()
    tokenizer.save_pretrained(tmp_path)
    before = tokenizer_hash(tmp_path)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    tokenizer.backend_tokenizer.enable_truncation(max_length=9)
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert tokenizer_hash(tmp_path) == before
    settings_path = tmp_path / "tokenizer_config.json"
    content = json.loads(settings_path.read_text())
    settings_path.write_text(json.dumps(content | {"eos_token": "!"}))
    assert tokenizer_hash(tmp_path) != before


def test_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    for broken in (load_tokenizer, tokenizer_hash):
        with pytest.raises(InputError) as caught:
            broken(tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def silent(method: str, url: str, **options: object) -> None:
        asked.append(url)
        raise ConnectionError("Name or service not known\nin some library")

    monkeypatch.setattr("huggingface_hub.utils.http_backoff", silent)
    with pytest.raises(InputError) as caught:
        load_tokenizer("nobody/nothing", "v1")
    assert str(caught.value).startswith(
        "nobody/nothing: it is not a folder, and the Hub does not answer"
        " (Name or service not known in some library); check the network"
    )
    assert [url.rpartition("/")[0] for url in asked] == [
        "https://huggingface.co/nobody/nothing/resolve/v1"
    ]


def test_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    trained().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(InputError, match="no tokenizer can be loaded"):
        load_tokenizer(tmp_path)


def test_tokenizer_without_an_end_token_is_refused(tmp_path: Path) -> None:
    tokenizer = trained()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no end-of-text token"):
        load_tokenizer(tmp_path)
