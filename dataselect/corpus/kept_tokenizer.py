"""The tokenizer of a run as a folder of the store: trained on its texts, or a given one."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.corpus.fingerprint import require_unchanged
from dataselect.corpus.rows import open_rows
from dataselect.corpus.source_at import SourceAt
from dataselect.store import Artifact, Store
from dataselect.store.files import sha256_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENIZERS = "tokenizer"
"""Kind of the artifacts."""


@dataclass(frozen=True)
class Tokenizer:
    """The run's tokenizer."""

    folder: Path
    hash: str
    """`tokenizer_hash` of the folder."""
    vocab_size: int
    """Number of entries, special tokens included."""
    before: tuple[int, ...] = ()
    """Special tokens that begin every text (a BOS, or nothing)."""
    notes: tuple[str, ...] = ()
    """Remarks on its files for readers of the report."""


@dataclass(frozen=True)
class TokenizerRequest:
    """A tokenizer that is to be trained on the texts of all sources."""

    texts: Mapping[str, SourceAt]
    """The sources, by id."""
    fingerprints: Mapping[str, Mapping[str, Any]]
    """What identifies their texts, by id."""
    training: Mapping[str, Any]
    """What the plan says: `vocab_size`, `characters`, `split_digits`."""
    seed: int
    """Seed of the order of documents."""

    @property
    def spec(self) -> dict[str, Any]:
        """What determines the artifact."""
        texts = {name: self.fingerprints[name] for name in sorted(self.fingerprints)}
        return {"train": dict(self.training), "seed": self.seed, "texts": texts}

    def find(self, store: Store) -> Artifact | None:
        """The tokenizer's folder; None if the store lacks it."""
        return store.find(TOKENIZERS, self.spec)

    def make(self, store: Store, progress: Callable[[dict[str, float]], None]) -> Artifact:
        """The tokenizer's folder, trained now unless it is in the store.

        Raises InputError for bad rows.
        """

        def build(folder: Path) -> None:
            from dataselect.corpus.tokenizer import train_tokenizer

            progress({})
            tokenizer = train_tokenizer(
                self._pooled(), self.training["vocab_size"], self.training["split_digits"]
            )
            for name, text in self.texts.items():
                require_unchanged(text.source, text.base, self.fingerprints[name])
            _save_tokenizer(tokenizer, (), {}, folder)

        return store.get_or_build(TOKENIZERS, self.spec, build, whole=True)

    def _pooled(self) -> Iterator[str]:
        """Equal parts of every source, so that the tokenizer favours no candidate."""
        for each in self.texts.values():
            left = self.training["characters"] // len(self.texts)
            for text in open_rows(each.source, each.base, self.seed):
                yield text[:left]
                left -= len(text)
                if left <= 0:
                    break


def keep_tokenizer(
    path: str,
    revision: str | None,
    base: Path,
    store: Store,
    report: Callable[[str, Mapping[str, float]], None],
) -> Tokenizer:
    """The tokenizer of a folder relative to `base`, or of a name on the Hub, kept in the store.

    Raises InputError where there is none.
    """
    spec = _loaded_spec(path, revision, base)

    def build(folder: Path) -> None:
        from dataselect.corpus.tokenizer import load_saved_tokenizer

        report("tokenizer", {})
        saved = load_saved_tokenizer(spec["path"], revision)
        beside = {"beside": _beside(Path(spec["path"]))} if "hash" in spec else {}
        _save_tokenizer(saved.tokenizer, saved.notes, beside, folder)

    artifact = store.get_or_build(TOKENIZERS, spec, build, whole=True)
    local = Path(spec["path"]) if "hash" in spec else None
    if local is not None:
        from dataselect.corpus.segmentation import segmentation_hash

        if segmentation_hash(artifact.path) != segmentation_hash(local):
            # Kept by an earlier release, which followed the class that is named beside the file.
            spec = {**spec, "tokens": "tokenizer.json"}
            artifact = store.get_or_build(TOKENIZERS, spec, build, whole=True)
    notes = tuple(artifact.json("facts.json").get("notes", ()))
    if local is not None and artifact.json("facts.json").get("beside") != _beside(local):
        # A key holds the tokens, and not the class that is named beside them.
        from dataselect.corpus.tokenizer import load_saved_tokenizer

        notes = load_saved_tokenizer(local).notes
    return kept_tokenizer(artifact, notes)


def kept_tokenizer(artifact: Artifact, notes: tuple[str, ...] = ()) -> Tokenizer:
    """The tokenizer in an artifact."""
    facts = artifact.json("facts.json")
    before = facts["before"] if "before" in facts else _before(artifact.path)
    return Tokenizer(artifact.path, facts["hash"], facts["vocab_size"], tuple(before), notes)


def _beside(folder: Path) -> dict[str, str]:
    """What the notes on a folder's tokenizer depend on, besides its tokenizer.json."""
    files = (path for path in sorted(folder.glob("*.json")) if path.name != "tokenizer.json")
    return {"transformers": version("transformers"), **{p.name: sha256_of(p) for p in files}}


def _before(folder: Path) -> list[int]:
    """What an artifact of before does not say."""
    from tokenizers import Tokenizer as Backend

    from dataselect.corpus.saved_tokenizer import special_tokens_before

    return special_tokens_before(Backend.from_file(str(folder / "tokenizer.json")))


def _loaded_spec(path: str, revision: str | None, base: Path) -> dict[str, Any]:
    local = base / path
    if local.is_dir():
        from dataselect.corpus.tokenizer import tokenizer_hash

        return {"path": str(local.resolve()), "hash": tokenizer_hash(local)}
    return {"path": path, "revision": revision}


def _save_tokenizer(
    tokenizer: "PreTrainedTokenizerFast",
    notes: Sequence[str],
    beside: Mapping[str, Any],
    folder: Path,
) -> None:
    from dataselect.corpus.saved_tokenizer import special_tokens_before
    from dataselect.corpus.tokenizer import tokenizer_hash

    tokenizer.save_pretrained(str(folder))
    facts = {
        "hash": tokenizer_hash(folder),
        "vocab_size": len(tokenizer),
        "before": special_tokens_before(tokenizer),
        "notes": notes,
        **beside,
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
