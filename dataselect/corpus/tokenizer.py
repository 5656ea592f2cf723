"""The tokenizer of a run: trained on the pooled sources, or loaded.

All candidates share one tokenizer, so that their proxies' losses can be compared. Training gives
byte-level BPE: it encodes any text, and its tokens map back to bytes exactly, which the metric's
letter spans depend on. Tokenizers without a fast (Rust) form are refused.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from dataselect import strict_json
from dataselect.corpus.saved_tokenizer import SavedTokenizer, read_tokenizer, token_text
from dataselect.errors import InputError
from dataselect.redaction import redact

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
# The 256 bytes and the end-of-text token.
SMALLEST_VOCABULARY = 257
# Special tokens that are part of a tokenizer's hash.
_HASHED = ("bos_token", "eos_token", "pad_token", "unk_token")
_HUB_FILES = [
    "config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "vocab.*",
    "merges.txt",
]


def train_tokenizer(
    texts: Iterator[str], vocab_size: int, split_digits: bool
) -> "PreTrainedTokenizerFast":
    """Train byte-level BPE on texts; the same texts in the same order give the same tokenizer.

    `vocab_size` includes the 256 bytes and `<|endoftext|>`, which is beginning, end and padding.
    The vocabulary is smaller when too few pairs occur twice in the texts. With `split_digits` every
    digit is a separate token, which makes arithmetic easier to learn. Raises InputError for a
    `vocab_size` below 257.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < SMALLEST_VOCABULARY:
        raise InputError(
            "tokenizer: vocab_size",
            f"{vocab_size} is too small for a byte-level vocabulary",
            f"set it to {SMALLEST_VOCABULARY} or more",
        )
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([digits, byte_level]) if split_digits else byte_level
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(path: str | Path, revision: str | None = None) -> "PreTrainedTokenizerFast":
    """The tokenizer of `load_saved_tokenizer`, without its notes."""
    return load_saved_tokenizer(path, revision).tokenizer


def load_saved_tokenizer(path: str | Path, revision: str | None = None) -> SavedTokenizer:
    """Load a tokenizer from a folder or the Hub; its tokens are those of its tokenizer.json.

    Raises InputError when there is none, or when it is slow or has no end-of-text token.
    """
    folder = Path(path) if Path(path).is_dir() else _from_hub(str(path), revision)
    saved = read_tokenizer(folder)
    if saved.tokenizer.eos_token_id is None:
        raise InputError(
            path, "this tokenizer has no end-of-text token", "set eos_token in its configuration"
        )
    return saved


def _from_hub(name: str, revision: str | None) -> Path:
    """The files of a tokenizer in the Hugging Face cache, downloaded if missing."""
    from huggingface_hub import snapshot_download

    _require_hub(name, revision)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES))
    except Exception as error:  # from whichever HTTP library is in use
        reason = shorten(redact(str(error)), 200, placeholder=" …")
        raise InputError(
            name,
            f"no tokenizer can be loaded ({reason})",
            "check the path and revision; a Hub tokenizer needs the network or an earlier download",
        ) from None


def _require_hub(name: str, revision: str | None) -> None:
    """Raise InputError when the Hub does not answer about a tokenizer that is not in the cache.

    The loader would fail as well, but only after many retries for one file after the other.
    """
    from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.utils import http_backoff  # type: ignore[attr-defined]

    file = "tokenizer_config.json"
    try:
        if try_to_load_from_cache(name, file, revision=revision) is None:
            http_backoff(
                "HEAD",
                hf_hub_url(name, file, revision=revision),
                max_retries=3,
                retry_on_status_codes=(),  # any answer is enough
                timeout=constants.HF_HUB_ETAG_TIMEOUT,
            )
    except (HFValidationError, OfflineModeIsEnabled):  # the loader reports these at once
        return
    except Exception as error:  # from whichever HTTP library is in use
        reason = shorten(redact(str(error)), 200, placeholder=" …")
        raise InputError(
            name,
            f"it is not a folder, and the Hub does not answer ({reason})",
            "check the network, name a folder, or download the tokenizer where there is a network",
        ) from None


def tokenizer_hash(folder: str | Path) -> str:
    """Hash of everything that decides the token ids of a saved tokenizer, 32 hexadecimal digits.

    Formatting, and settings that a call can change (padding, truncation), do not count. Raises
    InputError when the folder has no fast tokenizer.
    """
    folder = Path(folder)
    content = _json(folder / "tokenizer.json")
    for setting in ("padding", "truncation"):
        content.pop(setting, None)
    settings = _json(folder / "tokenizer_config.json")
    named = {name: token_text(settings.get(name)) for name in _HASHED}
    special = {name: token for name, token in named.items() if token is not None}
    text = json.dumps({"tokenizer": content, "special": special}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = strict_json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            path, "is missing or damaged", "save the tokenizer again with save_pretrained"
        ) from error
    if not isinstance(content, dict):
        raise InputError(path, "is not a JSON object", "save the tokenizer with save_pretrained")
    return content
