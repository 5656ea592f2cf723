"""Read a checkpoint for compiled kernels, where they can score it: a tiny Olmo2 on a CPU.

Only a folder of which everything is known is read here: every key of config.json has a value that
the kernels compute with, every tensor is one of theirs, in single precision. Anything else, a fault
among it, is left to transformers (`loading`), which computes with it or says what is wrong.
"""

import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import safe_open

from dataselect import strict_json
from dataselect.compute.machine import compiled_machine
from dataselect.corpus.quiet_transformers import quiet
from dataselect.corpus.saved_tokenizer import read_tokenizer
from dataselect.proxies.kernels import choose_kernels, numba_error
from dataselect.proxies.ladder import Shape
from dataselect.scoring.checkpoint import Precision
from dataselect.scoring.loaded_model import LoadedModel
from dataselect.scoring.stored_tensors import Stored, stored_tensors

if TYPE_CHECKING:
    from dataselect.proxies.fused.arrays import Weights

_Count = Annotated[int, Field(gt=0)]
_Id = Annotated[int, Field(ge=0)]


class _Known(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class _Rope(_Known):
    rope_theta: Annotated[float, Field(gt=0)]
    rope_type: Literal["default"]


class _Generation(BaseModel):
    """Of generation_config.json what `loading` looks at: a fault there is told for any score."""

    model_config = ConfigDict(extra="ignore", strict=True)

    eos_token_id: int | list[int] | None = None


class _Config(_Known):
    """config.json of a model that the kernels compute."""

    architectures: list[Literal["Olmo2ForCausalLM"]] = Field(min_length=1, max_length=1)
    model_type: Literal["olmo2"]
    vocab_size: _Count
    hidden_size: _Count
    intermediate_size: _Count
    num_hidden_layers: _Count
    num_attention_heads: _Count
    num_key_value_heads: _Count
    max_position_embeddings: _Count
    tie_word_embeddings: bool
    rms_norm_eps: Annotated[float, Field(gt=0)]
    rope_parameters: _Rope
    hidden_act: Literal["silu"]
    attention_bias: Literal[False]
    dtype: Literal["float32"]
    # What scores do not depend on.
    attention_dropout: float | int = 0
    initializer_range: float = 0
    use_cache: bool = True
    transformers_version: str = ""
    bos_token_id: _Id | None = None
    eos_token_id: _Id | list[_Id] | None = None
    pad_token_id: _Id | None = None


def load_fused(folder: Path, device: str, precision: Precision) -> LoadedModel | None:
    """The model and its tokenizer; None where the folder is left to transformers.

    Raises InputError where its files contradict each other, or hold no tokenizer.
    """
    config = _read_config(folder) if precision == "float32" else None
    if config is None:
        return None
    shape = Shape(
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.intermediate_size,
        config.tie_word_embeddings,
    )
    heads, hidden = config.num_attention_heads, config.hidden_size
    if hidden % heads or heads % config.num_key_value_heads:
        return None
    if choose_kernels("auto", shape, "fp32", device, str(folder)) != "fused" or numba_error():
        return None
    tensors = stored_tensors(folder)
    held = sum(math.prod(each.shape) for each in tensors.values())
    if held != shape.parameters(config.vocab_size):  # before anything of such a size is made
        return None
    # After numba was found.
    from dataselect.proxies.fused.arrays import lay_out
    from dataselect.proxies.fused.compiling import INSTRUCTIONS
    from dataselect.scoring.likelihood.fused import FusedModel

    weights = lay_out(shape, config.vocab_size)[1]
    if not _fill(weights, tensors):
        return None
    with quiet():
        saved = read_tokenizer(folder)
    model = FusedModel(
        str(folder),
        shape,
        config.vocab_size,
        config.max_position_embeddings,
        weights,
        epsilon=config.rms_norm_eps,
        theta=config.rope_parameters.rope_theta,
    )
    machine = compiled_machine(f"numba {version('numba')}", INSTRUCTIONS)
    return LoadedModel(model, saved.tokenizer, saved.notes, machine)


def _read_config(folder: Path) -> _Config | None:
    generation = folder / "generation_config.json"
    try:
        if generation.exists():
            _Generation.model_validate(strict_json.loads(generation.read_bytes()))
        return _Config.model_validate(strict_json.loads((folder / "config.json").read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None


def _fill(weights: "Weights", tensors: Mapping[str, Stored]) -> bool:
    """Read the weights; False unless the files hold these and no others, in single precision."""
    from dataselect.proxies.fused.arrays import named

    there = dict(named(weights))
    wanted = {name: (array.shape, "F32") for name, array in there.items()}
    if {name: (each.shape, each.dtype) for name, each in tensors.items()} != wanted:
        return False
    for file in sorted({each.file for each in tensors.values()}):
        with safe_open(str(file), framework="np") as opened:
            for name in opened.keys():  # noqa: SIM118
                there[name][...] = opened.get_tensor(name)
    return True
