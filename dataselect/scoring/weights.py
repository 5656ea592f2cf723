"""Whether the weights that were loaded are those of the checkpoint's files, all of them.

transformers fills a missing tensor at random and drops one that the configuration has no place for.
Each gives a model that still writes numbers. So the files are looked at before anything is loaded
(`stored_tensors`), and afterwards every tensor is compared with the file. What does not agree is
refused by the names of its file and tensor.

Not covered: a value that only the configuration has (an epsilon, an activation) and that is wrong.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from dataselect.errors import InputError
from dataselect.scoring.stored_tensors import Stored
from dataselect.wording import message, quoted

_AGAIN = "get the checkpoint again"
# A model may hold a tensor twice that its files hold once: embedding and tied head.
_MOST_TIMES = 3
_WHOLE = 2**63
_SHOWN = 64
_COUNTS = ("layer", "expert", "block")


def check_config(config: Any, content: Mapping[str, Any], tensors: Mapping[str, Stored]) -> None:
    """Raise InputError for a configuration of far more than the files hold, before it is built.

    `content` is config.json, of which `config` was made. A wrong number there would otherwise fill
    the memory, or take hours.
    """
    if not tensors:
        return
    folder = next(iter(tensors.values())).file.parent
    for key in set(_known_keys(config)) & set(content):
        value = content[key]
        # torch has no whole numbers beyond; some would fail only on longer texts.
        if isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
            problem = f"{key} is {quoted(value)}, more than a whole number can be"
            raise InputError(folder / "config.json", problem, _AGAIN)
    most = max(len(tensors), *(max(each.shape, default=1) for each in tensors.values()))
    for key, value in content.items():
        counts = key.startswith(("num_", "n_")) and any(word in key for word in _COUNTS)
        if counts and isinstance(value, int) and value > most:
            raise InputError(
                folder / "config.json",
                f"{key}: {value:,} is more than its {len(tensors):,} tensors can hold",
                _AGAIN,
            )
    described = _described(config)
    held = sum(_size(each.shape) for each in tensors.values())
    if described > _MOST_TIMES * held + 1_000_000:
        raise InputError(
            folder / "config.json",
            f"it describes {described:,} parameters and the files hold {held:,}",
            _AGAIN,
        )


def check_loaded(
    folder: Path, model: Any, loading: Mapping[str, Any], tensors: Mapping[str, Stored]
) -> None:
    """Raise InputError unless the model's weights are those of `tensors`, all and exactly.

    `loading` is the loading info that transformers returns with the model.
    """
    mismatched = [name for name, *_ in loading["mismatched_keys"]]
    _refuse_unfit(folder, [*loading["missing_keys"], *mismatched], tensors)
    unexpected = sorted(loading["unexpected_keys"])
    if unexpected:
        raise InputError(
            folder,
            f"its config.json has no place for {len(unexpected)} of its tensors, such as"
            f" {_with_file(unexpected[0], 'in', tensors)}",
            "mend config.json (layers, biases, norms), or remove what is no part of the model",
        )
    if getattr(model.config, "quantization_config", None) is None:
        _compare_values(folder, model, tensors)


def check_shapes(folder: Path, model: Any, tensors: Mapping[str, Stored]) -> None:
    """Raise InputError where a model has another shape for a tensor's name than the files.

    `model` may have no values (device "meta"). Names that transformers converts are not compared.
    """
    if getattr(model.config, "quantization_config", None) is not None:
        return
    shapes = {name: tuple(mine.shape) for name, mine in model.state_dict().items()}
    differ = [name for name, each in tensors.items() if shapes.get(name, each.shape) != each.shape]
    _refuse_unfit(folder, differ, tensors)


def _refuse_unfit(folder: Path, names: Iterable[str], tensors: Mapping[str, Stored]) -> None:
    unfit = sorted(names)
    if unfit:
        raise InputError(
            folder,
            f"its weights do not fit its config.json ({len(unfit)} missing or of another shape,"
            f" such as {_with_file(unfit[0], 'of', tensors)})",
            _AGAIN,
        )


def _with_file(name: str, word: str, tensors: Mapping[str, Stored]) -> str:
    """A tensor's name, and its file where it is in one."""
    return f"{name} {word} {tensors[name].file.name}" if name in tensors else name


def remarks(content: Mapping[str, Any], model: Any) -> list[str]:
    """What config.json says and transformers does not follow, for the notes of a report."""
    notes = []
    named = content.get("architectures")
    kind = type(model).__name__
    if isinstance(named, list) and named and kind not in named:
        shown = message(str(named[0]), _SHOWN)
        notes.append(f"its config.json names {shown}, and it is scored as {kind}")
    known = _known_keys(model.config)
    absent = [key for key in known if key not in content]
    for key in content:
        if key not in known and (near := get_close_matches(key, absent, 1, cutoff=0.9)):
            notes.append(
                f"its config.json has {message(key, _SHOWN)}, which {model.config.model_type}"
                f" does not know; {near[0]} has its default"
            )
    return notes


def _known_keys(config: Any) -> list[str]:
    with suppress(Exception):
        return list(type(config)().to_dict())
    return []


def model_without_values(config: Any) -> Any:
    """The model that a configuration describes, on device "meta": shapes alone. Raises whatever
    transformers does for one that cannot be built."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def _described(config: Any) -> int:
    """Parameters of the model that a configuration describes; 0 where it cannot be told."""
    # What cannot be built is refused with its reason when it is loaded.
    with suppress(Exception):
        return sum(each.numel() for each in model_without_values(config).parameters())
    return 0


def _size(shape: Iterable[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _compare_values(folder: Path, model: Any, tensors: Mapping[str, Stored]) -> None:
    loaded = model.state_dict()
    for file in sorted({each.file for each in tensors.values()}):
        with safe_open(str(file), framework="pt") as opened:
            # Names that transformers converts while loading, such as those of experts, are not
            # among the model's own.
            for name in opened.keys():  # noqa: SIM118
                mine = loaded.get(name)
                fractions = name.endswith(".weight") if mine is None else mine.is_floating_point()
                if fractions and "F" not in tensors[name].dtype:
                    raise InputError(
                        file, f"{name} holds no fractions but {tensors[name].dtype}", _AGAIN
                    )
                if mine is None:
                    continue
                if _equal(opened.get_tensor(name).to(mine.dtype), mine):
                    continue
                tied = mine.data_ptr() == model.get_input_embeddings().weight.data_ptr()
                raise InputError(
                    folder,
                    f"{name} in {file.name} is not what transformers makes of it"
                    + (", since its config.json ties it to the embedding" if tied else ""),
                    "set tie_word_embeddings: false in config.json, or remove the tensor"
                    if tied
                    else _AGAIN,
                )
    _require_tied_as_stored(folder, model, tensors)


def _require_tied_as_stored(folder: Path, model: Any, tensors: Mapping[str, Stored]) -> None:
    """Refuse an output layer of its own where the configuration ties it to the embedding.

    Releases of transformers differ in which of the two they follow.
    """
    output = model.get_output_embeddings()
    embedding = model.get_input_embeddings()
    tied = getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    if not tied or output is None or embedding is None:
        return
    weight = getattr(output, "weight", None)
    if weight is None or _equal(weight, embedding.weight):
        return
    names = [
        name for name, mine in model.state_dict().items() if mine.data_ptr() == weight.data_ptr()
    ]
    stored = next((name for name in names if name in tensors), names[0] if names else "its output")
    named = _with_file(stored, "in", tensors)
    raise InputError(
        folder,
        f"its config.json ties the output to the embedding, and {named} differs from it",
        "set tie_word_embeddings: false in config.json, or remove the tensor",
    )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape:
        return False
    if torch.equal(one, other):
        return True
    # A checkpoint may hold NaN, which equals nothing; its losses are refused later.
    return bool(((one == other) | (one.isnan() & other.isnan())).all())
