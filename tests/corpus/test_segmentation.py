"""Tokenizers that cut texts alike are told from those that do not, whoever saved them and how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_models import byte_tokenizer

from dataselect.corpus.segmentation import segmentation_hash
from dataselect.corpus.tokenizer import tokenizer_hash, train_tokenizer


def saved(folder: Path, change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
    byte_tokenizer().save_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def spell_merges_as_text(content: dict[str, Any]) -> None:
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]


def leave_defaults_out(content: dict[str, Any]) -> None:
    for key in ("ignore_merges", "byte_fallback", "fuse_unk"):
        content["model"].pop(key, None)


def set_padding(content: dict[str, Any]) -> None:
    content["padding"] = {"strategy": "BatchLongest"}


def add_a_token(content: dict[str, Any]) -> None:
    content["added_tokens"].append({"id": 300, "content": "<pad>", "special": True})


@pytest.mark.parametrize(
    "change", [spell_merges_as_text, leave_defaults_out, set_padding, add_a_token]
)
def test_the_way_it_was_saved_makes_no_difference(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other", change)
    assert segmentation_hash(one) == segmentation_hash(other)


def test_a_pad_token_makes_no_difference_here_and_one_to_the_whole_tokenizer(
    tmp_path: Path,
) -> None:
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other", add_a_token)
    assert tokenizer_hash(one) != tokenizer_hash(other)
    assert segmentation_hash(one) == segmentation_hash(other)


def drop_a_merge(content: dict[str, Any]) -> None:
    content["model"]["merges"].pop()


def lower_case(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "Lowercase"}


@pytest.mark.parametrize("change", [drop_a_merge, lower_case])
def test_another_cut_is_another_hash(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other", change)
    assert segmentation_hash(one) != segmentation_hash(other)


def test_another_training_text_is_another_hash(tmp_path: Path) -> None:
    for name, text in (("one", "seven apples"), ("other", "nine pears")):
        train_tokenizer(iter([text] * 20), 280, False).save_pretrained(str(tmp_path / name))
    assert segmentation_hash(tmp_path / "one") != segmentation_hash(tmp_path / "other")
