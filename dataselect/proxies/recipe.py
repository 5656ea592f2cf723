"""The recipe: an exact training run, made from a plan's `proxy`.

Separate from the trainer so that a run's keys and costs are computed without importing torch
(which takes seconds at every start of the command).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dataselect.config.proxy import Proxy
from dataselect.errors import InputError
from dataselect.proxies.kernels import FUSED_VERSION, Kernels, choose_kernels
from dataselect.proxies.ladder import LADDER, LADDER_SEQUENCE_LENGTH, Shape
from dataselect.units import chinchilla_tokens

TRAINER_VERSION = 4
"""Part of every proxy's key; increase it when the same recipe would give other weights."""

WANTED_STEPS = 250
"""Small budgets get smaller batches until there are about this many steps (docs/decisions.md)."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a training run, except its data and tokenizer."""

    shape: Shape
    """The architecture."""
    vocab_size: int
    """Entries of the tokenizer, and rows of the embeddings."""
    steps: int
    """Optimizer steps."""
    batch_size: int
    """Sequences in a step."""
    sequence_length: int
    """Tokens in a sequence."""
    learning_rate: float
    """Peak, for everything but the embeddings."""
    embedding_learning_rate: float
    """Peak, for the embeddings."""
    weight_decay: float
    """AdamW's, of all matrices but the embeddings."""
    warmup_fraction: float
    """Share of the steps in which learning rates rise."""
    grad_clip: float
    """Largest norm of all gradients together."""
    precision: Literal["fp32", "bf16"]
    """Number format of matrix products; parameters stay in fp32."""
    checkpoints: int
    """Evenly spaced; the last one is the end of training."""
    seed: int
    """Of the initial parameters and the order of the data."""
    kernels: Kernels = "torch"
    """What computes a step; the two round differently."""

    @property
    def tokens(self) -> int:
        """D: the tokens that the loss is taken on."""
        return self.steps * self.batch_size * self.sequence_length

    @property
    def parameters(self) -> int:
        """N: all trainable parameters."""
        return self.shape.parameters(self.vocab_size)

    def checkpoint_steps(self) -> list[int]:
        """The steps after which checkpoints are saved."""
        count = min(self.checkpoints, self.steps)
        return [round(self.steps * (i + 1) / count) for i in range(count)]

    def describe(self) -> dict[str, Any]:
        """As JSON, for artifact keys."""
        described = asdict(self)
        if self.kernels == "torch":
            # As in the keys of proxies that are older than the choice.
            del described["kernels"]
        else:
            described["kernels"] = f"fused {FUSED_VERSION}"
        return described


@dataclass(frozen=True)
class TuneRecipe:
    """How a model is fine-tuned (`tune`): the paper's Table 4, our choices where it is silent."""

    epochs: int = 1
    """Passes over the training set."""
    learning_rate: float = 1e-5
    """Peak."""
    warmup_fraction: float = 0.1
    """Share of the steps in which it rises."""
    batch_size: int = 64
    """Examples in a step; the last step of an epoch has the remainder."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of matrix products."""
    grad_clip: float = 1.0
    """Largest norm of all gradients together."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's."""
    seed: int = 0
    """Seed of the order of the examples."""

    def describe(self) -> dict[str, Any]:
        """As JSON, for artifact keys."""
        return {**asdict(self), "betas": list(self.betas)}


def make_recipe(proxy: Proxy, vocab_size: int, device: str, where: str) -> Recipe:
    """The training run of a plan's `proxy`; `where` names it in errors.

    Defaults come from the ladder (shape and learning rate by size; for custom architectures by the
    nearest width), except the batch size, which shrinks with the budget. Raises InputError if the
    budget does not cover one step.
    """
    if proxy.size is not None:
        rung = LADDER[proxy.size]
        shape = rung.shape
    else:
        custom = proxy.architecture
        assert custom is not None, "the plan guarantees a size or an architecture"
        width = custom.hidden_size
        rung = min(LADDER.values(), key=lambda r: abs(math.log(r.hidden_size / width)))
        shape = Shape(
            width,
            custom.layers,
            custom.heads,
            custom.key_value_heads,
            custom.feed_forward_size,
            custom.tie_embeddings,
        )
    length = proxy.sequence_length or LADDER_SEQUENCE_LENGTH
    budget = proxy.tokens
    if budget is None:
        assert proxy.chinchilla_multiple is not None, "the plan guarantees one of the two"
        budget = chinchilla_tokens(shape.parameters(vocab_size), proxy.chinchilla_multiple)
    batch = proxy.batch_size or max(1, min(rung.batch_size, budget // (WANTED_STEPS * length)))
    steps = budget // (batch * length)
    if steps == 0:
        raise InputError(
            where,
            f"a budget of {budget:,} tokens is less than one step of {batch} x {length} tokens",
            "raise tokens, or lower batch_size or sequence_length",
        )
    # Some CPUs multiply faster in bf16, but the result would depend on the CPU.
    automatic: Literal["fp32", "bf16"] = "bf16" if device.startswith("cuda") else "fp32"
    precision = automatic if proxy.precision == "auto" else proxy.precision
    return Recipe(
        shape=shape,
        vocab_size=vocab_size,
        steps=steps,
        batch_size=batch,
        sequence_length=length,
        learning_rate=proxy.learning_rate or rung.learning_rate,
        embedding_learning_rate=proxy.embedding_learning_rate
        or proxy.learning_rate
        or rung.learning_rate,
        weight_decay=proxy.weight_decay,
        warmup_fraction=proxy.warmup_fraction,
        grad_clip=proxy.grad_clip,
        precision=precision,
        checkpoints=proxy.checkpoints,
        seed=proxy.seed,
        kernels=choose_kernels(proxy.kernels, shape, precision, device, where),
    )


def population_size(wanted: int | Literal["auto"], parameters: int, device: str) -> int:
    """How many proxies of this many parameters train in one job (`population` of a plan).

    On a GPU they are one program, on a CPU they train one after the other, since stacking gains
    nothing there. "auto" is one on a CPU, and on a GPU as many as fit 16 GiB with their parameters,
    moments, gradients and temporaries.
    """
    if wanted != "auto":
        return wanted
    if not device.startswith("cuda"):
        return 1
    return max(1, 2**34 // (24 * parameters))
