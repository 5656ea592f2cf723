"""Texts that a command names: `ngram:crawl.jsonl.gz`, `ngram:MANIFEST.yaml` or `…yaml#CANDIDATE`.

A file or folder is read as a candidate with that `path` would be. What else a text needs (another
column, a dataset on the Hub, shares of several sources) stands in a manifest, so there are no
options for it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataselect.config.manifest import Manifest, Source, load_manifest
from dataselect.corpus.files import has_files
from dataselect.corpus.forms import FORM_OF_SUFFIX
from dataselect.errors import InputError
from dataselect.wording import nearest, quoted, slug

PREFIX = "ngram:"
"""Begins the name of a text where models are named too."""

_MANIFESTS = (".yaml", ".yml")
_ENDINGS = frozenset({*FORM_OF_SUFFIX, ".gz", ".zst"})


@dataclass(frozen=True)
class NamedText:
    """A text that can be read."""

    id: str
    """The candidate's id, or the file's name without its endings."""
    shares: Mapping[str, float]
    """Share of the tokens by id of a source; the shares sum to 1."""
    sources: Mapping[str, Source]
    """The sources of `shares`, by id."""
    base: Path
    """Folder that the sources' paths start from."""
    where: str
    """What named it, for messages."""

    @property
    def is_mixture(self) -> bool:
        """Whether it has several sources, or may have."""
        return list(self.shares) != [self.id]

    @property
    def has_an_end(self) -> bool:
        """Whether all of it can be read: files of text, and no mixture."""
        files = (has_files(source, self.base) for source in self.sources.values())
        return not self.is_mixture and all(files)


def is_named_text(name: str) -> bool:
    """Whether `name` is that of a text, and not of a model."""
    return name.startswith(PREFIX)


def find_texts(name: str) -> Sequence[NamedText]:
    """The texts that `ngram:…` names: one, or every candidate of a manifest that has text.

    Raises InputError for a path that does not exist, and for a candidate without text.
    """
    given = name.removeprefix(PREFIX)
    path, _, candidate = given.rpartition("#")
    if path.endswith(_MANIFESTS) and not Path(given).exists():
        return [_of_manifest(load_manifest(path), candidate, name)]
    if given.endswith(_MANIFESTS):
        manifest = load_manifest(given)
        texts = [
            _of_manifest(manifest, each.id, name) for each in manifest.candidates if each.has_text
        ]
        if not texts:
            raise InputError(name, "no candidate of it has text", "name another manifest")
        return texts
    return [_of_path(given, name)]


def _of_path(given: str, name: str) -> NamedText:
    if not given or not Path(given).exists():
        raise InputError(
            name,
            "there is no such file or folder",
            f"correct the path; name text on the Hub in a manifest, as {PREFIX}MANIFEST.yaml#ID",
        )
    own = slug(_without_endings(Path(given).resolve().name)) or "text"
    return NamedText(own, {own: 1.0}, {own: Source(id=own, path=given)}, Path.cwd(), name)


def _of_manifest(manifest: Manifest, candidate: str, name: str) -> NamedText:
    ids = [each.id for each in manifest.candidates]
    if candidate not in ids:
        fix = nearest(candidate, ids) or f"its candidates are {', '.join(ids)}"
        raise InputError(name, f"it has no candidate {quoted(candidate)}", fix)
    shares = manifest.shares(candidate)
    if not shares:
        raise InputError(
            manifest.where_candidate(candidate),
            f"{candidate!r} has no text whose words could be counted",
            "add 'path' or 'mixture', or name another candidate",
        )
    texts = manifest.text_sources()
    sources = {source: texts[source] for source in shares}
    return NamedText(candidate, shares, sources, manifest.base, name)


def _without_endings(name: str) -> str:
    """`crawl.jsonl.gz` → `crawl`; other endings belong to the name."""
    stem = name
    while (ending := Path(stem).suffix.lower()) and ending in _ENDINGS:
        stem = stem[: -len(ending)]
    return stem
