"""Checkpoints in hf_olmo's format against the network of its trainer, written out here."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import byte_tokenizer

from dataselect.errors import InputError
from dataselect.proxy_sources.parameter_count import count_parameters
from dataselect.scoring.loading import load_model

Tensors = dict[str, torch.Tensor]
CONFIG: dict[str, Any] = {
    "model_type": "hf_olmo",
    "architectures": ["OLMoForCausalLM"],
    "d_model": 32,
    "n_heads": 4,
    "n_kv_heads": None,
    "n_layers": 2,
    "mlp_ratio": 8,
    "mlp_hidden_size": None,
    "activation_type": "swiglu",
    "block_type": "sequential",
    "block_group_size": 1,
    "norm_after": False,
    "rope": True,
    "rope_theta": 10000,
    "rope_full_precision": True,
    "alibi": False,
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "layer_norm_eps": 1e-5,
    "attention_layer_norm": False,
    "embedding_layer_norm": False,
    "clip_qkv": None,
    "include_bias": False,
    "bias_for_layer_norm": False,
    "scale_logits": False,
    "multi_query_attention": None,
    "max_sequence_length": 128,
    "vocab_size": 300,
    "embedding_size": 384,
    "weight_tying": False,
    "eos_token_id": 0,
    "pad_token_id": 1,
    "init_fn": "normal",
    "flash_attention": True,
}


def make(folder: Path, **changes: Any) -> Path:
    """A random checkpoint in the trainer's format, as its configuration describes it."""
    config = CONFIG | changes
    torch.manual_seed(4)
    width, heads = config["d_model"], config["n_heads"]
    shared = (config["n_kv_heads"] or heads) * (width // heads)
    inner = config["mlp_hidden_size"] or config["mlp_ratio"] * width
    rows = config["embedding_size"]
    shapes: dict[str, tuple[int, ...]] = {"wte": (rows, width), "ln_f": (width,)}
    if not config["weight_tying"]:
        shapes["ff_out"] = (rows, width)
    for n in range(config["n_layers"]):
        block = {"attn_norm": (width,), "att_proj": (width + 2 * shared, width)}
        block |= {"attn_out": (width, width), "ff_norm": (width,), "ff_proj": (inner, width)}
        block["ff_out"] = (width, inner // 2)
        shapes |= {f"blocks.{n}.{name}": shape for name, shape in block.items()}
    tensors = {
        f"model.transformer.{name}.weight": torch.randn(shape) * 0.2 + (len(shape) == 1)
        for name, shape in shapes.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    byte_tokenizer().save_pretrained(folder)
    return folder


def logits(tensors: Tensors, config: dict[str, Any], ids: torch.Tensor) -> torch.Tensor:
    """What the trainer computes for one sequence, shape (tokens, embedding_size)."""

    def weight(name: str) -> torch.Tensor:
        return tensors[f"model.transformer.{name}.weight"].double()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        size = (x**2).mean(-1, keepdim=True) + config["layer_norm_eps"]
        scaled: torch.Tensor = x / torch.sqrt(size) * weight(name)
        return scaled

    width, heads = config["d_model"], config["n_heads"]
    size = width // heads
    groups = config["n_kv_heads"] or heads
    turns = 1 / config["rope_theta"] ** (torch.arange(0, size, 2).double() / size)
    angles = torch.arange(len(ids)).double()[:, None] * turns
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def turned(x: torch.Tensor) -> torch.Tensor:
        half = torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)
        return x * cos + half * sin

    ahead = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
    x = weight("wte")[ids]
    for n in range(config["n_layers"]):
        rows = norm(x, f"blocks.{n}.attn_norm") @ weight(f"blocks.{n}.att_proj").T
        q, k, v = torch.split(rows, [width, groups * size, groups * size], -1)
        q, k, v = (each.view(len(ids), -1, size).transpose(0, 1) for each in (q, k, v))
        k, v = (each.repeat_interleave(heads // groups, 0) for each in (k, v))
        scores = turned(q) @ turned(k).transpose(1, 2) / math.sqrt(size)
        attended = scores.masked_fill(ahead, -math.inf).softmax(-1) @ v
        attended = attended.transpose(0, 1).reshape(len(ids), width)
        x = x + attended @ weight(f"blocks.{n}.attn_out").T
        up, gate = (norm(x, f"blocks.{n}.ff_norm") @ weight(f"blocks.{n}.ff_proj").T).chunk(2, -1)
        x = x + (gate * gate.sigmoid() * up) @ weight(f"blocks.{n}.ff_out").T
    found: torch.Tensor = norm(x, "ln_f") @ weight("wte" if config["weight_tying"] else "ff_out").T
    return found


def change(folder: Path, by: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    by(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        load_model(folder, "cpu", "float32")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weight_tying": True},
        {"n_kv_heads": 2},
        {"mlp_hidden_size": 96, "rope_theta": 500000, "layer_norm_eps": 1e-3},
        {"embedding_size": None, "vocab_size": 384},
    ],
    ids=["plain", "tied", "grouped", "numbers", "unpadded"],
)
def test_the_logits_are_those_of_the_network_written_out(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = CONFIG | changes
    if config["embedding_size"] is None:
        folder = make(tmp_path / "m", **(changes | {"embedding_size": 384}))
        (folder / "config.json").write_text(json.dumps(config))
    else:
        folder = make(tmp_path / "m", **changes)
    loaded = load_model(folder, "cpu", "float32")
    ids = torch.randint(0, 300, (60,))
    with torch.inference_mode():
        found = loaded.model(ids[None]).logits[0]
    wanted = logits(load_file(folder / "model.safetensors"), config, ids)
    assert (found - wanted).abs().max() < 1e-4
    assert "its hf_olmo checkpoint is read as LlamaForCausalLM" in loaded.notes
    tied = loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    assert tied == config["weight_tying"]
    assert count_parameters(folder) == sum(p.numel() for p in loaded.model.parameters())


def test_a_sharded_checkpoint_and_another_dtype_are_the_same_model(tmp_path: Path) -> None:
    whole = load_model(make(tmp_path / "m"), "cpu", "bfloat16").model
    folder = make(tmp_path / "n")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), 1):
        file = folder / f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, file, {"format": "pt"})
    parts = load_model(folder, "cpu", "bfloat16").model.state_dict()
    assert all(torch.equal(mine, parts[name]) for name, mine in whole.state_dict().items())
    assert {mine.dtype for mine in parts.values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"layer_norm_type": "default"}, "layer_norm_type: 'default' is not read, but 'rms' alone"),
        ({"include_bias": True}, "include_bias: True"),
        ({"clip_qkv": 8.0}, "clip_qkv: 8.0"),
        ({"alibi": True}, "alibi: True"),
        ({"norm_after": True}, "norm_after: True"),
        ({"activation_type": "gelu"}, "activation_type: 'gelu'"),
        ({"rope": None}, "rope: None"),
        ({"d_model": "wide"}, "d_model is missing or no number"),
        ({"n_layers": 3}, "model.transformer.blocks.2.att_proj.weight is missing"),
        ({"n_layers": 1}, "no place for model.transformer.blocks.1."),
        ({"mlp_ratio": 4}, "ff_proj.weight has 256 rows, and config.json describes 128"),
        ({"embedding_size": 512}, "wte.weight has shape (384, 32), and config.json describes"),
    ],
)
def test_another_network_is_refused_by_the_name_of_its_key(
    tmp_path: Path, changes: dict[str, Any], wanted: str
) -> None:
    folder = make(tmp_path / "m")
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    assert wanted in refused(folder)


def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    name = "model.transformer.blocks.0.attn_out.weight"
    folder = make(tmp_path / "m")
    change(folder, lambda tensors: tensors.pop(name))
    assert f"{name} is missing" in refused(folder)
    change(folder, lambda tensors: tensors.update({name: torch.ones(32, 32, dtype=torch.int8)}))
    assert f"{name} holds no fractions but I8" in refused(folder)
    change(folder, lambda tensors: tensors.update({name: torch.ones(32, 31)}))
    assert f"{name} has shape (32, 31)" in refused(folder)
    change(folder, lambda tensors: tensors.update({name: torch.ones(32, 32)}))
    change(folder, lambda tensors: tensors.update({"model.transformer.wpe.weight": torch.ones(2)}))
    assert "model.transformer.wpe.weight is none of this format's tensors" in refused(folder)


def test_an_absurd_number_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    folder = make(tmp_path / "m")
    (folder / "config.json").write_text(json.dumps(CONFIG | {"n_layers": 10**6}))
    assert "n_layers: 1,000,000 is more than its" in refused(folder)
