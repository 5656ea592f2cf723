"""Token folders written by hand, without a tokenizer."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def token_stream(folder: Path, tokens: Iterable[int], shard_tokens: int = 1000) -> str:
    """A folder as `write_tokens` leaves it, with small shards."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.array(list(tokens), "<u2")
    for number, start in enumerate(range(0, len(ids), shard_tokens)):
        piece = ids[start : start + shard_tokens]
        (folder / f"tokens-{number:05d}.bin").write_bytes(piece.tobytes())
    index = {"schema": 1, "dtype": "uint16", "tokens": len(ids), "documents": 1}
    index |= {"shard_tokens": shard_tokens, "exhausted": False, "counts": None}
    (folder / "index.json").write_text(json.dumps(index))
    return str(folder)
