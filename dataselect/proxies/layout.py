"""How a training run is laid out over devices and memory: nothing of it changes what is learnt.

Kept apart from the recipe, which determines the weights: a proxy is found in the store however
many processes trained it, and one that was killed goes on with another number of them. Free of
torch, because a plan is checked against it at every start of the command.
"""

from dataclasses import dataclass
from typing import Literal

from dataselect.config.plan import ComputePlan, Stage
from dataselect.errors import InputError
from dataselect.proxies.recipe import Recipe

# From here on what a block keeps for its backward pass outweighs a third more work.
_LARGE_PARAMETERS = 500_000_000
# What a slice of the batch holds on a CPU: activations then come from memory that was in use
# a moment ago, instead of from pages that the system clears first.
_SLICE_TOKENS = 4096
# Weights, gradients and AdamW's two moments, in float32.
_STATE_BYTES = 16


@dataclass(frozen=True)
class Layout:
    """How many processes train one proxy, each with a device or a share of the cores."""

    processes: int = 1
    shard: Literal["auto", "ddp", "fsdp"] = "auto"
    """`ddp` keeps a whole model in every process, `fsdp` a share of it in each."""
    activation_checkpointing: bool | Literal["auto"] = "auto"
    """Keep only what enters a block, and work the block out again for its gradient."""

    def recomputes(self, parameters: int) -> bool:
        """Whether a model of so many parameters trains with activation checkpointing."""
        if self.activation_checkpointing == "auto":
            return parameters >= _LARGE_PARAMETERS
        return self.activation_checkpointing

    def is_sharded(self, parameters: int, device_bytes: int | None) -> bool:
        """Whether the weights are shared out; `device_bytes` is a GPU's memory, None on a CPU.

        "auto" leaves a whole model in every process where it takes at most half of a device,
        since gradients are then sent once a step and weights never.
        """
        if self.shard == "auto":
            return device_bytes is not None and _STATE_BYTES * parameters > device_bytes // 2
        return self.shard == "fsdp"


ONE_PROCESS = Layout()


def make_layout(stage: Stage, compute: ComputePlan) -> Layout:
    """How a plan wants the proxies of a stage to be trained."""
    return Layout(stage.processes, compute.shard, compute.activation_checkpointing)


def check_layout(recipe: Recipe, layout: Layout, where: str) -> None:
    """Raise InputError, naming `where`, for a batch that the processes cannot share evenly."""
    if recipe.batch_size % layout.processes:
        below = recipe.batch_size // layout.processes * layout.processes
        raise InputError(
            where,
            f"a batch of {recipe.batch_size} sequences cannot be shared evenly by"
            f" {layout.processes} processes",
            f"set the proxy's batch_size to a multiple of {layout.processes} such as"
            f" {below or layout.processes}, or train it with another number of processes",
        )


def slice_sequences(recipe: Recipe, models: int, device_bytes: int | None, recompute: bool) -> int:
    """How many sequences of each model go through at a time."""
    tokens = _SLICE_TOKENS
    if device_bytes is not None:
        # An eighth of the memory for activations; 25 bytes a token and unit is what a block's
        # backward pass keeps, by count, in bf16. Recomputing keeps what enters each block, in
        # float32, and the activations of one block at a time.
        shape = recipe.shape
        block = 25 * (2 * shape.hidden_size + shape.intermediate_size)
        entering = 4 * shape.layers * shape.hidden_size
        kept = block + entering if recompute else block * shape.layers
        tokens = device_bytes // 8 // kept
    return max(1, tokens // (models * recipe.sequence_length))
