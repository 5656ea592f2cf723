"""Checkpoints in the format of AI2's first trainer, `hf_olmo`, read as Llama models.

DataDecide's public checkpoints (25 recipes × 14 sizes) have it. The package that defines it,
ai2-olmo, cannot be loaded beside transformers 5, and no code that comes with a model is run here.
It is not needed: with RMS norms, rotary positions and SwiGLU the network is Llama's under other
names of tensors, two of which hold several of Llama's:

    att_proj    the rows of q, k and v, in this order
    ff_proj     the rows of up and gate, in this order

What the format can also describe and Llama cannot compute (other norms, biases, clipping, ALiBi)
is refused by the name of its key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM

from dataselect.errors import InputError
from dataselect.scoring.stored_tensors import Stored

MODEL_TYPE = "hf_olmo"
"""`model_type` of such a folder's config.json."""

_FIX = "score checkpoints of Llama's shape, or convert them to a model that transformers has"
_AGAIN = "get the checkpoint again"

# Keys of the format that change what is computed: the values that Llama computes, the trainer's
# own default (which holds where the key is missing) the first of each.
_AS_LLAMA: Mapping[str, tuple[Any, ...]] = {
    "activation_type": ("swiglu",),
    "block_type": ("sequential",),
    "block_group_size": (1,),
    "alibi": (False,),
    "attention_layer_norm": (False,),
    "embedding_layer_norm": (False,),
    "norm_after": (False,),
    "layer_norm_with_affine": (True,),
    "scale_logits": (False,),
    "clip_qkv": (None,),
    "multi_query_attention": (None, False),
}
# The same, where the trainer's default is not Llama's, so that the file has to say it.
_STATED: Mapping[str, tuple[Any, ...]] = {
    "layer_norm_type": ("rms",),
    "rope": (True,),
    "include_bias": (False,),
    "bias_for_layer_norm": (False, None),
}
_NEEDED = ("d_model", "n_heads", "n_layers", "max_sequence_length", "vocab_size", "weight_tying")
_PREFIX = "model.transformer."


def llama_config(folder: Path, content: Mapping[str, Any]) -> LlamaConfig:
    """The configuration of the same network as a Llama; `content` is config.json.

    Raises InputError for a network that is none.
    """
    file = folder / "config.json"
    for key, allowed in _AS_LLAMA.items():
        _check(file, key, content.get(key, allowed[0]), allowed)
    for key, allowed in _STATED.items():
        _check(file, key, content.get(key), allowed)
    for key in _NEEDED:
        if not isinstance(content.get(key), int):
            raise InputError(file, f"{key} is missing or no number", _AGAIN)
    heads, width = content["n_heads"], content["d_model"]
    inner = content.get("mlp_hidden_size") or content.get("mlp_ratio", 4) * width
    return LlamaConfig(
        # Rows beyond the vocabulary pad it; they take their share of probability here as there.
        vocab_size=content.get("embedding_size") or content["vocab_size"],
        hidden_size=width,
        # Half of ff_proj's rows: the other half are the gate.
        intermediate_size=inner // 2,
        num_hidden_layers=content["n_layers"],
        num_attention_heads=heads,
        num_key_value_heads=content.get("n_kv_heads") or heads,
        max_position_embeddings=content["max_sequence_length"],
        rms_norm_eps=content.get("layer_norm_eps", 1e-5),
        rope_parameters={
            "rope_type": "default",
            "rope_theta": float(content.get("rope_theta", 10_000)),
        },
        tie_word_embeddings=bool(content["weight_tying"]),
        attention_bias=False,
        mlp_bias=False,
        hidden_act="silu",
        bos_token_id=None,
        eos_token_id=content.get("eos_token_id"),
        pad_token_id=content.get("pad_token_id"),
    )


def load_as_llama(
    folder: Path, config: LlamaConfig, tensors: Mapping[str, Stored], dtype: torch.dtype
) -> LlamaForCausalLM:
    """The model with the weights of `tensors`: each of them used, and nothing else in it.

    Raises InputError for a tensor that is missing, has no place, or has another shape.
    """
    found = _renamed(folder, config, tensors)
    with torch.device("meta"):
        own = LlamaForCausalLM(config).state_dict()
    if config.tie_word_embeddings:
        own.pop("lm_head.weight")
    for name in sorted(found.keys() - own.keys()):
        raise InputError(folder, f"its config.json has no place for {_original(name)}", _AGAIN)
    for name, described in own.items():
        shape = tuple(described.shape)
        if name not in found or tuple(found[name].shape) != shape:
            what = f"has shape {tuple(found[name].shape)}" if name in found else "is missing"
            raise InputError(
                folder,
                f"{_original(name)} {what}, and config.json describes {shape} for {name}",
                _AGAIN,
            )
    return LlamaForCausalLM.from_pretrained(None, config=config, state_dict=found, dtype=dtype)


def _renamed(
    folder: Path, config: LlamaConfig, tensors: Mapping[str, Stored]
) -> dict[str, torch.Tensor]:
    """The tensors of the files under Llama's names, those that hold several of Llama's cut up."""
    rows = _rows(config)
    found: dict[str, torch.Tensor] = {}
    for file in sorted({each.file for each in tensors.values()}):
        with safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                parts, tensor = _names(name), opened.get_tensor(name)
                if not parts:
                    raise InputError(file, f"{name} is none of this format's tensors", _AGAIN)
                if not tensor.is_floating_point():
                    dtype = tensors[name].dtype
                    raise InputError(file, f"{name} holds no fractions but {dtype}", _AGAIN)
                cuts = [rows[part.split(".")[-2]] for part in parts] if parts[1:] else [len(tensor)]
                if sum(cuts) != len(tensor):
                    raise InputError(
                        folder,
                        f"{name} has {len(tensor)} rows, and config.json describes {sum(cuts)}",
                        _AGAIN,
                    )
                found |= zip(parts, tensor.split(cuts), strict=True)
    return found


def _check(file: Path, key: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise InputError(file, f"{key}: {value!r} is not read, but {allowed[0]!r} alone", _FIX)


def _rows(config: LlamaConfig) -> dict[str, int]:
    """Rows of the parts that share a tensor, by the module's name."""
    head = config.hidden_size // config.num_attention_heads
    shared = head * config.num_key_value_heads
    inner = config.intermediate_size
    return {
        "q_proj": config.hidden_size,
        "k_proj": shared,
        "v_proj": shared,
        "up_proj": inner,
        "gate_proj": inner,
    }


_OUTER = {
    "wte.weight": "model.embed_tokens.weight",
    "ln_f.weight": "model.norm.weight",
    "ff_out.weight": "lm_head.weight",
}
_INNER = {
    "att_proj.weight": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn_out.weight": ("self_attn.o_proj",),
    "ff_proj.weight": ("mlp.up_proj", "mlp.gate_proj"),
    "ff_out.weight": ("mlp.down_proj",),
    "attn_norm.weight": ("input_layernorm",),
    "ff_norm.weight": ("post_attention_layernorm",),
}


def _names(name: str) -> tuple[str, ...]:
    """Llama's tensors that a tensor of the format holds; empty for one that it does not know."""
    own = name.removeprefix(_PREFIX)
    if own == name:
        return ()
    if own in _OUTER:
        return (_OUTER[own],)
    kind, _, rest = own.partition(".")
    layer, _, rest = rest.partition(".")
    if kind != "blocks" or rest not in _INNER:
        return ()
    return tuple(f"model.layers.{layer}.{part}.weight" for part in _INNER[rest])


def _original(name: str) -> str:
    """The format's tensor that one of Llama's is, or is a part of."""
    for own, theirs in _OUTER.items():
        if theirs == name:
            return f"{_PREFIX}{own}"
    _, _, layer, *rest = name.split(".")
    part = ".".join(rest).removesuffix(".weight")
    own = next(own for own, parts in _INNER.items() if part in parts)
    return f"{_PREFIX}blocks.{layer}.{own}"
