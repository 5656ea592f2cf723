"""Logits of random hf_olmo checkpoints: read as Llama here, against the network of ai2-olmo.

    python benchmarks/hf_olmo/compare.py UNPACKED

UNPACKED is a folder with the packages `olmo` (from the wheel of ai2-olmo 0.6.0) and `omegaconf`
(2.3.0, with its antlr4 4.9.3), unpacked and not installed: ai2-olmo's own loader needs an older
transformers. Only the trainer's network is imported from it.
"""

import json
import sys
import types
from dataclasses import asdict
from enum import Enum, StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.scoring.loading import load_model

CASES: dict[str, dict[str, Any]] = {
    "as DataDecide": {},
    "tied head": {"weight_tying": True},
    "grouped heads": {"n_kv_heads": 2},
    "other sizes": {"mlp_hidden_size": 96, "rope_theta": 500000},
}
SHAPE: dict[str, Any] = {
    "d_model": 64,
    "n_heads": 8,
    "n_layers": 3,
    "mlp_ratio": 8,
    "rope": True,
    "layer_norm_type": "rms",
    "include_bias": False,
    "bias_for_layer_norm": False,
    "max_sequence_length": 128,
    "vocab_size": 300,
    "embedding_size": 384,
    "weight_tying": False,
    "eos_token_id": 0,
    "pad_token_id": 1,
    "init_device": "cpu",
    "attention_dropout": 0.0,
    "residual_dropout": 0.0,
    "embedding_dropout": 0.0,
}


def network(unpacked: Path) -> tuple[Any, Any]:
    """The classes of the trainer's network and of its configuration."""
    sys.path.insert(0, str(unpacked))
    package, util = types.ModuleType("olmo"), types.ModuleType("olmo.util")
    package.__path__ = [str(unpacked / "olmo")]
    # The module itself needs more packages.
    util.StrEnum = StrEnum  # type: ignore[attr-defined]
    sys.modules |= {"olmo": package, "olmo.util": util}
    from olmo.config import ModelConfig  # type: ignore[import-not-found]
    from olmo.model import OLMo  # type: ignore[import-not-found]

    return OLMo, ModelConfig


def save(model: Any, config: Any, folder: Path) -> None:
    """The model in the format of the trainer's checkpoints on the Hub."""
    tensors = {f"model.{name}": each.clone() for name, each in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    content = {k: str(v) if isinstance(v, Enum) else v for k, v in asdict(config).items()}
    (folder / "config.json").write_text(json.dumps(content | {"model_type": "hf_olmo"}))
    train_tokenizer(iter(["a text"]), 257, split_digits=False).save_pretrained(folder)


def main(unpacked: Path) -> None:
    olmo, model_config = network(unpacked)
    for name, changes in CASES.items():
        torch.manual_seed(3)
        config = model_config(**{**SHAPE, **changes})
        model = olmo(config).eval()
        with torch.inference_mode():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
            ids = torch.randint(0, 300, (2, 100))
            theirs = model(ids).logits
            with TemporaryDirectory() as folder:
                save(model, config, Path(folder))
                ours = load_model(Path(folder), "cpu", "float32").model(ids).logits
        print(f"{name:15} {(ours - theirs).abs().max():.1e} of {theirs.abs().max():.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
