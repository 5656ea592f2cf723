"""Parameters counted from file headers agree with the model that torch loads."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model

from dataselect.errors import InputError
from dataselect.proxy_sources.parameter_count import count_parameters


def counted_by_torch(folder: Path) -> int:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_one_file_or_shards_tied_or_not(tmp_path: Path, tied: bool) -> None:
    from transformers import AutoModelForCausalLM

    save_model(tmp_path / "plain")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    model.config.tie_word_embeddings = tied
    model.tie_weights()
    for name, size in (("one", "1GB"), ("shards", "8KB")):
        model.save_pretrained(tmp_path / name, max_shard_size=size)
        assert count_parameters(tmp_path / name) == counted_by_torch(tmp_path / name)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1


def test_a_stored_copy_of_tied_weights_counts_once(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = save_model(tmp_path)
    before = count_parameters(folder)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    save_file(weights, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    embedding: Any = weights["model.embed_tokens.weight"]
    assert count_parameters(folder) in (before, before - embedding.size)


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"\xff" * 64, b"\x02" + b"\x00" * 7 + b"xx"])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    folder = save_model(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="no safetensors file; save the checkpoint again"):
        count_parameters(folder)


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: is missing"):
        count_parameters(folder)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"weight_map": 1}', '{"weight_map": {"a": 1}}', "{"]
)
def test_a_damaged_index_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(InputError, match=r"model\.safetensors\.index\.json: is "):
        count_parameters(tmp_path)
