"""The number of parameters of a checkpoint, read from its files without torch.

A safetensors file begins with the length of a JSON header (8 bytes, little-endian) and the header,
which gives the shape of every tensor. Where the configuration ties the output to the embedding but
both are stored, they count once.
"""

import math
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.errors import InputError

_LONGEST_HEADER = 100_000_000
_OUTPUT = ("lm_head.weight", "output.weight")


def count_parameters(folder: Path) -> int:
    """Parameters of the model in a Hugging Face folder. InputError: damaged or missing files."""
    shapes: dict[str, list[int]] = {}
    for file in _weight_files(folder):
        shapes |= {name: entry["shape"] for name, entry in _header(file).items()}
    config = _json(folder / "config.json")
    if config.get("tie_word_embeddings"):
        shapes = {name: shape for name, shape in shapes.items() if name not in _OUTPUT}
    return sum(math.prod(shape) for shape in shapes.values())


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        try:
            return [folder / name for name in sorted(set(_json(index)["weight_map"].values()))]
        except (KeyError, AttributeError, TypeError) as error:
            raise InputError(
                index, "is damaged or no index of weights", "save the checkpoint again"
            ) from error
    single = folder / "model.safetensors"
    # Some repositories hold a second copy of the weights, in another layout.
    files = [] if single.exists() else sorted(folder.glob("*.safetensors"))
    return files or [single]


def _header(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 0 < length <= _LONGEST_HEADER:
                raise ValueError("no header")
            header: dict[str, Any] = strict_json.loads(opened.read(length))
            header.pop("__metadata__", None)
            if not all(math.prod(entry["shape"]) >= 0 for entry in header.values()):
                raise ValueError("no shapes")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            file, "is missing or no safetensors file", "save the checkpoint again"
        ) from error
    return header


def _json(file: Path) -> dict[str, Any]:
    try:
        content = strict_json.loads(file.read_bytes())
        if isinstance(content, dict):
            return content
    except (OSError, ValueError):
        pass
    raise InputError(file, "is missing or no JSON object", "save the checkpoint again")
