"""The saved state of one unfinished training: written whole, and read back checked.

`state.safetensors` holds all that changes while a model trains: parameters and moments, and what
the run has logged (`facts`). safetensors notices a file that was cut short but not a flipped bit,
from which training would go on to other weights. So the file carries a SHA-256 of its tensors in
its header; states of versions before had none and are read as they are.

The facts also hold the hashes of the checkpoints that were saved so far (`checkpoint_hashes`).
They are published when the training ends, which may be days and several attempts later, and only
then get into the record of an artifact.

A state that is spoilt, or whose checkpoints are, is set aside, and its training begins again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dataselect.errors import IncompleteError
from dataselect.store.files import needs_room, sha256_of
from dataselect.store.sealed import SEAL, SpoiltError, set_aside

STATE = "state.safetensors"
"""Name of a model's saved state in its folder."""
_FACTS = "facts"
_AGAIN = "the training begins again"

Tensors = Mapping[str, torch.Tensor]

# Steps of states that were found whole in this process: (path, inode, bytes, mtime in ns).
_whole: dict[tuple[Path, int, int, int], int] = {}


def write_state(folder: Path, name: str, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    """Replace the state in `folder`, at once and in one file, so that its parts are consistent.

    `name` tells this attempt from others: one that is thought dead may still write. Raises
    PassingError where the disk is full.
    """
    # The pending loss of a model that is about to diverge may be NaN.
    text = json.dumps(facts).encode()
    everything = {_FACTS: torch.tensor(list(text), dtype=torch.uint8)} | {
        key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()
    }
    unfinished = folder / f"state.{name}.unfinished"
    try:
        with needs_room(folder):
            save_file(everything, unfinished, {SEAL: _digest(everything)})
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            unfinished.replace(folder / STATE)
    except BaseException:
        # Half a state would take room that a full disk lacks.
        unfinished.unlink(missing_ok=True)
        raise


def read_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and facts of the state in `folder`. Raises IncompleteError if it is spoilt."""
    try:
        return _read(folder / STATE)
    except SpoiltError as error:
        raise IncompleteError(
            f"{folder / STATE} {error}; run the same command again to train from the beginning"
        ) from error


def settle(folder: Path, damaged: Path | None = None) -> int:
    """The step of the state in `folder`; 0 where there is none that is whole.

    A spoilt one is set aside (`store.sealed.set_aside`) with a note. A whole one is read once.
    """
    path = folder / STATE
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    known = (path, status.st_ino, status.st_size, status.st_mtime_ns)
    if known in _whole:
        return _whole[known]
    problem = None
    try:
        _, facts = _read(path)
        problem = _spoilt_checkpoint(folder, facts.get("checkpoints", {}))
    except SpoiltError as error:
        problem = str(error)
    if problem is None:
        step = _whole[known] = int(facts["step"])
        return step
    set_aside(path, problem, _AGAIN, damaged)
    return 0


def checkpoint_hashes(checkpoint: Path) -> dict[str, str]:
    """SHA-256 of the files of a checkpoint, by path below its parent."""
    return {
        path.relative_to(checkpoint.parent).as_posix(): sha256_of(path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            header = opened.metadata()
        # A state of before has no header of its own.
        if header is not None and header.get(SEAL) != _digest(tensors):
            raise SpoiltError("does not agree with its checksum")
        facts = json.loads(bytes(tensors.pop(_FACTS).tolist()))
        if not isinstance(facts, dict):
            raise SpoiltError("cannot be read")
    except SpoiltError:
        raise
    except IsADirectoryError:
        raise SpoiltError("is a folder") from None
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise SpoiltError("cannot be read") from error
    except OSError as error:
        # safetensors gives no number for a folder or an empty file.
        if path.is_file() and error.errno is not None:
            raise
        raise SpoiltError("cannot be read") from error
    return tensors, facts


def _spoilt_checkpoint(folder: Path, hashes: Mapping[str, str]) -> str | None:
    """What is wrong with the checkpoints beside a state; None if all are as they were saved."""
    for name, digest in hashes.items():
        try:
            whole = sha256_of(folder / name) == digest
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            whole = False
        if not whole:
            return f"the checkpoint {name} beside it is spoilt"
    return None


def _digest(tensors: Tensors) -> str:
    """SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        data: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(data)
    return digest.hexdigest()
