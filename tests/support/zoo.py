"""Small random models of many architectures, with tokenizers of many kinds, saved by hand.

A folder is written here file by file, not by `save_pretrained`, so that a test decides what each
file says: the same model can then be saved in every way that other programs save it.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

VOCABULARY = 384
CORPUS = (
    "Question: What is the sum of 12 and 345?\nAnswer: First, 12 and 345 are added. That is 357.",
    "Ann's café sells 1990 crêpes for €5 each — 日本語 too.\n\n    def f(x):\n\treturn x + 1\n",
    "We add 17 and 3400, which makes 3417. Is it so? It is; they're 650841823 eggs in 1990.",
)
END = "<|endoftext|>"


# Tokenizers ---------------------------------------------------------------------------------


@cache
def tokenizer_files(kind: str) -> tuple[str, str]:
    """tokenizer.json and tokenizer_config.json of a tokenizer, as texts.

    `bytes`: byte-level BPE, as OLMo and Llama 3 split text. `bytes-bos`: the same with a BOS before
    every text. `gpt2`: byte-level BPE with GPT-2's own pattern. `digits`: every digit alone.
    `sentencepiece`: BPE with ▁ for spaces and bytes for unknown letters, as Llama 2 and Mistral.
    `metaspace`: the same by a pre-tokenizer, as newer conversions have it. `unigram`: the other
    model of SentencePiece.
    """
    made = _TOKENIZERS[kind]()
    config: dict[str, Any] = {
        "tokenizer_class": "TokenizersBackend",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "eos_token": "</s>" if kind in SENTENCEPIECE else END,
    }
    if kind in SENTENCEPIECE:
        config |= {"bos_token": "<s>", "unk_token": "<unk>"}
    elif kind == "bytes-bos":
        config |= {"bos_token": "<|begin|>"}
    return made.to_str(pretty=True), json.dumps(config, indent=2)


SENTENCEPIECE = ("sentencepiece", "metaspace", "unigram")
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_level(*before: Any, special: tuple[str, ...] = (END,), words: bool = True) -> Any:
    """Byte-level BPE after other splits; `words` splits by GPT-2's pattern as well."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    made.pre_tokenizer = pre_tokenizers.Sequence([*before, level]) if before else level
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS * 3, trainer)
    return made


def _modern(special: tuple[str, ...] = (END,)) -> Any:
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(_PATTERN), "isolated")
    return _byte_level(split, special=special, words=False)


def _with_bos() -> Any:
    from tokenizers import processors

    made = _modern((END, "<|begin|>"))
    made.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[("<|begin|>", 1)]
    )
    return made


def _digits() -> Any:
    from tokenizers import pre_tokenizers

    return _byte_level(pre_tokenizers.Digits(individual_digits=True))


def _sentencepiece(metaspace: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    else:
        made.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    # It is trained on words, as SentencePiece is: the merges do not cross spaces.
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    raw = [f"<0x{byte:02X}>" for byte in range(256)]
    special = ["<unk>", "<s>", "</s>"]
    room = VOCABULARY - 256
    letters = sorted({letter for text in CORPUS for letter in text if " " < letter < "\x7f"})
    learner.train_from_iterator(
        CORPUS * 3,
        trainers.BpeTrainer(
            vocab_size=room,
            special_tokens=special,
            limit_alphabet=len(letters) + 1,
            initial_alphabet=["▁", *letters],
            show_progress=False,
        ),
    )
    model = json.loads(learner.to_str())["model"]
    order = [name for name, _ in sorted(model["vocab"].items(), key=lambda pair: pair[1])]
    vocabulary = {name: n for n, name in enumerate([*special, *raw, *order[len(special) :]])}
    merges = [tuple(each) for each in model["merges"]]
    made.model = models.BPE(
        vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return _opened(made, special)


def _unigram() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    made.decoder = decoders.Metaspace("▁", prepend_scheme="always", split=True)
    special = ["<unk>", "<s>", "</s>"]
    made.train_from_iterator(
        CORPUS * 3,
        trainers.UnigramTrainer(
            vocab_size=VOCABULARY,
            special_tokens=special,
            # Texts with unknown letters are refused.
            initial_alphabet=[chr(code) for code in (9, 10, *range(33, 127))],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    return _opened(made, special)


def _opened(made: Any, special: list[str]) -> Any:
    """With special tokens that are none of a text's letters, and `<s>` before every text."""
    from tokenizers import AddedToken, processors

    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return made


_TOKENIZERS = {
    "bytes": _modern,
    "bytes-bos": _with_bos,
    "gpt2": _byte_level,
    "digits": _digits,
    "sentencepiece": lambda: _sentencepiece(False),
    "metaspace": lambda: _sentencepiece(True),
    "unigram": _unigram,
}
TOKENIZERS = tuple(_TOKENIZERS)


# Models -------------------------------------------------------------------------------------

_SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 512,
}
_CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**_SHAPE, "num_key_value_heads": 1},
    "mistral": {**_SHAPE, "num_key_value_heads": 1, "sliding_window": None},
    "qwen2": {**_SHAPE, "num_key_value_heads": 1},
    "qwen3": {**_SHAPE, "num_key_value_heads": 1, "head_dim": 8},
    "olmo2": {**_SHAPE},
    "gpt_neox": {**_SHAPE},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 512},
    "gemma2": {**_SHAPE, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 64},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 4},
    "phi": {**_SHAPE},
}
ARCHITECTURES = tuple(_CONFIGS)
TIED = ("gemma2", "gpt2", "bloom", "mamba")
"""Architectures whose head is the embedding unless a config says otherwise."""


def make_model(
    architecture: str, seed: int = 0, vocabulary: int = VOCABULARY, **changes: Any
) -> Any:
    """A random causal LM in memory, fp32; every parameter is drawn, biases and norms too.

    A fresh model's norms are ones and its biases zeros: one that lost them would score the same.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    values = {"vocab_size": vocabulary, **tokens, **_CONFIGS[architecture], **changes}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **values))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if parameter.ndim > 1 and "conv" not in name and "A_log" not in name:
                parameter.copy_(0.3 * noise)
            else:
                parameter.add_(0.2 * noise)
    return model.eval()


def write_config(folder: Path, model: Any, **changes: Any) -> None:
    """config.json as the model's library writes it, with changes."""
    content = {**model.config.to_diff_dict(), **changes}
    content.setdefault("architectures", [type(model).__name__])
    content["model_type"] = model.config.model_type
    (folder / "config.json").write_text(json.dumps(content, indent=2, default=str))


def tensors_of(model: Any, *, head: bool | None = None) -> dict[str, Any]:
    """The tensors to save, by name; `head` says whether to store a head that is tied."""
    tied = set(model.all_tied_weights_keys) if model.config.tie_word_embeddings else set()
    kept = dict(model.state_dict())
    return {
        name: tensor.detach().clone().contiguous()
        for name, tensor in kept.items()
        if head or name not in tied
    }


def write_weights(folder: Path, tensors: Mapping[str, Any], shards: int = 0) -> None:
    """One file, or `shards` files with their index."""
    from safetensors.torch import save_file

    if not shards:
        save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    where = {}
    for n in range(shards):
        file = f"model-{n + 1:05}-of-{shards:05}.safetensors"
        chosen = names[n::shards]
        part = {name: tensors[name] for name in chosen}
        save_file(part, folder / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(chosen, file))
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def write_tokenizer(folder: Path, kind: str, **changes: Any) -> None:
    """tokenizer.json and tokenizer_config.json, with changes to the latter; None removes a key."""
    file, config = tokenizer_files(kind)
    content = {**json.loads(config), **changes}
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "tokenizer.json").write_text(file)
    (folder / "tokenizer_config.json").write_text(json.dumps(content, indent=2))


def write_model(
    folder: Path, architecture: str = "llama", tokenizer: str = "bytes", seed: int = 0
) -> Path:
    """A model saved plainly: one file, fp32, no tied head, the neutral tokenizer class."""
    folder.mkdir(parents=True, exist_ok=True)
    model = make_model(architecture, seed)
    write_config(folder, model)
    write_weights(folder, tensors_of(model))
    write_tokenizer(folder, tokenizer)
    return folder
