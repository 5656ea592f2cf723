"""What is scored: a causal LM's folder, and what it is known by.

A checkpoint is a proxy that was trained here, a folder of the user's own, or a revision on the
Hub, of which the files that are needed are brought into the Hugging Face cache first. Only
configuration, tokenizer and safetensors are ever read: no pickle, no code.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from dataselect.errors import InputError
from dataselect.proxies.make import Proxy
from dataselect.store import Store
from dataselect.store.files import sha256_of
from dataselect.wording import quoted

Precision = Literal["float32", "bfloat16", "float16"]

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "merges.txt", "vocab.txt"]


class Checkpoint(Protocol):
    """A causal LM at one moment of its training."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that its scores depend on, for the keys of the store."""

    def folder(self) -> Path:
        """The Hugging Face folder. Raises StoreError or InputError when it is damaged."""


class NamedCheckpoint(Checkpoint, Protocol):
    """A checkpoint that people have a name for."""

    @property
    def name(self) -> str:
        """What people call it."""


@dataclass(frozen=True)
class TrainedCheckpoint:
    """A proxy in the store after so many steps."""

    proxy: Proxy
    step: int

    @property
    def identity(self) -> Mapping[str, Any]:
        """The proxy's key and the step."""
        return {"proxy": self.proxy.artifact.key, "step": self.step}

    def folder(self) -> Path:
        """The checkpoint's folder, its files verified."""
        return self.proxy.checkpoint(self.step)


@dataclass(frozen=True)
class ModelCheckpoint:
    """A model that was trained elsewhere.

    `name` is what people call it: a Hub id with its revision, or the folder's name. `identity`
    is the commit or the hashes of its files, never a path.
    """

    name: str
    path: Path
    identity: Mapping[str, Any]

    def folder(self) -> Path:
        """The folder that was resolved."""
        return self.path


@dataclass(frozen=True)
class HubCheckpoint:
    """A revision on the Hub by its commit, whose files are brought here when they are needed.

    `name` is what people call it; the identity is that of `resolve_model`.
    """

    name: str
    hub: str
    commit: str
    precision: Precision = "float32"

    @property
    def identity(self) -> Mapping[str, Any]:
        """The repository and the commit."""
        return _identity({"hub": self.hub, "commit": self.commit}, self.precision)

    def folder(self) -> Path:
        """The folder in the Hugging Face cache, brought there first if need be."""
        folder = _from_hub(f"{self.hub}@{self.commit}")
        _require_weights(self.name, folder)
        return folder


def resolve_model(model: str, precision: Precision, store: Store | None = None) -> ModelCheckpoint:
    """The checkpoint that `FOLDER`, `ID` or `ID@REVISION` stands for.

    With a store the files of a folder are hashed once and not again until they change. A Hub
    model is brought into the cache, or found there without a network. Raises InputError
    when there is no such model or it has no safetensors.
    """
    folder = Path(model)
    if folder.is_dir():
        _require_weights(model, folder)
        identity = model_identity(folder, precision, store)
        return ModelCheckpoint(folder.resolve().name, folder, identity)
    folder = _from_hub(model)
    _require_weights(model, folder)
    of_commit = {"hub": model.partition("@")[0], "commit": folder.name}
    return ModelCheckpoint(model, folder, _identity(of_commit, precision))


def is_hub_id(name: str) -> bool:
    """Whether `name` can be a repository on the Hub; what cannot is a path."""
    return _HUB_ID.fullmatch(name) is not None


def has_weights(folder: Path) -> bool:
    """Whether a folder holds a model whose weights are read: never pickled ones."""
    return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))


def model_identity(
    folder: Path, precision: Precision, store: Store | None = None
) -> dict[str, Any]:
    """The identity of a model in a folder of one's own; its files are hashed."""
    return _identity({"files": file_hashes(folder, store)}, precision)


def _identity(origin: Mapping[str, Any], precision: Precision) -> dict[str, Any]:
    other = {} if precision == "float32" else {"precision": precision}
    return {"model": {**origin, **other}}


def _require_weights(model: str, folder: Path) -> None:
    if not has_weights(folder):
        raise InputError(
            model,
            "it has no config.json with *.safetensors weights",
            "name a Hugging Face folder or Hub id that has them (pickled weights are not read)",
        )


def file_hashes(folder: Path, store: Store | None = None) -> dict[str, str]:
    """SHA-256 of a model's configuration, tokenizer and weights by file name.

    A store remembers them for as long as the files are unchanged.
    """
    files = sorted(p for p in folder.iterdir() if any(p.match(each) for each in _HUB_FILES))
    if store is None:
        return {path.name: sha256_of(path) for path in files}
    return {path.name: value for path, value in store.hashes(files).items()}


def _from_hub(model: str) -> Path:
    name, _, revision = model.partition("@")
    if not is_hub_id(name):
        raise InputError(model, "there is no such folder", "check the path")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            model,
            f"it is no folder, and the Hub does not give {quoted(name)} ({reason})",
            "check the id, its @revision, HF_TOKEN, or name a folder",
        ) from error
