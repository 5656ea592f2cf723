"""What a swarm mixes: a manifest's texts, and mixtures of them that count as one source.

A mixture is a candidate of the manifest with `mixture:`, or a source of the constraints with
`parts:`. Nothing of the texts is read: they may be anywhere.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataselect.config.manifest import Manifest
from dataselect.errors import InputError
from dataselect.mixture.constraints import Constraints, SourceLimits
from dataselect.mixture.parts import normalised
from dataselect.mixture.swarm_file import RecordedSource
from dataselect.wording import nearest, quoted

_PLACE = ("path", "name", "split", "data_files", "data_dir", "revision", "text_column")
"""Keys of a manifest that say which text a source is."""


@dataclass(frozen=True)
class SwarmSources:
    """The sources of a swarm."""

    recorded: Mapping[str, RecordedSource]
    """What each is, by name, in order."""
    texts: Mapping[str, Mapping[str, Any]]
    """By text that is part of a mixture, where it is."""
    constraints: Constraints
    """The constraints with all mixtures as `parts`, and without entries of what is not mixed."""


def find_sources(
    manifest: Manifest,
    names: Sequence[str] | None,
    constraints: Constraints,
    ignored: Sequence[str] = (),
) -> SwarmSources:
    """The sources `names`, or else all texts that are no part of a mixture, and these mixtures.

    Constraints may name `ignored` sources, of an earlier swarm. Raises InputError for a name that
    the manifest does not have.
    """
    texts = manifest.text_sources()
    mixed = {each.id: manifest.shares(each.id) for each in manifest.candidates if each.mixture}
    limits = dict(constraints.sources)
    wholes = {name: each.parts for name, each in limits.items() if each.parts is not None}
    _check_wholes(constraints, wholes, texts, mixed)
    known = [*texts, *wholes, *mixed]
    if names is None:
        in_wholes = {text for parts in wholes.values() for text in parts}
        names = [name for name in (*texts, *wholes) if name not in in_wholes]
    _check_names(manifest, names, known)
    for name in constraints.sources:
        if name not in known and name not in ignored:
            raise InputError(
                constraints.where("sources", name),
                f"{quoted(name)} is no text or mixture of {manifest.file.name}",
                nearest(name, known) or f"name some of: {', '.join(known)}",
            )
    recorded = {}
    parts_used: dict[str, None] = {}
    for name in names:
        if name in texts:
            recorded[name] = RecordedSource(text=_place(manifest, name))
            continue
        parts = normalised(wholes.get(name) or mixed[name])
        if name in mixed:
            entry = limits.get(name, SourceLimits())
            limits[name] = entry.model_copy(update={"parts": parts})
            limits[name].model_fields_set.add("parts")
        parts_used |= dict.fromkeys(parts)
        recorded[name] = RecordedSource(parts=parts)
    used = {*names, *parts_used}
    kept = {name: each for name, each in limits.items() if name in used}
    places = {text: _place(manifest, text) for text in parts_used}
    return SwarmSources(recorded, places, constraints.model_copy(update={"sources": kept}))


def _check_wholes(
    constraints: Constraints,
    wholes: Mapping[str, Mapping[str, float]],
    texts: Collection[str],
    mixed: Collection[str],
) -> None:
    """Check the mixtures of the constraints against the manifest. Raises InputError."""
    for name, parts in wholes.items():
        at = ("sources", name, "parts")
        if name in texts or name in mixed:
            kind = "text" if name in texts else "mixture"
            raise InputError(
                constraints.where(*at),
                f"{quoted(name)} is a {kind} of the manifest",
                "give the mixture of its parts another name",
            )
        for text in parts:
            if text not in texts:
                raise InputError(
                    constraints.where(*at, text),
                    f"the manifest has no text {quoted(text)}",
                    nearest(text, texts) or f"name some of: {', '.join(texts)}",
                )


def _check_names(manifest: Manifest, names: Sequence[str], known: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name not in known:
            raise InputError(
                "--sources",
                f"there is no text or mixture {quoted(name)} in {manifest.file.name}",
                nearest(name, known) or f"name some of: {', '.join(known)}",
            )
        if name in names[:i]:
            raise InputError("--sources", f"{quoted(name)} comes twice", "keep one")
    if len(names) < 2:
        raise InputError(
            "--sources" if names else manifest.where(),
            f"there is nothing to mix: {len(names)} source",
            "name two or more",
        )


def _place(manifest: Manifest, name: str) -> dict[str, Any]:
    source = manifest.text_sources()[name]
    return source.model_dump(include=set(_PLACE), exclude_none=True, exclude_defaults=True)
