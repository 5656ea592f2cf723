"""The checkpoints that a report names, found again by what identifies them in the store.

A report outlives checkpoints: a store may have been emptied, a folder moved or overwritten. Then
`folder` says so, and scores that are in the store can still be read by the identity alone. Nothing
is trained or downloaded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.errors import InputError
from dataselect.proxies.make import KIND as TRAINED
from dataselect.proxies.make import checkpoint_name
from dataselect.proxy_sources.command import KIND as BY_COMMAND
from dataselect.proxy_sources.command import StoredCheckpoint
from dataselect.scoring.series import Member, resolve
from dataselect.stages.proxy_origins import Series, StageName, origin_of
from dataselect.store import Store

_AGAIN = "run the same command again"


@dataclass(frozen=True)
class RecordedCheckpoint:
    """A checkpoint that was scored; see `dataselect.scoring.checkpoint.Checkpoint`."""

    name: str
    """Its candidate and label, for messages."""
    identity: Mapping[str, Any]
    """What identifies it in the keys of the store."""
    store: Store
    """Where it is, unless the manifest gives it."""
    given: Callable[[], Sequence[Member]]
    """The candidate's checkpoints that the manifest names, located."""

    def folder(self) -> Path:
        """The Hugging Face folder. Raises InputError where the checkpoint is gone, or another."""
        if "proxy" in self.identity:
            step = checkpoint_name(int(self.identity["step"]))
            return self._stored(TRAINED, str(self.identity["proxy"]), step)
        if "external" in self.identity:
            name = str(self.identity["checkpoint"])
            return self._stored(BY_COMMAND, str(self.identity["external"]), name)
        origin = self.identity["model"]
        if "commit" in origin:
            return self._cached(origin["hub"], origin["commit"])
        for member in self.given():
            if isinstance(member.place, Path) and member.checkpoint.identity == self.identity:
                return member.checkpoint.folder()
        raise InputError(self.name, "its files are not those that were scored", _AGAIN)

    def _stored(self, kind: str, key: str, name: str) -> Path:
        artifact = self.store.find_by_key(kind, key)
        if artifact is None or not any(file.startswith(f"{name}/") for file in artifact.files):
            raise InputError(self.name, f"it is not in the store {self.store.root}", _AGAIN)
        return StoredCheckpoint(artifact, name).folder()

    def _cached(self, hub: str, commit: str) -> Path:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(hub, "config.json", revision=commit)
        if not isinstance(found, str):
            raise InputError(self.name, "it is not in the Hugging Face cache", _AGAIN)
        return Path(found).parent


Named = tuple[tuple[str, Mapping[str, Any]], ...]
"""Label and identity of each checkpoint of a candidate."""


def named_checkpoints(proxy: Mapping[str, Any]) -> Named:
    """What report.json says of a candidate's checkpoints.

    Raises LookupError, TypeError or ValueError where it has not the shape that a run writes.
    """
    named = tuple((str(each["label"]), each["identity"]) for each in proxy["checkpoints"])
    if not named:
        raise ValueError("a candidate has no checkpoints")
    for _, identity in named:
        if "proxy" in identity:
            int(identity["step"])
        elif "external" in identity:
            str(identity["checkpoint"])
        elif "commit" in identity["model"]:
            str(identity["model"]["hub"])
    return named


def recorded_checkpoints(
    proxies: Mapping[str, Named],
    stage: StageName,
    manifest: Manifest,
    plan: Plan,
    store: Store,
) -> dict[str, tuple[RecordedCheckpoint, ...]]:
    """By candidate, the checkpoints that a stage scored; `proxies` are those of report.json."""

    def given(candidate: str) -> Sequence[Member]:
        origin = origin_of(manifest, plan, stage, candidate)
        if not isinstance(origin, Series):
            return ()
        located = zip(origin.sections, origin.where, strict=True)
        return [member for each, at in located for member in resolve(each, manifest.base, at)]

    return {
        name: tuple(
            RecordedCheckpoint(f"{name} ({label})", identity, store, partial(given, name))
            for label, identity in named
        )
        for name, named in proxies.items()
    }
