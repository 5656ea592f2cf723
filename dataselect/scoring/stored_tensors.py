"""Which tensors a checkpoint's files hold, from their headers: no value is read, and no torch.

Files that contradict each other are refused by name: transformers would prefer a single file to an
index beside it, and reads an adapter only where another library is installed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from dataselect import strict_json
from dataselect.errors import InputError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_AGAIN = "get the checkpoint again"


@dataclass(frozen=True)
class Stored:
    """A tensor of a checkpoint's files."""

    file: Path
    shape: tuple[int, ...]
    dtype: str
    """As safetensors names it, such as F32 or BF16."""


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor that a folder's weights consist of, by name, from the headers of its files.

    Raises InputError for files that contradict each other: an adapter beside a model, one file
    beside an index of others, an index that names other tensors than its files hold.
    """
    for file in sorted(folder.glob("adapter_*")):
        if file.name == _ADAPTER or file.name.startswith("adapter_model"):
            raise InputError(
                file,
                "the folder holds an adapter, which would be left out of the model",
                "merge it into the model's weights (PEFT's merge_and_unload) and save those alone",
            )
    index, single = folder / _INDEX, folder / _SINGLE
    if not index.exists():
        shards = sorted(folder.glob("model-*-of-*.safetensors"))
        if single.exists() and shards:
            raise _two_copies(single, shards[0])
        return _in_files([single] if single.exists() else shards)
    places = _placed(index)
    files = sorted(set(places.values()))
    if single.exists() and single not in files:
        raise _two_copies(single, index)
    for file in files:
        if not file.is_file():
            raise InputError(file, f"is missing, and {_INDEX} names it", _AGAIN)
    tensors = _in_files(files)
    for name, file in places.items():
        if name not in tensors or tensors[name].file != file:
            raise InputError(index, f"it places {name} in {file.name}, which lacks it", _AGAIN)
    for name, stored in tensors.items():
        if name not in places:
            raise InputError(stored.file, f"it holds {name}, which {_INDEX} does not name", _AGAIN)
    return tensors


def _in_files(files: Iterable[Path]) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for file in files:
        try:
            with safe_open(str(file), framework="np") as opened:
                for name in opened.keys():  # noqa: SIM118
                    if name in tensors:
                        raise InputError(
                            file, f"it holds {name}, as {tensors[name].file.name} does", _AGAIN
                        )
                    tensor = opened.get_slice(name)
                    shape, dtype = tuple(tensor.get_shape()), str(tensor.get_dtype())
                    tensors[name] = Stored(file, shape, dtype)
        except (OSError, SafetensorError) as error:
            raise InputError(file, f"is damaged or no safetensors file ({error})", _AGAIN) from None
    return tensors


def _placed(index: Path) -> dict[str, Path]:
    """The file of each tensor, as the index has it."""
    try:
        places = strict_json.loads(index.read_bytes())["weight_map"]
        return {str(name): index.parent / Path(str(file)).name for name, file in places.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(index, "is damaged or no index of weights", _AGAIN) from None


def _two_copies(one: Path, other: Path) -> InputError:
    return InputError(
        one.parent,
        f"it holds two copies of the weights, {one.name} and {other.name}",
        "remove the one that is not meant",
    )
