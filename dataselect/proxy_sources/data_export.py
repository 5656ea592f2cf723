"""A command's training data: the folder that replaces {data}.

    data.json                          contents, and how to mix the sources
    tokens/<source>/tokens-00000.bin   token ids of a source, raw and little-endian
    tokens/<source>/tokens-00000.idx   index of its documents, for Megatron-LM
    tokenizer/                         the tokenizer's folder

OLMo-core maps raw ids into memory directly, Megatron-LM with the index beside them; each document
is followed by one end-of-text token. For trainers that read text (torchtitan) `data.json` lists
the files, or the arguments of `datasets.load_dataset`, of every source. Shards are hard links into
the store: they take no space, and the folder can be copied.

Not covered: the order of the tokens. The built-in trainer shuffles sequences of all sources
together; so should the command.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect.config.manifest import Source
from dataselect.corpus.files import local_files, origin
from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.prepare import Share, Stream
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.proxy_sources.megatron_index import write_index
from dataselect.store.artifact import published_file
from dataselect.store.files import needs_room, remove, sha256_of
from dataselect.store.sealed import read_own, set_aside, write_own

SCHEMA = 1
_SUMS = "data.sums.json"
"""Beside the folder: SHA-256 of its files."""


@dataclass(frozen=True)
class HandedSource:
    """One source of the candidate."""

    id: str
    weight: float
    """Its share of the candidate's tokens, 0..1."""
    share: Share
    """Its token stream and budget."""
    available: int
    """Tokens in the stream."""
    text: Mapping[str, Any]
    """Location of its text, as keys of `data.json`."""


def hand(stream: Stream, share: Share, weight: float, source: Source, base: Path) -> HandedSource:
    """A source for `data.json`; paths of its text are absolute."""
    text: dict[str, Any] = {"text_column": source.text_column}
    kind = origin(source, base)
    if kind == "local":
        paths = (file.path for file in local_files(source, base))
        text["files"] = [str(path.resolve()) for path in paths if isinstance(path, Path)]
    elif kind == "remote":
        # Addresses for fsspec; they have no secrets in them.
        text["files"] = [str(file.path) for file in local_files(source, base)]
    else:
        keys = {"path", "name", "split", "data_files", "data_dir", "revision"}
        text["load_dataset"] = source.model_dump(include=keys, exclude_none=True)
    return HandedSource(stream.source, weight, share, stream.tokens, text)


def write_data(
    folder: Path, tokenizer: Tokenizer, sources: tuple[HandedSource, ...], facts: Mapping[str, Any]
) -> None:
    """Write `folder` unless it is there as an earlier call wrote it.

    `facts` become keys of data.json. Raises IncompleteError where a stream is damaged, PassingError
    where the disk is full.
    """
    sums = folder.with_name(_SUMS)
    known = read_own(sums)
    if known is not None and known["files"] == _hashes(folder):
        return
    if known is not None:
        set_aside(folder, "is not as it was written", "it is written anew")
    # Without sums it is of an older version, or from a kill before they were written.
    remove(folder)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    try:
        with needs_room(folder):
            _write(unfinished, tokenizer, sources, facts)
            unfinished.rename(folder)
            write_own(sums, {"files": _hashes(folder)})
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of all files of a folder, by path in it."""
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _write(
    unfinished: Path,
    tokenizer: Tokenizer,
    sources: tuple[HandedSource, ...],
    facts: Mapping[str, Any],
) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    described = []
    dtype = "uint16"
    end_of_text = load_tokenizer(tokenizer.folder).eos_token_id
    for source in sources:
        index = json.loads((source.share.folder / "index.json").read_bytes())
        dtype = index["dtype"]
        described.append(
            {
                "id": source.id,
                "weight": source.weight,
                "tokens": source.share.tokens,
                "available_tokens": source.available,
                "epochs": source.share.tokens / source.available,
                "documents": index["documents"],
                "shards": _link_shards(source, unfinished, index, end_of_text),
                **source.text,
            }
        )
    shutil.copytree(tokenizer.folder, unfinished / "tokenizer", ignore=_own_records)
    content = {
        "schema": SCHEMA,
        **facts,
        "dtype": dtype,
        "byte_order": "little",
        "before_text": list(tokenizer.before),
        "end_of_text": end_of_text,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": "tokenizer",
        "sources": described,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (unfinished / "data.json").write_text(text + "\n", encoding="utf-8")


def _link_shards(
    source: HandedSource, folder: Path, index: Mapping[str, Any], end_of_text: int
) -> list[dict[str, Any]]:
    there = Path("tokens", source.id)
    (folder / there).mkdir(parents=True)
    left, shards = index["tokens"], []
    for shard in sorted(source.share.folder.glob("tokens-*.bin")):
        os.link(published_file(shard), folder / there / shard.name)
        write_index(folder / there / shard.name, index["dtype"], end_of_text)
        tokens = min(left, index["shard_tokens"])
        shards.append({"file": (there / shard.name).as_posix(), "tokens": tokens})
        left -= tokens
    return shards


def _own_records(folder: str, names: list[str]) -> set[str]:
    return {"artifact.json", "facts.json"} & set(names)
