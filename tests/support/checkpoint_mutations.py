"""Mutations of a checkpoint's folder, and what may follow from each.

A mutation is *found* when scoring is refused in one line, *unchanged* when every number is that of
the intact folder. `may_change` lists the only other cases: values that nothing else in the folder
can contradict, so that the mutated folder is another, equally valid model.
"""

import json
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

from mutations import Files, Mutation, byte_change, json_change, paths, spell

# What only the config knows --------------------------------------------------------------------

ONLY_THE_CONFIG_KNOWS: Mapping[str, str] = {
    "hidden_act": "the activation has no tensor",
    "hidden_activation": "the activation has no tensor",
    "activation_function": "the activation has no tensor",
    "rms_norm_eps": "a constant of the norms",
    "layer_norm_eps": "a constant of the norms",
    "layer_norm_epsilon": "a constant of the norms",
    "rope_parameters": "positions by rotation have no tensor",
    "rope_theta": "positions by rotation have no tensor",
    "rope_type": "positions by rotation have no tensor",
    "rope_scaling": "positions by rotation have no tensor",
    "partial_rotary_factor": "positions by rotation have no tensor",
    "rotary_pct": "positions by rotation have no tensor",
    "rotary_emb_base": "positions by rotation have no tensor",
    "max_position_embeddings": "how long a text the model takes; shorter ones lose examples",
    "n_positions": "how long a text the model takes; shorter ones lose examples",
    "num_attention_heads": "the cut of a projection into heads; of one shape for all cuts",
    "num_key_value_heads": "the cut of a projection into heads; of one shape for all cuts",
    "n_head": "the cut of a projection into heads; of one shape for all cuts",
    "head_dim": "the cut of a projection into heads; of one shape for all cuts",
    "sliding_window": "how far back a layer looks",
    "use_sliding_window": "how far back a layer looks",
    "max_window_layers": "how far back a layer looks",
    "layer_types": "how far back a layer looks",
    "attn_logit_softcapping": "a constant of the attention",
    "final_logit_softcapping": "a constant of the head",
    "query_pre_attn_scalar": "a constant of the attention",
    "scale_attn_weights": "a constant of the attention",
    "scale_attn_by_inverse_layer_idx": "a constant of the attention",
    "reorder_and_upcast_attn": "the precision of the attention",
    "use_parallel_residual": "where the residual is added",
    "apply_residual_connection_post_layernorm": "where the residual is added",
    "residual_in_fp32": "the precision of the residual",
    "time_step_floor": "a constant of the state space",
    "time_step_min": "a constant of the state space",
    "time_step_max": "a constant of the state space",
    "expand": "the cut of a projection",
    "conv_kernel": "a constant of the state space",
    "use_bidirectional_attention": "which tokens attention sees",
}
"""Keys of config.json whose value no tensor and no other file can contradict, and why."""

ENDS_ANSWERS = ("eos_token_id", "eos_token")
"""What ends a generated answer: it changes what is generated, and no likelihood."""
GENERATED = frozenset({"output", "ted", "ted_per_token", "ted_tokens"})

ADDED_KEYS: tuple[tuple[str, Any], ...] = (
    ("auto_map", {"AutoModelForCausalLM": "modeling_x.XForCausalLM"}),
    ("quantization_config", {"quant_method": "gptq", "bits": 4}),
    ("quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}),
    ("return_dict", False),
    ("use_return_dict", False),
    ("output_hidden_states", True),
    ("output_attentions", True),
    ("torchscript", True),
    ("pruned_heads", {"0": [0]}),
    ("is_encoder_decoder", True),
    ("is_decoder", True),
    ("add_cross_attention", True),
    ("chunk_size_feed_forward", 4),
    ("attn_implementation", "flash_attention_2"),
    ("model_type", "gemma"),
    ("model_type", "mistral"),
    ("model_type", "smollm3"),
    ("model_type", "granite"),
    ("model_type", "helium"),
    ("model_type", "gpt_bigcode"),
    ("architectures", ["LlamaForSequenceClassification"]),
    ("architectures", None),
    ("attention_bias", True),
    ("mlp_bias", True),
    ("tie_word_embeddings", True),
    ("tie_word_embeddings", False),
    ("num_labels", 3),
    ("id2label", {"0": "x"}),
    ("name_or_path", "another/model"),
    ("_name_or_path", "../../etc"),
    ("text_config", {"hidden_size": 8}),
    ("dtype", "bfloat16"),
    ("torch_dtype", "float16"),
    ("dtype", "float8"),
    ("use_cache", False),
    ("tokenizer_class", "GPT2Tokenizer"),
    ("prefix", "Say: "),
    ("task_specific_params", {"text-generation": {"do_sample": True}}),
    ("bos_token_id", [1, 2]),
    ("suppress_tokens", [5]),
    ("transformers_weights", "other.safetensors"),
    ("hidden_size", 64),
    ("vocab_size", 17),
)

TOKENIZER_SETTINGS: tuple[tuple[str, Any], ...] = (
    *(
        ("tokenizer_class", name)
        for name in (
            "GPT2Tokenizer",
            "GPT2TokenizerFast",
            "GPTNeoXTokenizerFast",
            "CodeGenTokenizer",
            "Qwen2Tokenizer",
            "LlamaTokenizer",
            "LlamaTokenizerFast",
            "GemmaTokenizer",
            "BertTokenizer",
            "T5Tokenizer",
            "XLNetTokenizer",
            "Unknown",
            "",
            None,
            3,
        )
    ),
    *((key, flag) for key in ("add_bos_token", "add_eos_token") for flag in (True, False, "no")),
    ("add_prefix_space", True),
    ("add_prefix_space", False),
    ("split_special_tokens", True),
    ("clean_up_tokenization_spaces", True),
    ("do_lower_case", True),
    ("strip_accents", True),
    ("legacy", False),
    ("from_slow", True),
    ("use_fast", False),
    ("model_max_length", 4),
    ("model_max_length", "many"),
    ("unk_token", "a"),
    ("pad_token", "is"),
    ("bos_token", "What"),
    ("bos_token", {"content": "e", "lstrip": True, "__type": "AddedToken"}),
    ("eos_token", "12"),
    ("eos_token", 5),
    ("sep_token", " "),
    ("additional_special_tokens", ["sum", "eggs"]),
    ("extra_special_tokens", {"image_token": "the"}),
    ("extra_special_tokens", ["We"]),
    ("added_tokens_decoder", {"5": {"content": "is", "special": True}}),
    ("added_tokens_decoder", {"9999": {"content": "eggs"}}),
    ("added_tokens_decoder", "none"),
    ("tokenizer_file", "../other/tokenizer.json"),
    ("auto_map", {"AutoTokenizer": ["tokenization_x.X", None]}),
    ("chat_template", 5),
    ("truncation_side", "left"),
    ("padding_side", "nowhere"),
    ("backend", "sentencepiece"),
    ("fast_tokenizer_files", ["tokenizer.4.0.0.json"]),
)

_BESIDE: tuple[tuple[str, Any], ...] = (
    ("special_tokens_map.json", {"unk_token": "a", "eos_token": "12"}),
    ("special_tokens_map.json", {"additional_special_tokens": ["is"]}),
    ("special_tokens_map.json", []),
    ("added_tokens.json", {"is": 7}),
    ("added_tokens.json", {"eggs": 5000}),
    ("vocab.json", {"a": 0, "b": 1}),
    ("merges.txt", "#version: 0.2\na b\n"),
    ("vocab.txt", "a\nb\n"),
    ("tokenizer.model", "no sentencepiece"),
    ("chat_template.jinja", "{{ messages[0] }}"),
    ("generation_config.json", {"max_length": 3, "do_sample": True, "temperature": 0.1}),
    ("generation_config.json", {"repetition_penalty": "high"}),
    ("generation_config.json", []),
    ("preprocessor_config.json", {"do_resize": True}),
    ("processor_config.json", {"processor_class": "X"}),
    ("modeling_x.py", "raise SystemExit('foreign code ran')"),
    ("tokenization_x.py", "raise SystemExit('foreign code ran')"),
    ("tf_model.h5", "no tensors"),
)


def may_change(mutation: Mutation) -> bool | frozenset[str]:
    """Whether the folder is another valid model: True, or the columns that may then differ."""
    leaf = [part for part in mutation.where.split(".") if not part.isdigit()]
    if mutation.area == "config":
        if any(part in ONLY_THE_CONFIG_KNOWS for part in leaf):
            return True
        return GENERATED if any(part in ENDS_ANSWERS for part in leaf) else False
    if mutation.area == "tokenizer settings":
        return GENERATED if any(part in ENDS_ANSWERS for part in leaf) else False
    if mutation.area == "beside":
        return GENERATED if mutation.where == "special_tokens_map.json" else False
    # A file of its own kind: no other file says what is in it.
    return mutation.area in ("tokenizer.json", "weight values")


# Making them -----------------------------------------------------------------------------------


def mutate(files: Files, draw: random.Random, others: Mapping[str, Files]) -> Mutation:
    """One mutation of a folder with config, tokenizer and one file of weights.

    `others` are folders of other architectures, by name, that values are taken from.
    """
    while True:
        area = draw.choice(_AREAS)
        made = area(files, draw, others)
        if made is not None and made.files != files:
            return made


def _config(files: Files, draw: random.Random, others: Mapping[str, Files]) -> Mutation | None:
    config = json.loads(files["config.json"])
    if draw.random() < 0.2:
        name = draw.choice(sorted(others))
        other = json.loads(others[name]["config.json"])
        shared = [key for key in other if key in config and config[key] != other[key]]
        if not shared:
            return None
        key = draw.choice(shared)
        changed = {**config, key: other[key]}
        return _json(files, "config", f"as of {name}", key, "config.json", changed)
    if draw.random() < 0.3:
        key, value = draw.choice(ADDED_KEYS)
        changed = {**config, key: value}
        return _json(files, "config", "set", key, "config.json", changed, value)
    kind, path, changed = json_change(config, draw, list(paths(config)))
    return _json(files, "config", kind, spell(path), "config.json", changed)


def _config_bytes(files: Files, draw: random.Random, _: Mapping[str, Files]) -> Mutation:
    """A byte of the file, whatever it belongs to: told by which key the line has."""
    data = files["config.json"]
    kind, place, made = byte_change(data, draw, 0, len(data))
    line = data[data.rfind(b"\n", 0, place) + 1 :].split(b"\n", 1)[0]
    opened = data[:place].count(b"{")
    # Inside an object the key of the object counts as well.
    before = data[:place].rfind(b": {") if opened > 1 else -1
    outer = data[:before].rsplit(b'"', 2)[1:2] if before > 0 else []
    names = [
        *(each.decode() for each in outer),
        line.split(b'"')[1].decode() if b'"' in line else "",
    ]
    return Mutation("config", f"byte: {kind}", ".".join(names), {**files, "config.json": made})


def _tokenizer(files: Files, draw: random.Random, others: Mapping[str, Files]) -> Mutation | None:
    if draw.random() < 0.15:
        name = draw.choice(sorted(others))
        part = {"tokenizer.json": others[name]["tokenizer.json"]}
        return Mutation("tokenizer.json", f"as of {name}", "all", {**files, **part})
    if draw.random() < 0.2:
        data = files["tokenizer.json"]
        kind, place, made = byte_change(data, draw, 0, len(data))
        return Mutation(
            "tokenizer.json", f"byte: {kind}", str(place), {**files, "tokenizer.json": made}
        )
    content = json.loads(files["tokenizer.json"])
    chosen = [path for path in paths(content) if "vocab" not in path and "merges" not in path]
    some = list(paths(content["model"].get("vocab", [])))[:40]
    chosen += [("model", "vocab", *path) for path in some[:40]]
    kind, path, changed = json_change(content, draw, chosen)
    return _json(files, "tokenizer.json", kind, spell(path), "tokenizer.json", changed)


def _settings(files: Files, draw: random.Random, _: Mapping[str, Files]) -> Mutation:
    name = "tokenizer_config.json"
    config = json.loads(files[name])
    if draw.random() < 0.7:
        key, value = draw.choice(TOKENIZER_SETTINGS)
        changed = {**config, key: value}
        return _json(files, "tokenizer settings", "set", key, name, changed, value)
    if draw.random() < 0.1:
        left = {key: data for key, data in files.items() if key != name}
        return Mutation("tokenizer settings", "removed", "eos_token", left)
    kind, path, changed = json_change(config, draw, list(paths(config)))
    return _json(files, "tokenizer settings", kind, spell(path), name, changed)


def _beside(files: Files, draw: random.Random, _: Mapping[str, Files]) -> Mutation | None:
    name, content = draw.choice(_BESIDE)
    if name in files:
        return None
    data = content if isinstance(content, str) else json.dumps(content)
    return Mutation("beside", "added", name, {**files, name: data.encode()}, data)


def _json(
    files: Files, area: str, kind: str, where: str, name: str, content: Any, value: Any = None
) -> Mutation:
    data = json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")
    shown: Any = content
    if value is None:
        for part in where.split("."):
            key = int(part) if isinstance(shown, list) and part.isdigit() else part
            try:
                shown = shown[key]
            except (KeyError, IndexError, TypeError):
                shown = ""
                break
        value = shown
    return Mutation(area, kind, where, {**files, name: data}, json.dumps(value))


# Weights ---------------------------------------------------------------------------------------

Tensors = dict[str, tuple[str, list[int], bytes]]
"""(dtype, shape, data) by name."""


def read_tensors(data: bytes) -> Tensors:
    """The tensors of a safetensors file."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    return {
        name: (each["dtype"], each["shape"], body[slice(*each["data_offsets"])])
        for name, each in header.items()
        if name != "__metadata__"
    }


def write_tensors(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file, by hand: nothing is checked."""
    header: dict[str, Any] = {"__metadata__": dict(metadata or {"format": "pt"})}
    body = b""
    for name, (dtype, shape, data) in tensors.items():
        place = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": place}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def _weights(files: Files, draw: random.Random, others: Mapping[str, Files]) -> Mutation | None:
    tensors = read_tensors(files[_WEIGHTS])
    name = draw.choice(sorted(tensors))
    kind = draw.choice(sorted(_TENSOR_CHANGES))
    changed = _TENSOR_CHANGES[kind](tensors, name, draw, others)
    if changed is None:
        return None
    return Mutation("weights", kind, name, {**files, _WEIGHTS: write_tensors(changed)})


def _dropped(tensors: Tensors, name: str, *_: Any) -> Tensors:
    return {key: value for key, value in tensors.items() if key != name}


def _renamed(tensors: Tensors, name: str, draw: random.Random, _: Any) -> Tensors | None:
    other = draw.choice(
        [
            f"module.{name}",
            f"{name}_orig",
            name.replace("weight", "bias"),
            name.replace(".0.", ".2."),
            name.split(".", 1)[-1],
            name.upper(),
        ]
    )
    if other in tensors:
        return None
    return {(other if key == name else key): value for key, value in tensors.items()}


def _added(tensors: Tensors, name: str, draw: random.Random, others: Any) -> Tensors | None:
    dtype, shape, data = tensors[name]
    other = draw.choice(
        [
            name.replace("weight", "bias"),
            name.replace(".1.", ".2."),
            name.replace(".0.", ".7."),
            "model.layers.0.self_attn.q_norm.weight",
            "lm_head.bias",
            "score.weight",
            "model.layers.0.mlp.experts.0.up_proj.weight",
            f"{name}_scale",
        ]
    )
    if other in tensors:
        return None
    if other.endswith("bias"):
        shape, data = shape[:1], data[: len(data) // max(1, len(data) // (4 * shape[0]))]
    return {**tensors, other: (dtype, shape, data)}


def _reshaped(tensors: Tensors, name: str, draw: random.Random, _: Any) -> Tensors | None:
    dtype, shape, data = tensors[name]
    others = [[1, *shape], [*shape, 1], shape[::-1], [len(data) // 4]]
    if len(shape) > 1 and shape[0] % 2 == 0:
        others.append([shape[0] // 2, shape[1] * 2, *shape[2:]])
    other = draw.choice(others)
    return None if other == shape else {**tensors, name: (dtype, other, data)}


def _resized(tensors: Tensors, name: str, draw: random.Random, _: Any) -> Tensors | None:
    """A row less, or the first row twice."""
    dtype, shape, data = tensors[name]
    row = len(data) // shape[0]
    if draw.random() < 0.5:
        return {**tensors, name: (dtype, [shape[0] + 1, *shape[1:]], data + data[:row])}
    return {**tensors, name: (dtype, [shape[0] - 1, *shape[1:]], data[row:])}


def _labelled(tensors: Tensors, name: str, draw: random.Random, _: Any) -> Tensors:
    """The same bytes under the name of another dtype of the same size."""
    _, shape, data = tensors[name]
    return {**tensors, name: (draw.choice(["I32", "U32"]), shape, data)}


def _mislabelled(tensors: Tensors, name: str, draw: random.Random, _: Any) -> Tensors:
    """The same bytes under the name of a dtype of another size, or of none."""
    _, shape, data = tensors[name]
    label = draw.choice(["F16", "BF16", "F64", "I64", "F8_E4M3", "f32", "F33", ""])
    return {**tensors, name: (label, shape, data)}


def _emptied(tensors: Tensors, name: str, *_: Any) -> Tensors:
    dtype, shape, _ = tensors[name]
    return {**tensors, name: (dtype, [0, *shape[1:]], b"")}


def _broken(tensors: Tensors, name: str, draw: random.Random, _: Any) -> Tensors:
    """NaN or an infinity all over."""
    dtype, shape, data = tensors[name]
    value = draw.choice([float("nan"), float("inf")])
    return {**tensors, name: (dtype, shape, struct.pack("<f", value) * (len(data) // 4))}


TensorChange = Callable[[Tensors, str, random.Random, Any], Tensors | None]
_TENSOR_CHANGES: dict[str, TensorChange] = {
    "dropped": _dropped,
    "renamed": _renamed,
    "added": _added,
    "reshaped": _reshaped,
    "resized": _resized,
    "as integers": _labelled,
    "dtype renamed": _mislabelled,
    "emptied": _emptied,
    "not finite": _broken,
}


def _weight_bytes(files: Files, draw: random.Random, _: Mapping[str, Files]) -> Mutation:
    data = files[_WEIGHTS]
    (length,) = struct.unpack("<Q", data[:8])
    if draw.random() < 0.7:
        kind, place, made = byte_change(data, draw, 0, 8 + length)
        area = "weight header"
        around = data[max(0, place - 20) : place + 20]
        return Mutation(area, kind, str(place), {**files, _WEIGHTS: made}, around.decode("latin-1"))
    place = draw.randrange(8 + length, len(data))
    flipped = bytes([data[place] ^ (1 << draw.randrange(8))])
    made = data[:place] + flipped + data[place + 1 :]
    return Mutation("weight values", "bit flipped", str(place), {**files, _WEIGHTS: made})


def _parts(files: Files, draw: random.Random, _: Mapping[str, Files]) -> Mutation | None:
    """The same weights in two files with an index, and a fault in how they hang together."""
    tensors = read_tensors(files[_WEIGHTS])
    names = sorted(tensors)
    homes = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    parts = [{name: tensors[name] for name in names[n::2]} for n in (0, 1)]
    where = {name: homes[n] for n in (0, 1) for name in parts[n]}
    made = {name: data for name, data in files.items() if name != _WEIGHTS}
    made |= {home: write_tensors(part) for home, part in zip(homes, parts, strict=True)}
    index = {"metadata": {"total_size": sum(len(each[2]) for each in tensors.values())}}
    name = draw.choice(names)
    kind = draw.choice([*_INDEX_FAULTS, *_PART_FAULTS])
    if kind in _INDEX_FAULTS:
        _INDEX_FAULTS[kind](where, index, name, homes)
    else:
        made |= _PART_FAULTS[kind](made, tensors, homes, name, where)
        made = {each: data for each, data in made.items() if data != b"none"}
    made[_INDEX] = json.dumps({**index, "weight_map": where}).encode()
    if draw.random() < 0.1:
        kind, made[_INDEX] = "index is cut off", made[_INDEX][: draw.randrange(len(made[_INDEX]))]
    elif draw.random() < 0.1:
        kind = "index is lost"
        del made[_INDEX]
    return Mutation("parts", kind, name, made)


def _points_elsewhere(where: dict[str, str], _: Any, name: str, homes: list[str]) -> None:
    where[name] = homes[where[name] == homes[0]]


def _points_nowhere(where: dict[str, str], _: Any, name: str, __: list[str]) -> None:
    where[name] = "model-00003-of-00003.safetensors"


def _lacks_a_tensor(where: dict[str, str], _: Any, name: str, __: list[str]) -> None:
    del where[name]


def _names_one_more(where: dict[str, str], _: Any, name: str, homes: list[str]) -> None:
    where[f"{name}_more"] = homes[0]


def _another_size(_: dict[str, str], index: Any, __: str, ___: list[str]) -> None:
    index["metadata"]["total_size"] += 4


_INDEX_FAULTS: dict[str, Callable[[dict[str, str], Any, str, list[str]], None]] = {
    "index points elsewhere": _points_elsewhere,
    "index points nowhere": _points_nowhere,
    "index lacks a tensor": _lacks_a_tensor,
    "index names one more": _names_one_more,
    "total size": _another_size,
}


def _in_both(
    _: Files, tensors: Tensors, homes: list[str], name: str, where: dict[str, str]
) -> Files:
    home = homes[where[name] == homes[0]]
    part = {each: tensors[each] for each in tensors if where[each] == home}
    return {home: write_tensors({**part, name: _stale(tensors)[name]})}


# b"none" is a file that is lost.
_PART_FAULTS: dict[str, Callable[[Files, Tensors, list[str], str, dict[str, str]], Files]] = {
    "part is lost": lambda made, tensors, homes, name, where: {where[name]: b"none"},
    "part is cut off": lambda made, tensors, homes, name, where: {
        where[name]: made[where[name]][: len(made[where[name]]) // 2]
    },
    "parts are exchanged": lambda made, tensors, homes, name, where: {
        homes[0]: made[homes[1]],
        homes[1]: made[homes[0]],
    },
    "stale single file": lambda made, tensors, homes, name, where: {
        _WEIGHTS: write_tensors(_stale(tensors))
    },
    "same single file": lambda made, tensors, homes, name, where: {
        _WEIGHTS: write_tensors(tensors)
    },
    "stale part beside": lambda made, tensors, homes, name, where: {
        "model-00001-of-00003.safetensors": write_tensors(_stale(tensors))
    },
    "tensor in both parts": _in_both,
}


def _stale(tensors: Tensors) -> Tensors:
    """The same names with other values: an earlier save."""
    return {name: (dtype, shape, data[::-1]) for name, (dtype, shape, data) in tensors.items()}


def _more_weights(files: Files, draw: random.Random, _: Mapping[str, Files]) -> Mutation:
    """Files of weights beside the whole model."""
    tensors = read_tensors(files[_WEIGHTS])
    adapter = {"base_model.model.x.lora_A.weight": next(iter(tensors.values()))}
    settings = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": "x/y"}
    kind, more = draw.choice(
        [
            (
                "adapter",
                {
                    "adapter_model.safetensors": write_tensors(adapter),
                    "adapter_config.json": json.dumps(settings).encode(),
                },
            ),
            ("adapter without settings", {"adapter_model.safetensors": write_tensors(adapter)}),
            ("settings of an adapter", {"adapter_config.json": json.dumps(settings).encode()}),
            ("another file", {"consolidated.safetensors": write_tensors(_stale(tensors))}),
            ("variant", {"model.fp16.safetensors": write_tensors(_stale(tensors))}),
            ("pickle", {"pytorch_model.bin": b"\x80\x02no pickle"}),
            ("no safetensors", {_WEIGHTS: b"version https://git-lfs.github.com/spec/v1\nsize 9\n"}),
            ("empty", {_WEIGHTS: b""}),
            ("other format", {_WEIGHTS: write_tensors(tensors, {"format": "mlx"})}),
        ]
    )
    return Mutation("more weights", kind, "folder", {**files, **more})


_AREAS: tuple[Callable[[Files, random.Random, Mapping[str, Files]], Mutation | None], ...] = (
    _config,
    _config,
    _config,
    _config_bytes,
    _tokenizer,
    _settings,
    _beside,
    _weights,
    _weights,
    _weight_bytes,
    _parts,
    _more_weights,
)
