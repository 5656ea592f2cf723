"""How a training run is laid out over devices and memory; it does not change the result.

Separate from the recipe, which determines the weights: a proxy is found in the store whatever
number of processes trained it, and a killed run resumes with another number. No torch import,
because a plan is checked against the layout at every start of the command.
"""

from dataclasses import dataclass
from typing import Literal

from dataselect.config.compute import ComputePlan
from dataselect.config.stage import Stage
from dataselect.errors import InputError
from dataselect.proxies.recipe import Recipe

# From this size on, the memory saved by recomputation is worth a third more work.
_LARGE_PARAMETERS = 500_000_000
# Tokens in a slice of the batch on a CPU: activations of this size reuse memory, where larger ones
# get fresh pages, which the system clears first.
_SLICE_TOKENS = 4096
# Bytes per parameter: weights, gradients and AdamW's two moments, in float32.
_STATE_BYTES = 16


@dataclass(frozen=True)
class Layout:
    """How many processes train one proxy, each with a device or a share of the cores."""

    processes: int = 1
    shard: Literal["auto", "ddp", "fsdp"] = "auto"
    """`ddp` keeps a whole model in every process, `fsdp` a shard; see `is_sharded` for `auto`."""
    activation_checkpointing: bool | Literal["auto"] = "auto"
    """Keep only each block's input and recompute the block for its gradient."""

    def recomputes(self, parameters: int) -> bool:
        """Whether a model of this many parameters trains with activation checkpointing."""
        if self.activation_checkpointing == "auto":
            return parameters >= _LARGE_PARAMETERS
        return self.activation_checkpointing

    def is_sharded(self, parameters: int, device_bytes: int | None) -> bool:
        """Whether the parameters are sharded; `device_bytes` is a GPU's memory, None on a CPU.

        "auto" shards a model only if its state takes more than half of a device: unsharded,
        gradients are sent once a step and parameters never.
        """
        if self.shard == "auto":
            return device_bytes is not None and _STATE_BYTES * parameters > device_bytes // 2
        return self.shard == "fsdp"


ONE_PROCESS = Layout()


def make_layout(stage: Stage, compute: ComputePlan) -> Layout:
    """The layout that a plan sets for the proxies of a stage."""
    return Layout(stage.processes, compute.shard, compute.activation_checkpointing)


def check_layout(recipe: Recipe, layout: Layout, where: str) -> None:
    """Raise InputError, naming `where`, if the processes do not divide the batch evenly, or if
    shards of a model are to be trained by the fused step."""
    if recipe.kernels == "fused" and layout.processes > 1 and layout.shard == "fsdp":
        raise InputError(
            where,
            "with fsdp no process has the whole model that the fused step needs",
            "write 'shard: ddp' under compute, or 'kernels: torch' for the proxy",
        )
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
    """Sequences of each model in one slice of the batch (one forward and backward pass)."""
    tokens = _SLICE_TOKENS
    if device_bytes is not None:
        # An eighth of the memory for activations.
        tokens = device_bytes // 8 // kept_bytes(recipe, recompute)
    return max(1, tokens // (models * recipe.sequence_length))


def kept_bytes(recipe: Recipe, recompute: bool) -> int:
    """Bytes that a model keeps for its backward pass, per token."""
    # A block keeps 25 bytes per token and unit, by count, in bf16. Recomputation keeps each block's
    # input, in float32, and the activations of one block at a time.
    shape = recipe.shape
    block = 25 * (2 * shape.hidden_size + shape.intermediate_size)
    entering = 4 * shape.layers * shape.hidden_size
    return block + entering if recompute else block * shape.layers
