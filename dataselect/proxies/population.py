"""Olmo2 models of one shape as one program: stacked parameters, one forward pass for all.

Tiny models leave a GPU idle: a matrix of 64 x 64 does not fill it, and a launch costs more than
the matmul. Stacked, all candidates' proxies take about as many launches as one. Each model has its
own parameters and tokens, independent of the others. A single model trains as a population of one,
so there is one code path to test. On a CPU stacking gains nothing.

The architecture is that of transformers' Olmo2 (norms after attention and feed-forward, norms on
queries and keys, rotary positions, SwiGLU); checkpoints are saved through its classes, and the
tests compare this forward pass with theirs.
"""

from collections.abc import Mapping, Sequence

import torch
from torch.nn import Parameter
from torch.nn.functional import embedding, rms_norm, scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint
from transformers import Olmo2ForCausalLM

from dataselect.proxies.attention import causal_attention
from dataselect.proxies.ladder import Shape
from dataselect.proxies.model import NORM_EPSILON, ROPE_THETA


def stack(models: Sequence[Olmo2ForCausalLM], device: torch.device) -> dict[str, Parameter]:
    """The models' parameters by their transformers names, each of shape (models, ...)."""
    every = [dict(model.named_parameters()) for model in models]
    return {
        name: Parameter(torch.stack([each[name].detach() for each in every]).to(device))
        for name in every[0]
    }


def copy_into(
    model: Olmo2ForCausalLM, parameters: Mapping[str, torch.Tensor], member: int
) -> Olmo2ForCausalLM:
    """Copy one member's parameters into `model`, which is returned."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(parameters[name][member])
    return model


def output_embeddings(parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Matrix that maps hidden states to logits, (models, vocabulary, hidden)."""
    return parameters.get("lm_head.weight", parameters["model.embed_tokens.weight"])


def hidden_states(
    parameters: Mapping[str, torch.Tensor],
    shape: Shape,
    tokens: torch.Tensor,
    dtype: torch.dtype,
    recompute: bool = False,
) -> torch.Tensor:
    """Hidden states after the last norm, (models, sequences * length, hidden), float32.

    `tokens` (models, sequences, length); `dtype` is the matmul type, while the residual stream
    stays in float32. With `recompute` only each block's input is kept, and the backward pass
    recomputes the block: the same bits in a fraction of the memory.
    """
    models, sequences, length = tokens.shape
    rows, size = models * sequences, shape.hidden_size // shape.heads
    # On a CPU scores stay in float32; torch's attention is slower for narrow heads and in bf16
    # (docs/decisions.md).
    attention_dtype = dtype if tokens.is_cuda else torch.float32
    use_matmul_attention = not tokens.is_cuda and (size <= 16 or dtype == torch.bfloat16)
    cosine, sine = _rotation(length, size, attention_dtype, tokens.device)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.bmm(x.to(dtype), parameters[f"{name}.weight"].to(dtype).transpose(1, 2))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scaled = rms_norm(x, x.shape[-1:], eps=NORM_EPSILON)
        return scaled * parameters[f"{name}.weight"].to(x.dtype)[:, None]

    def heads(x: torch.Tensor, count: int) -> torch.Tensor:
        return x.view(rows, length, count, size).to(attention_dtype)

    def block(x: torch.Tensor, layer: int) -> torch.Tensor:
        name = f"model.layers.{layer}"
        y, attention = x.to(dtype), f"{name}.self_attn"
        queries = heads(norm(linear(y, f"{attention}.q_proj"), f"{attention}.q_norm"), shape.heads)
        keys = heads(norm(linear(y, f"{attention}.k_proj"), f"{attention}.k_norm"), shape.kv_heads)
        values = heads(linear(y, f"{attention}.v_proj"), shape.kv_heads)
        queries, keys = _rotated(queries, cosine, sine), _rotated(keys, cosine, sine)
        if use_matmul_attention:
            mixed = causal_attention(queries, keys, values, dtype)
        else:
            mixed = scaled_dot_product_attention(
                queries.transpose(1, 2),
                keys.transpose(1, 2),
                values.transpose(1, 2),
                is_causal=True,
                enable_gqa=shape.kv_heads != shape.heads,
            ).transpose(1, 2)
        mixed = mixed.reshape(models, sequences * length, shape.hidden_size)
        mixed = linear(mixed, f"{attention}.o_proj")
        x = x + norm(mixed, f"{name}.post_attention_layernorm")
        y = x.to(dtype)
        gated = silu(linear(y, f"{name}.mlp.gate_proj")) * linear(y, f"{name}.mlp.up_proj")
        mixed = linear(gated, f"{name}.mlp.down_proj")
        return x + norm(mixed, f"{name}.post_feedforward_layernorm")

    embeddings = parameters["model.embed_tokens.weight"]
    first_row = torch.arange(models, device=tokens.device)[:, None] * embeddings.shape[1]
    x = embedding(tokens.flatten(1) + first_row, embeddings.flatten(0, 1))
    for layer in range(shape.layers):
        # Blocks use no random numbers, so there is no generator state to keep.
        x = (
            checkpoint(block, x, layer, use_reentrant=False, preserve_rng_state=False)
            if recompute
            else block(x, layer)
        )
    return norm(x, "model.norm")


def _rotation(
    length: int, size: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary positions, each (length, 1, size)."""
    steps = torch.arange(0, size, 2, device=device).float() / size
    angles = torch.outer(torch.arange(length, device=device).float(), ROPE_THETA**-steps)
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotated(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine
