"""The tokens are those of tokenizer.json, whatever class or setting stands beside it."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_models import byte_tokenizer
from tokenizers import Tokenizer, pre_tokenizers, processors
from transformers import AutoTokenizer

from dataselect.corpus.saved_tokenizer import (
    keeps_letters,
    read_tokenizer,
    special_tokens_before,
)
from dataselect.corpus.segmentation import segmentation_hash
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.errors import InputError

TEXT = "It's 12345 apples,\n\nand  67!"
RULE = r"\p{N}{1,2}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"


def saved(folder: Path, *, before: bool = False, **settings: Any) -> Path:
    """A tokenizer with splitting rules that no class of transformers has, and its settings."""
    tokenizer = byte_tokenizer(500, (TEXT, "apples and 12 and 34 and 67") * 5)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    split = pre_tokenizers.Split(__import__("tokenizers").Regex(RULE), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    if before:
        backend.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 500}))
    content = {"eos_token": "<|endoftext|>", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return folder


def ids(folder: Path, text: str = TEXT) -> list[int]:
    reference: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return list(reference.encode(text, add_special_tokens=False).ids)


def ids_as_text(folder: Path, text: str) -> list[int]:
    reference: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.encode_special_tokens = True
    return list(reference.encode(text).ids)


@pytest.mark.parametrize(
    "name",
    [
        "TokenizersBackend",
        "PreTrainedTokenizerFast",
        "GPT2Tokenizer",
        "GPT2TokenizerFast",
        "GPTNeoXTokenizerFast",
        "CodeGenTokenizer",
        "Qwen2Tokenizer",
        "Qwen2TokenizerFast",
        "LlamaTokenizer",
        "LlamaTokenizerFast",
        "GemmaTokenizerFast",
        "BloomTokenizerFast",
        "NoSuchTokenizer",
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_a_class_name_changes_no_token(tmp_path: Path, name: str, before: bool) -> None:
    folder = saved(tmp_path, tokenizer_class=name, before=before)
    read = read_tokenizer(folder)
    assert list(read.tokenizer(TEXT, add_special_tokens=False)["input_ids"]) == ids(folder)
    assert special_tokens_before(read.tokenizer) == ([0] if before else [])
    assert read.tokenizer.eos_token_id == 0
    assert all("tokenizer.json" in note for note in read.notes)


def test_a_class_with_other_rules_is_named_in_a_note(tmp_path: Path) -> None:
    folder = saved(tmp_path, tokenizer_class="Qwen2Tokenizer")
    notes = read_tokenizer(folder).notes
    # transformers 5.0 follows the file where the class is not that of the model's type.
    if type(AutoTokenizer.from_pretrained(folder)).__name__ == "TokenizersBackend":
        assert notes == ()
    else:
        (note,) = notes
        assert "its tokenizer.json is used; transformers' Qwen2Tokenizer" in note
    assert not read_tokenizer(saved(tmp_path, tokenizer_class="TokenizersBackend")).notes


@pytest.mark.parametrize(
    ("before", "asked", "said"), [(False, True, "adds none"), (True, False, "adds one")]
)
def test_a_setting_that_contradicts_the_file_is_named(
    tmp_path: Path, before: bool, asked: bool, said: str
) -> None:
    folder = saved(
        tmp_path, before=before, tokenizer_class="TokenizersBackend", add_bos_token=asked
    )
    read = read_tokenizer(folder)
    assert special_tokens_before(read.tokenizer) == ([0] if before else [])
    (note,) = read.notes
    assert f"add_bos_token: {str(asked).lower()}" in note
    assert said in note


@pytest.mark.parametrize("as_special", [True, False])
def test_a_special_token_in_a_text_is_text(tmp_path: Path, as_special: bool) -> None:
    folder = saved(tmp_path, tokenizer_class="TokenizersBackend", pad_token="<|endoftext|>")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"][0]["special"] = as_special
    (folder / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = load_tokenizer(folder)
    text = " it ends with <|endoftext|> here"
    written = tokenizer(text)["input_ids"]
    assert 0 not in written
    assert tokenizer.decode(written) == text
    tokenizer.save_pretrained(str(tmp_path / "again"))
    assert load_tokenizer(tmp_path / "again")(text)["input_ids"] == written


@pytest.mark.parametrize("token", ["<end>", "apples", "Ġapples", "a"])
def test_an_end_token_that_the_file_lacks_is_not_invented(tmp_path: Path, token: str) -> None:
    folder = saved(tmp_path, tokenizer_class="TokenizersBackend", eos_token=token)
    read = read_tokenizer(folder)
    assert read.tokenizer.eos_token_id is None
    (note,) = read.notes
    assert (
        note == f"its eos_token {token!r} is no special token of its tokenizer.json and is not used"
    )
    assert list(read.tokenizer(TEXT)["input_ids"]) == ids(folder)
    with pytest.raises(InputError, match="no end-of-text token"):
        load_tokenizer(folder)


def test_added_tokens_of_ordinary_text_count_for_the_segmentation(tmp_path: Path) -> None:
    one, other, special = (saved(tmp_path / name) for name in ("one", "other", "special"))
    for folder, is_special in ((other, False), (special, True)):
        content = json.loads((folder / "tokenizer.json").read_text())
        added = {**content["added_tokens"][0], "id": 500, "content": "  "}
        content["added_tokens"].append({**added, "special": is_special})
        (folder / "tokenizer.json").write_text(json.dumps(content))
    assert ids(one, "a  b") != ids(other, "a  b")
    assert segmentation_hash(one) != segmentation_hash(other)
    assert segmentation_hash(one) == segmentation_hash(special)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("added_tokens.json", {"apples": 7}),
        ("special_tokens_map.json", {"unk_token": "apples", "pad_token": "an"}),
        ("tokenizer_config.json", {"eos_token": "<|endoftext|>", "model_max_length": "many"}),
        ("tokenizer_config.json", {"eos_token": "<|endoftext|>", "add_prefix_space": True}),
        ("tokenizer_config.json", {"extra_special_tokens": ["apples"], "unk_token": "apples"}),
        ("tokenizer_config.json", []),
        ("config.json", {"model_type": "qwen2"}),
    ],
)
def test_files_beside_it_change_no_token(tmp_path: Path, name: str, content: Any) -> None:
    folder = saved(tmp_path)
    (folder / name).write_text(json.dumps(content))
    tokenizer = read_tokenizer(folder).tokenizer
    for text in (TEXT, "apples an a", " <|endoftext|>"):
        assert list(tokenizer(text)["input_ids"]) == ids_as_text(folder, text)


def test_dropout_of_training_makes_no_token_random(tmp_path: Path) -> None:
    folder = saved(tmp_path, tokenizer_class="TokenizersBackend")
    expected = ids(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["dropout"] = 0.5
    (folder / "tokenizer.json").write_text(json.dumps(content))
    read = read_tokenizer(folder)
    for _ in range(5):
        assert list(read.tokenizer(TEXT)["input_ids"]) == expected
    assert "dropout 0.5" in read.notes[0]


@pytest.mark.parametrize(
    ("changes", "keeps"),
    [
        ({}, True),
        ({"normalizer": {"type": "NFC"}}, False),
        ({"pre_tokenizer": {"type": "Whitespace"}}, False),
        ({"pre_tokenizer": None}, False),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, False),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}, True),
    ],
)
def test_what_changes_no_letter_is_told_from_the_file(
    tmp_path: Path, changes: Any, keeps: bool
) -> None:
    folder = saved(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**content, **changes}))
    assert keeps_letters(folder) is keeps


def test_an_id_far_beyond_the_others_is_refused_before_room_is_made_for_it(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text())
    last = max(content["model"]["vocab"], key=content["model"]["vocab"].get)
    content["model"]["vocab"][last] = 10**6
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="one has the id 1,000,000"):
        read_tokenizer(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"added_tokens": [1]}'])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: str) -> None:
    folder = saved(tmp_path)
    (folder / "tokenizer.json").write_text(content)
    for read in (read_tokenizer, segmentation_hash):
        with pytest.raises(InputError) as refused:
            read(folder)
        assert "\n" not in str(refused.value)


def test_tokens_without_a_tokenizer_json_are_noted_as_unchecked(tmp_path: Path) -> None:
    folder = saved(tmp_path, tokenizer_class="GPT2Tokenizer")
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = (" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer.json").unlink()
    (note,) = read_tokenizer(folder).notes
    assert note.startswith("it has no tokenizer.json: its tokens are those that transformers' GPT2")


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "gemma2", "gpt_neox", "llama"])
def test_a_folder_without_a_vocabulary_has_no_tokenizer(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(InputError, match="no tokenizer can be loaded"):
        read_tokenizer(tmp_path)


def test_a_key_that_no_token_has_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = {"content": "<|endoftext|>", "\x1b]0;owned\x07": True}
    (note,) = read_tokenizer(saved(tmp_path, eos_token=odd)).notes
    assert "a special token of its settings has the key '\\x1b]0;owned\\x07'" in note
    more = {"chat_template": [{"name": "default", "template": "{{ messages }}"}]}
    assert read_tokenizer(saved(tmp_path, tokenizer_class="TokenizersBackend", **more)).notes == ()
    assert capfd.readouterr() == ("", "")


def test_half_a_letter_is_no_special_token(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no tokenizer can be loaded \(UnicodeEncodeError"):
        read_tokenizer(saved(tmp_path, eos_token="\udc80"))
