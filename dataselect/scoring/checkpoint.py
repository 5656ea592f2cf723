"""The models that are scored: folders of causal LMs, each with an identity for the store's keys.

A checkpoint is a proxy that was trained here, a user's folder, or a revision on the Hub, whose
files are downloaded into the Hugging Face cache first. Only configuration, tokenizer and
safetensors are read: no pickle, no code.
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

LOADER_VERSION = 2
"""Part of the key of models that were trained elsewhere; increase it when the same files would be
loaded with other tokens or weights. 2: the tokens of tokenizer.json, and every tensor compared."""

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "merges.txt", "vocab.txt"]


class Checkpoint(Protocol):
    """A causal LM at one point of its training."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything about the model that its scores depend on; part of the store's keys."""

    def folder(self) -> Path:
        """The Hugging Face folder. Raises StoreError or InputError if it is damaged."""


class NamedCheckpoint(Checkpoint, Protocol):
    """A checkpoint with a name for people."""

    @property
    def name(self) -> str:
        """Name in reports and messages."""


@dataclass(frozen=True)
class TrainedCheckpoint:
    """One checkpoint of a proxy in the store."""

    proxy: Proxy
    step: int
    """Training steps taken."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """The proxy's key and the step."""
        return {"proxy": self.proxy.artifact.key, "step": self.step}

    def folder(self) -> Path:
        """The checkpoint's folder, its files verified."""
        return self.proxy.checkpoint(self.step)


@dataclass(frozen=True)
class ModelCheckpoint:
    """A model that was trained elsewhere."""

    name: str
    """A Hub id with its revision, or the folder's name."""
    path: Path
    identity: Mapping[str, Any]
    """The commit or the hashes of the files, never a path."""

    def folder(self) -> Path:
        """The model's folder."""
        return self.path


@dataclass(frozen=True)
class HubCheckpoint:
    """A revision on the Hub, downloaded when its folder is first needed.

    Its identity equals that of the same commit by `resolve_model`.
    """

    name: str
    hub: str
    """Hub id of the repository."""
    commit: str
    precision: Precision = "float32"

    @property
    def identity(self) -> Mapping[str, Any]:
        """The repository and the commit."""
        return _identity({"hub": self.hub, "commit": self.commit}, self.precision)

    def folder(self) -> Path:
        """The folder in the Hugging Face cache, downloaded if missing."""
        folder = _from_hub(f"{self.hub}@{self.commit}")
        _require_weights(self.name, folder)
        return folder


def resolve_model(model: str, precision: Precision, store: Store | None = None) -> ModelCheckpoint:
    """The checkpoint that `FOLDER`, `ID` or `ID@REVISION` names.

    With a store the files of a folder are hashed again only after they change. A Hub model is
    downloaded into the cache, or found there without a network. Raises InputError when there is
    no such model or it has no safetensors.
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
    """Whether `name` has the form of a Hub id; anything else is a path."""
    return _HUB_ID.fullmatch(name) is not None


def has_weights(folder: Path) -> bool:
    """Whether a folder holds a config.json and safetensors; pickled weights are never read."""
    return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))


def model_identity(
    folder: Path, precision: Precision, store: Store | None = None
) -> dict[str, Any]:
    """The identity of a model in a local folder, by the hashes of its files."""
    return _identity({"files": file_hashes(folder, store)}, precision)


def _identity(origin: Mapping[str, Any], precision: Precision) -> dict[str, Any]:
    other = {} if precision == "float32" else {"precision": precision}
    return {"model": {**origin, **other, "loader": LOADER_VERSION}}


def _require_weights(model: str, folder: Path) -> None:
    if not has_weights(folder):
        if (folder / "adapter_config.json").exists():
            raise InputError(
                model,
                "it is an adapter alone, without the model it belongs to",
                "merge it into that model (PEFT's merge_and_unload) and name the folder of both",
            )
        inside = [each.name for each in sorted(folder.iterdir()) if has_weights(each)]
        below = f"name {quoted(inside[-1])} in it, or another" if inside else "name a"
        raise InputError(
            model,
            "it has no config.json with *.safetensors weights",
            f"{below} Hugging Face folder or Hub id that has them (pickled weights are not read)",
        )


def file_hashes(folder: Path, store: Store | None = None) -> dict[str, str]:
    """SHA-256 of a model's configuration, tokenizer and weights, by file name.

    A store caches the hashes of unchanged files.
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
