"""Find checkpoints that were trained elsewhere: revisions on the Hub or folders, in order.

Finding is cheap: one request lists the names and commits of all revisions, and folders are listed,
not read. Weights are downloaded, and files hashed, only when a checkpoint is used, so that of a
thousand revisions only those that are scored cost anything. A revision is identified by its commit.
A pinned one (`NAME@COMMIT`) is found without a network, and used without one once its files are in
the Hugging Face cache. Without a network other names are looked up in that cache.

Not covered: loading models; nothing here imports torch.
"""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from dataselect.config.checkpoints import Checkpoints, step_in
from dataselect.corpus.segmentation import segmentation_hash
from dataselect.errors import InputError
from dataselect.redaction import redact
from dataselect.scoring.checkpoint import (
    HubCheckpoint,
    ModelCheckpoint,
    Precision,
    has_weights,
    is_hub_id,
    model_identity,
)
from dataselect.store import Store
from dataselect.units import format_count
from dataselect.wording import nearest, quoted

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHOWN = 5


@dataclass(frozen=True)
class Member:
    """One checkpoint of a series."""

    label: str
    """The revision or the folder's name."""
    step: int | None
    """Training step, from the name; None if the name has none."""
    tokens: int | None
    """Tokens seen in training; None if unknown."""
    place: Path | tuple[str, str]
    """Its folder, or (Hub id, commit)."""
    precision: Precision
    """Arithmetic of scoring."""
    store: Store | None = field(default=None, compare=False, repr=False)
    """Caches the hashes of a folder's files; None hashes them each time."""

    @property
    def commit(self) -> str | None:
        """The commit of a revision on the Hub; None for a folder."""
        return None if isinstance(self.place, Path) else self.place[1]

    @cached_property
    def checkpoint(self) -> ModelCheckpoint | HubCheckpoint:
        """The checkpoint to score; the first access hashes the files of a folder."""
        if isinstance(self.place, Path):
            identity = model_identity(self.place, self.precision, self.store)
            return ModelCheckpoint(self.label, self.place, identity)
        hub, commit = self.place
        return HubCheckpoint(f"{hub}@{self.label}", hub, commit, self.precision)


def resolve(section: Checkpoints, base: Path, where: str) -> tuple[Member, ...]:
    """The checkpoints that a section names, by rising tokens (by steps where tokens are unknown).

    Folders are relative to `base`. Raises InputError, naming `where`, when there is none, when two
    are at the same point of training, or when a name has neither tokens nor a step.
    """
    folders = _folders(section, base, where)
    found: Mapping[str, Path | tuple[str, str]]
    if folders is not None:
        if section.revisions is not None:
            raise InputError(
                where, f"{quoted(section.model)} is a folder, which has no revisions", "remove them"
            )
        found = folders
    else:
        hub, commits = _revisions(section, where)
        found = {name: (hub, commit) for name, commit in commits.items()}
    if isinstance(section.tokens, int) and len(found) > 1:
        raise InputError(
            where,
            f"'tokens' is one number and there are {len(found)} checkpoints",
            "give tokens by name, or 'tokens_per_step'",
        )
    if isinstance(section.tokens, dict):
        for name in section.tokens:
            if name not in found:
                fix = nearest(name, found) or f"the names are {_some(name, found)}"
                raise InputError(where, f"'tokens' names {quoted(name)}, not found there", fix)
    members = [
        Member(name, step_in(name), section.tokens_at(name), place, section.precision)
        for name, place in found.items()
    ]
    return _ordered(members, where)


def pinned(section: Checkpoints, members: Sequence[Member]) -> Checkpoints:
    """The section with its revisions pinned to commits, so that it always means the same."""
    if any(member.commit is None for member in members):
        return section
    names = [f"{m.label}@{m.commit}" if m.label != m.commit else m.label for m in members]
    hub = section.model.partition("@")[0]
    return section.model_copy(update={"model": hub, "revisions": names})


def _ordered(members: Sequence[Member], where: str) -> tuple[Member, ...]:
    if len(members) == 1:
        return tuple(members)
    by_tokens = all(member.tokens is not None for member in members)
    points: dict[tuple[int, int], Member] = {}
    for member in members:
        point = member.tokens if by_tokens else member.step
        if point is None:
            raise InputError(
                where,
                f"the name {quoted(member.label)} does not say where in training it is",
                "give 'tokens' by name for such checkpoints, or leave them out",
            )
        # Tokens in names are rounded, so early checkpoints of different steps may have the same.
        key = (point, member.step or 0)
        if key in points:
            at = f"{format_count(point)} tokens" if by_tokens else f"step {point}"
            raise InputError(
                where,
                f"{quoted(points[key].label)} and {quoted(member.label)} are both at {at}",
                "name one of them, or narrow the pattern",
            )
        points[key] = member
    return tuple(points[key] for key in sorted(points))


def _folders(section: Checkpoints, base: Path, where: str) -> dict[str, Path] | None:
    """Folders of checkpoints by their path below the pattern's fixed part; None for a Hub model."""
    model = section.model
    top = base / model
    if top.is_dir():
        if (top / "config.json").exists():
            return _with_weights({top.resolve().name: top}, where, top)
        return _with_weights({path.name: path for path in top.iterdir()}, where, top)
    if glob.has_magic(model):
        parts = Path(model).parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        top = base.joinpath(*parts[:fixed])
        found = [base / path for path in glob.glob(model, root_dir=base)]
        folders = {path.relative_to(top).as_posix(): path for path in found if path.is_dir()}
        if not folders:
            there = [path.name for path in top.iterdir()] if top.is_dir() else []
            raise InputError(
                where,
                f"no folder matches {quoted(model)}",
                f"in {top} there is {_some(parts[fixed], there)}",
            )
        return _with_weights(folders, where, top)
    if not is_hub_id(model.partition("@")[0]):
        raise InputError(where, f"there is no folder {quoted(model)}", "check the path")
    return None


def _with_weights(folders: Mapping[str, Path], where: str, top: Path) -> dict[str, Path]:
    """The folders that hold a checkpoint. Raises InputError for one with a config.json alone."""
    configured = {name: path for name, path in folders.items() if (path / "config.json").exists()}
    if not configured:
        raise InputError(
            where,
            f"no folder there in {top} has a config.json",
            "name folders of Hugging Face checkpoints",
        )
    for path in configured.values():
        if not has_weights(path):
            raise InputError(
                where,
                f"{path} has no *.safetensors weights",
                "save them as safetensors (pickled weights are not read), or leave it out",
            )
    return configured


def _some(name: str, names: Iterable[str]) -> str:
    """The names most similar to `name`, and the number of others."""
    known = sorted(names)
    nearest_names = get_close_matches(name, known, n=_SHOWN, cutoff=0.0)
    rest = len(known) - len(nearest_names)
    if not nearest_names:
        return "nothing"
    return ", ".join(nearest_names) + (f" and {rest} more" if rest else "")


def _revisions(section: Checkpoints, where: str) -> tuple[str, dict[str, str]]:
    """The Hub id, and commits by revision name."""
    hub, _, single = section.model.partition("@")
    if single and section.revisions is not None:
        raise InputError(
            where, f"{quoted(section.model)} names a revision, and 'revisions' too", "keep one"
        )
    known: Mapping[str, str] | None = None
    found: dict[str, str] = {}
    for pattern in [single] if single else section.revision_patterns or ["main"]:
        name, _, pinned = pattern.rpartition("@")
        if _COMMIT.fullmatch(pinned):
            found[name or pinned] = pinned
            continue
        if known is None:
            known = _known_revisions(hub, where)
        matching = {n: c for n, c in known.items() if n == pattern or fnmatchcase(n, pattern)}
        if not matching:
            raise InputError(
                where,
                f"{hub} has no revision {quoted(pattern)}",
                f"there is {_some(pattern, known)}",
            )
        found |= matching
    return hub, found


def _known_revisions(hub: str, where: str) -> dict[str, str]:
    """Commits by name of a repository's branches and tags; offline, those in the cache."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        refs = HfApi().list_repo_refs(hub)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            where,
            f"it is no folder, and the Hub does not give {quoted(hub)} ({_first_line(error)})",
            "check the id and HF_TOKEN, or name a folder",
        ) from error
    except Exception as error:  # httpx errors, OSError and custom classes of clients
        if cached := _cached_revisions(hub):
            return cached
        raise InputError(
            where,
            f"the Hub does not answer for the revisions of {quoted(hub)} ({_first_line(error)})",
            "check the network, pin NAME@COMMIT of what is in the cache, or name folders",
        ) from error
    return {ref.name: ref.target_commit for ref in (*refs.tags, *refs.branches)}


def _cached_revisions(hub: str) -> dict[str, str]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    return {
        name: revision.commit_hash
        for repository in repositories
        if (repository.repo_type, repository.repo_id) == ("model", hub)
        for revision in repository.revisions
        for name in revision.refs
    }


def _first_line(error: Exception) -> str:
    lines = redact(str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def check_one_tokenizer(members: Iterable[Member], where: str) -> str | None:
    """How the folders among `members` split texts (`corpus.segmentation`); None without a folder.

    Raises InputError, beginning with `where`, for two ways: losses per token of different tokens
    are no curve and have no mean. Checkpoints on the Hub are not looked at.
    """
    first: tuple[Member, str] | None = None
    for member in members:
        if not isinstance(member.place, Path):
            continue
        cut = segmentation_hash(member.place)
        if first is not None and cut != first[1]:
            raise InputError(
                where,
                f"{quoted(member.label)} has another tokenizer than {quoted(first[0].label)}, and"
                " scores per token of different tokenizers cannot be compared",
                "name checkpoints of one tokenizer",
            )
        first = first or (member, cut)
    return None if first is None else first[1]
