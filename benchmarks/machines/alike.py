"""Two training steps by the trainer's own parts, for the bits of the weights.

Run it on two kinds of processors, or under an emulator of one, to see whether they compute alike.

    OMP_NUM_THREADS=1 python benchmarks/machines/alike.py

transformers, which takes an emulator long to import, is replaced: the parts of the trainer that are
used here only name its classes.
"""

import hashlib
import sys
import types
from typing import Any

import numpy as np
import torch

from dataselect.proxies.ladder import Shape

SHAPE = Shape(hidden_size=64, layers=2, heads=2, kv_heads=2, intermediate_size=128)
WORDS, STEPS = 1024, 2


class Names(types.ModuleType):
    """A module in which every name is a class of its own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def parameters() -> dict[str, torch.nn.Parameter]:
    """Parameters of one model, by NumPy's generator: the same on every machine."""
    rng, width = np.random.default_rng(0), SHAPE.hidden_size
    made: dict[str, np.ndarray[Any, Any]] = {}

    def matrix(name: str, *shape: int) -> None:
        made[f"model.{name}.weight"] = rng.standard_normal((1, *shape)) * 0.02

    def norm(name: str) -> None:
        made[f"model.{name}.weight"] = np.ones((1, width))

    matrix("embed_tokens", WORDS, width)
    norm("norm")
    for layer in range(SHAPE.layers):
        block = f"layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            matrix(f"{block}.self_attn.{part}", width, width)
        for part in ("self_attn.q_norm", "self_attn.k_norm"):
            norm(f"{block}.{part}")
        for part in ("post_attention_layernorm", "post_feedforward_layernorm"):
            norm(f"{block}.{part}")
        matrix(f"{block}.mlp.gate_proj", SHAPE.intermediate_size, width)
        matrix(f"{block}.mlp.up_proj", SHAPE.intermediate_size, width)
        matrix(f"{block}.mlp.down_proj", width, SHAPE.intermediate_size)
    return {
        name: torch.nn.Parameter(torch.from_numpy(value.astype(np.float32)))
        for name, value in made.items()
    }


def main() -> None:
    sys.modules["transformers"] = Names("transformers")
    from dataselect.proxies.loss import ChunkedCrossEntropy
    from dataselect.proxies.optimizer import clip
    from dataselect.proxies.population import hidden_states, output_embeddings

    weights = parameters()
    optimizer = torch.optim.AdamW(weights.values(), lr=3e-3, betas=(0.9, 0.95), fused=True)
    print(torch.__version__, torch.backends.cpu.get_cpu_capability())
    for step in range(STEPS):
        tokens = torch.from_numpy(np.random.default_rng(step).integers(0, WORDS, (1, 8, 129)))
        hidden = hidden_states(weights, SHAPE, tokens[..., :-1], torch.float32)
        losses = ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, output_embeddings(weights), tokens[..., 1:].flatten(1), torch.float32
        )
        (losses / tokens[..., 1:].numel()).sum().backward()
        clip(weights.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        bits = b"".join(weight.detach().numpy().tobytes() for weight in weights.values())
        print(step, hashlib.sha256(bits).hexdigest()[:12], flush=True)


if __name__ == "__main__":
    main()
