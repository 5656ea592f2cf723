"""Whether two tokenizers segment texts alike, whatever else they differ in.

Losses per token can only be compared between models that split texts into the same tokens. The
hash of a tokenizer (`corpus.tokenizer.tokenizer_hash`) is too strict for this: a pad token, a chat
template or an older version of the library that saved the file changes it. The hash here covers
only what decides the segmentation: normaliser, pre-tokeniser, the model with its vocabulary and
merges, and added tokens that are found in ordinary text (GPT-NeoX has some for runs of spaces).
It is of what is used: models are loaded with the tokens of tokenizer.json (`saved_tokenizer`).

Not covered: special tokens, which are text when they are written in a text.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.corpus.saved_tokenizer import special_tokens
from dataselect.errors import InputError
from dataselect.store.files import sha256_of

_PARTS = ("normalizer", "pre_tokenizer", "model")


def segmentation_hash(folder: Path) -> str:
    """32 hexadecimal digits, equal for tokenizers that segment ordinary texts alike.

    For a folder without tokenizer.json, a hash of its tokenizer files. Raises InputError for a
    damaged one.
    """
    file = folder / "tokenizer.json"
    if file.exists():
        status = file.stat()
        return _of_file(file, status.st_size, status.st_mtime_ns)
    others = [path for name in ("*.model", "vocab.*", "merges.txt") for path in folder.glob(name)]
    text = "\n".join(sorted(f"{path.name} {sha256_of(path)}" for path in others))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache(maxsize=64)
def _of_file(file: Path, size: int, changed: int) -> str:
    try:
        content = strict_json.loads(file.read_bytes())
        parts = {part: _plain(content.get(part)) for part in _PARTS}
        special = set(special_tokens(file.parent).values())
        added = [
            _plain(token)
            for token in content.get("added_tokens") or ()
            if not token.get("special") and token.get("content") not in special
        ]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            file, "is missing or damaged", "save the tokenizer again with save_pretrained"
        ) from error
    if added:
        parts["added_tokens"] = added
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """`value` in a form common to all versions of the library: no defaults, merges as pairs."""
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, element in value.items():
        if key == "merges" and isinstance(element, list):
            kept[key] = [pair.split(" ") if isinstance(pair, str) else pair for pair in element]
        elif key == "vocab":
            kept[key] = element
        elif element not in (None, False) and not (key == "use_regex" and element is True):
            kept[key] = _plain(element)
    return kept
