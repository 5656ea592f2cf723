"""What is loaded is what the files hold; anything else is one line that names file and tensor."""

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import byte_tokenizer, save_model
from transformers import BertConfig, BertLMHeadModel, MixtralConfig, MixtralForCausalLM

from dataselect.errors import InputError
from dataselect.scoring.loading import check_files, load_model

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "saved")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "m"))


def configure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def change(folder: Path, by: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    by(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def shard(folder: Path) -> dict[str, str]:
    """The weights in two files and an index, in place of one."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {}
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file, {"format": "pt"})
        places |= dict.fromkeys(names, file)
    write_index(folder, places)
    return places


def write_index(folder: Path, places: dict[str, str]) -> None:
    content = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        load_model(folder, "cpu", "float32")
    line = str(error.value)
    assert "\n" not in line
    assert found_in_headers(folder) in (None, line)
    return line


def found_in_headers(folder: Path) -> str | None:
    """Why a folder is refused before its weights are read."""
    try:
        check_files(folder)
    except InputError as error:
        return str(error)
    return None


def weights(folder: Path) -> Tensors:
    # Copies: older releases map the file, which the tests write again.
    model = load_model(folder, "cpu", "float32").model
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_whole_folders_pass_the_look_at_headers(saved: Path) -> None:
    assert found_in_headers(saved) is None


def test_a_sharded_checkpoint_is_the_same_model(saved: Path, folder: Path) -> None:
    shard(folder)
    loaded = load_model(folder, "cpu", "float32")
    assert same(loaded.model.state_dict(), weights(saved))
    assert loaded.notes == ()


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    configure(folder, intermediate_size=48)
    line = refused(folder)
    assert line.startswith(f"{folder}: its weights do not fit its config.json (3 missing or of")
    assert "mlp.down_proj.weight of model.safetensors" in line
    assert found_in_headers(folder) == line


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.0.mlp.up_proj.weight"])
def test_a_missing_tensor_is_named(folder: Path, name: str) -> None:
    change(folder, lambda tensors: tensors.pop(name))
    assert name in refused(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.1.mlp.up_proj.weight",
        "lm_head.bias",
    ],
)
def test_a_tensor_without_a_place_is_named(folder: Path, name: str) -> None:
    change(folder, lambda tensors: tensors.update({name: torch.ones(16)}))
    line = refused(folder)
    assert "its config.json has no place for 1 of its tensors" in line
    assert f"{name} in model.safetensors" in line


def test_fewer_layers_than_the_files_hold_are_refused(folder: Path) -> None:
    configure(folder, num_hidden_layers=0)
    assert "model.layers.0." in refused(folder)


def test_a_head_of_its_own_is_refused_where_the_config_ties_it(folder: Path) -> None:
    configure(folder, tie_word_embeddings=True)
    line = refused(folder)
    assert "lm_head.weight in model.safetensors" in line
    assert "set tie_word_embeddings: false" in line


def test_a_tied_head_may_be_stored_or_not(folder: Path) -> None:
    configure(folder, tie_word_embeddings=True)
    change(folder, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    stored = weights(folder)
    change(folder, lambda tensors: tensors.pop("lm_head.weight"))
    assert same(weights(folder), stored)
    configure(folder, tie_word_embeddings=False)
    assert "lm_head.weight" in refused(folder)


@pytest.mark.parametrize(
    "name",
    [
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter_model-00001-of-00002.safetensors",
        "adapter_model.bin",
    ],
)
def test_an_adapter_beside_a_model_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("{}")
    line = refused(folder)
    assert line.startswith(f"{folder / name}: the folder holds an adapter")
    assert "merge_and_unload" in line


def test_a_stale_file_beside_an_index_is_refused(saved: Path, folder: Path) -> None:
    shard(folder)
    shutil.copy(saved / "model.safetensors", folder)
    assert "two copies of the weights" in refused(folder)
    (folder / "model.safetensors.index.json").unlink()
    assert "two copies of the weights" in refused(folder)


def test_an_index_that_names_one_file_is_no_second_copy(saved: Path, folder: Path) -> None:
    write_index(folder, dict.fromkeys(load_file(folder / "model.safetensors"), "model.safetensors"))
    assert same(weights(folder), weights(saved))


def test_an_index_must_name_what_its_files_hold(folder: Path) -> None:
    places = shard(folder)
    name = "model.norm.weight"
    other = next(file for file in places.values() if file != places[name])
    write_index(folder, {**places, name: other})
    assert f"it places {name} in {other}, which lacks it" in refused(folder)
    write_index(folder, {key: file for key, file in places.items() if key != name})
    assert f"it holds {name}, which model.safetensors.index.json does not name" in refused(folder)
    write_index(folder, {**places, name: "model-00003-of-00003.safetensors"})
    assert "is missing" in refused(folder)
    (folder / "model.safetensors.index.json").write_text("[]")
    assert "no index of weights" in refused(folder)


def test_a_tensor_in_two_files_is_refused(folder: Path) -> None:
    places = shard(folder)
    name = "model.norm.weight"
    other = folder / next(file for file in places.values() if file != places[name])
    save_file({**load_file(other), name: torch.ones(16)}, other, {"format": "pt"})
    assert f"it holds {name}, as model-0000" in refused(folder)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_numbers_of_another_kind_are_named(folder: Path, dtype: torch.dtype) -> None:
    name = "model.norm.weight"
    change(folder, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    assert f"model.safetensors: {name} holds no fractions but " in refused(folder)


def test_numbers_of_another_kind_in_an_expert_are_named(tmp_path: Path) -> None:
    """transformers joins experts while loading, so that their names are not the model's own."""
    config = MixtralConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=2,
    )
    MixtralForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer(300, ("a b",)).save_pretrained(tmp_path)
    assert not load_model(tmp_path, "cpu", "float32").notes
    name = next(each for each in load_file(tmp_path / "model.safetensors") if "experts.1" in each)
    change(tmp_path, lambda tensors: tensors.update({name: tensors[name].to(torch.int32)}))
    assert f"{name} holds no fractions but I32" in refused(tmp_path)


def test_a_model_that_sees_what_follows_is_refused(folder: Path) -> None:
    configure(folder, is_causal=False)
    if version("transformers").startswith("5.0."):
        pytest.skip("this release does not read the key, so the model sees nothing that follows")
    assert "it is no causal language model" in refused(folder)


def test_an_encoder_is_scored_as_a_decoder_alone(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=1.0,
        is_decoder=True,
    )
    BertLMHeadModel(config).save_pretrained(tmp_path)
    byte_tokenizer(300, ("a b",)).save_pretrained(tmp_path)
    assert load_model(tmp_path, "cpu", "float32")
    configure(tmp_path, is_decoder=False)
    assert "it is no causal language model" in refused(tmp_path)


def test_a_spoilt_embedding_is_not_taken_for_sight_of_what_follows(folder: Path) -> None:
    def spoil(tensors: Tensors) -> None:
        tensors["model.embed_tokens.weight"][-1] = torch.nan

    change(folder, spoil)
    assert load_model(folder, "cpu", "float32")


def test_a_damaged_file_is_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert refused(folder).startswith(f"{file}: is damaged or no safetensors file")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": 0},
        {"num_attention_heads": 3},
        {"num_hidden_layers": "many"},
        {"num_hidden_layers": 10**9},
        {"vocab_size": 10**12},
        {"hidden_size": -16},
        {"num_key_value_heads": 5},
        {"hidden_act": "no such function"},
        {"rope_parameters": {"rope_type": "no such type"}},
        {"model_type": "no-such-model"},
        {"use_return_dict": False},
        {"max_position_embeddings": 2**63},
        {"num_hidden_layers": 10**400},
        {"auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
         "model_type": "no-such-model"},
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_cannot_be_followed_is_one_line(
    folder: Path, changes: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(folder, **changes)
    line = refused(folder)
    assert str(folder) in line
    assert found_in_headers(folder) == line
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["</s>", {}, [0, [1]], True, 0.5], ids=str)
def test_what_ends_an_answer_is_a_token(folder: Path, end: Any) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}))
    assert "eos_token_id" in refused(folder)


def test_a_class_or_key_that_is_not_followed_is_noted(folder: Path) -> None:
    configure(folder, architectures=["MistralForCausalLM"])
    (note,) = load_model(folder, "cpu", "float32").notes
    assert note == "its config.json names MistralForCausalLM, and it is scored as LlamaForCausalLM"
    config = json.loads((folder / "config.json").read_text())
    config["rms_norm_epss"] = config.pop("rms_norm_eps")
    (folder / "config.json").write_text(json.dumps({**config, "architectures": None}))
    (note,) = load_model(folder, "cpu", "float32").notes
    assert "rms_norm_epss, which llama does not know; rms_norm_eps has its default" in note


def test_a_half_precision_file_is_the_same_model_in_float32(folder: Path) -> None:
    change(folder, lambda t: t.update({n: v.bfloat16().float() for n, v in t.items()}))
    rounded = weights(folder)
    change(folder, lambda t: t.update({n: v.bfloat16() for n, v in t.items()}))
    assert same(weights(folder), rounded)
