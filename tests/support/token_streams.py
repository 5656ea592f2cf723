"""Token folders written by hand, without a tokenizer."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def token_stream(folder: Path, tokens: Sequence[int], shard_tokens: int = 1000) -> str:
    """A folder as `write_tokens` leaves it, with small shards."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(tokens), shard_tokens)):
        piece = np.array(tokens[start : start + shard_tokens], "<u2")
        (folder / f"tokens-{number:05d}.bin").write_bytes(piece.tobytes())
    index = {"schema": 1, "dtype": "uint16", "tokens": len(tokens), "documents": 1}
    index |= {"shard_tokens": shard_tokens, "exhausted": False, "counts": None}
    (folder / "index.json").write_text(json.dumps(index))
    return str(folder)
