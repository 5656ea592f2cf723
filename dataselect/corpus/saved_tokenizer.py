"""The tokenizer of a folder, as its tokenizer.json has it.

`AutoTokenizer` builds a tokenizer from the class that tokenizer_config.json or the model's type
names; some classes replace the splitting rules of tokenizer.json by their own, and which ones do
depends on the release of transformers. The same weights would then get other tokens, and another
score, by one line of a small file. So the file decides here, and a note says where the class would
have cut texts otherwise. A folder without tokenizer.json is loaded by its class: there is nothing
to compare it with.

Special tokens that are written in a text ("<|endoftext|>") are text, in training and in scoring:
documents and traces speak of them, and only the markers that a program sets are borders.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from dataselect import strict_json
from dataselect.errors import DataselectError, InputError
from dataselect.redaction import redact
from dataselect.wording import quoted

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_SPECIAL = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_SEVERAL = ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
_TOKEN_KEYS = {"content", "single_word", "lstrip", "rstrip", "normalized", "special"}
_TOKEN_KEYS |= {"__type", "id"}
_SHOWN = 24
_MOST_GAPS = 10
_WORD = re.compile(r"[\sĠ▁]?\w*")
# What splitting rules, normalisers and decoders of this field's tokenizers treat differently:
# digits, runs of spaces, line ends, code, contractions, other scripts, accents in both forms.
_PROBES = (
    "a",
    " a",
    "12345 and 6,789.01 + 3 = 4",
    "a  b   c        d",
    "a\tb\t\tc",
    "one\ntwo\n\nthree\r\n\n\n  four\n",
    "def f(x):\n    return x[0] != {'k': x} # done\n\n\n",
    "I'm sure they'LL say it isn't he'd",
    "你好，世界。日本語のテキスト 한국어",
    "café naïve cafe\u0301 Ångström ﬁne",
    "Привет, мир! שלום مرحبا नमस्ते",
    "\\frac{1}{2} $x^2$ <<3+4=7>>7",
    "https://a.example/b_c?d=1&e=2",
    "HELLO world…“quoted” — done",
    " leading and trailing ",
)


@dataclass(frozen=True)
class SavedTokenizer:
    """A tokenizer that was loaded from a folder."""

    tokenizer: "PreTrainedTokenizerFast"
    """Gives the tokens of tokenizer.json; special tokens in a text are text."""
    notes: tuple[str, ...]
    """Where transformers, or the settings beside the file, would have it otherwise."""


def read_tokenizer(folder: Path) -> SavedTokenizer:
    """Load the tokenizer of a folder. Raises InputError when there is none, or a slow one."""
    from dataselect.corpus.quiet_transformers import quiet

    try:
        with quiet():
            return _read(folder)
    except (DataselectError, MemoryError):
        raise
    except Exception as error:  # whatever the libraries do not take: letters that are none, ...
        reason = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
        raise _not_loaded(folder, reason) from error


def _read(folder: Path) -> SavedTokenizer:
    file = folder / "tokenizer.json"
    if file.is_file():
        _check_ids(folder, file)
    by_class, failure = _by_class(folder)
    if not file.is_file():
        if by_class is None:
            raise _not_loaded(folder, failure)
        if not by_class.is_fast:
            raise InputError(
                folder, "its tokenizer is not a fast one", "convert it to a tokenizer.json"
            )
        by_class.split_special_tokens = True
        if set(plain_ids(by_class, ["a"])[0]) <= set(by_class.all_special_ids):
            raise _not_loaded(folder, "there is no file with its vocabulary")
        name = type(by_class).__name__
        return SavedTokenizer(
            by_class,
            (
                f"it has no tokenizer.json: its tokens are those that transformers' {name} makes"
                " of its other files, unchecked",
            ),
        )
    reference = _from_file(folder, file)
    named = special_tokens(folder) if by_class is None else _special_of(by_class)
    special = {name: token for name, token in named.items() if _is_marker(token, reference)}
    tokenizer = _wrapped(folder, file, special)
    dropout = getattr(reference.model, "dropout", None)
    for backend in (tokenizer.backend_tokenizer, reference):
        # A file may hold them as ordinary added tokens, which would be found in a text.
        backend.add_special_tokens(list(special.values()))
        if dropout:
            backend.model.dropout = None
    if _first_difference(tokenizer, reference) is not None:
        raise InputError(
            folder,
            "this release of transformers does not give the tokens of its tokenizer.json",
            "save the tokenizer with another release of transformers, or use another release here",
        )
    notes = [
        f"its {name} {quoted(token)} is no special token of its tokenizer.json and is not used"
        for name, token in named.items()
        if name in ("bos_token", "eos_token") and name not in special
    ]
    if dropout:
        notes.append(f"its tokenizer.json has dropout {dropout}, for training; it is left out")
    return SavedTokenizer(tokenizer, (*notes, *_remarks(folder, by_class, failure, reference)))


def special_tokens_before(tokenizer: Any) -> list[int]:
    """Ids of the special tokens that a tokenizer puts before a text (a BOS, or nothing).

    `tokenizer` is one of transformers, or its backend.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    plain = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a").ids
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return [int(token) for token in whole[:start]]
    return []


def keeps_letters(folder: Path) -> bool:
    """Whether a tokenizer surely changes no letter of any text: byte-level, without a normaliser.

    Read from tokenizer.json alone; False where that does not tell.
    """
    content = _settings(folder, "tokenizer.json")
    splitter = content.get("pre_tokenizer")
    steps = splitter.get("pretokenizers") if isinstance(splitter, dict) else None
    last = steps[-1] if isinstance(steps, list) and steps else splitter
    if not isinstance(last, dict) or last.get("type") != "ByteLevel":
        return False
    return content.get("normalizer") is None and not last.get("add_prefix_space")


def plain_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text alone: nothing is added, and special tokens in it are text."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False
    )
    return list(encoded["input_ids"])


def _by_class(folder: Path) -> tuple[Any, str]:
    """What `AutoTokenizer` makes of the folder; None and the reason where it fails."""
    if (odd := _odd_key(folder)) is not None:
        return None, f"a special token of its settings has the key {quoted(odd)}"
    try:
        if _names_no_class(folder):
            from transformers import PreTrainedTokenizerFast

            return PreTrainedTokenizerFast.from_pretrained(str(folder)), ""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False), ""
    except MemoryError:
        raise
    except Exception as error:  # the Rust library raises no narrower class
        text = redact(str(error)).strip() or type(error).__name__
        return None, shorten(text, 200, placeholder=" …")


def _names_no_class(folder: Path) -> bool:
    """Whether `AutoTokenizer` would surely take the general class, as for the proxies trained here.

    It looks at the model's configuration too, and so it imports torch, which takes seconds.
    """
    settings = _settings(folder)
    general = settings.get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    of_model = _settings(folder, "config.json")
    known = of_model.get("model_type") == "olmo2" and "tokenizer_class" not in of_model
    return general and known and "auto_map" not in {**settings, **of_model}


def _odd_key(folder: Path) -> str | None:
    """A key that no special token has: the Rust library prints it on the terminal as it is."""
    settings = _settings(folder)
    named = _settings(folder, "special_tokens_map.json")
    several = [*named.values(), *(settings.get(name) for name in _SEVERAL)]
    tokens = [*named.values(), *(settings.get(name) for name in _SPECIAL)]
    for each in several:
        if isinstance(each, dict | list):
            tokens += each.values() if isinstance(each, dict) else each
    return _odd_among(tokens)


def _odd_among(tokens: Iterable[Any]) -> str | None:
    keys = (key for token in tokens if isinstance(token, dict) for key in token)
    return next((key for key in keys if key not in _TOKEN_KEYS), None)


def _from_file(folder: Path, file: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    try:
        reference: Tokenizer = Tokenizer.from_file(str(file))
        reference.no_padding()
        reference.no_truncation()
        reference.encode_special_tokens = True
        for text in _PROBES:
            reference.encode(text)
        return reference
    except Exception as error:  # the Rust library raises no narrower class
        raise _not_loaded(folder, shorten(str(error), 200, placeholder=" …")) from None


def _check_ids(folder: Path, file: Path) -> None:
    """Refuse an id far beyond the others, since the library makes room for all ids below it, and
    keys that no token has."""
    try:
        content = strict_json.loads(file.read_bytes())
        vocabulary = content["model"]["vocab"]
        tokens = content.get("added_tokens") or ()
        added = [token["id"] for token in tokens]
        listed = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        ids = [*listed, *added]
        largest = max((each for each in ids if each is not None), default=0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = shorten(str(error) or type(error).__name__, 200, placeholder=" …")
        raise _not_loaded(folder, reason) from None
    if (odd := _odd_among(tokens)) is not None:
        raise _not_loaded(folder, f"an added token of its tokenizer.json has the key {quoted(odd)}")
    if largest > _MOST_GAPS * len(ids) + 1000:
        raise _not_loaded(folder, f"it has {len(ids):,} tokens, and one has the id {largest:,}")


def _wrapped(folder: Path, file: Path, special: dict[str, str]) -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    try:
        return PreTrainedTokenizerFast(
            tokenizer_file=str(file),
            clean_up_tokenization_spaces=False,
            split_special_tokens=True,
            **special,
        )
    except Exception as error:  # the Rust library raises no narrower class
        raise _not_loaded(folder, shorten(str(error), 200, placeholder=" …")) from None


def _not_loaded(folder: Path, reason: str) -> InputError:
    return InputError(
        folder,
        f"no tokenizer can be loaded ({reason})",
        "check the path and revision; save the tokenizer again with save_pretrained",
    )


def _remarks(folder: Path, by_class: Any, failure: str, reference: "Tokenizer") -> list[str]:
    """Where transformers' class or the settings disagree with the file."""
    if by_class is None:
        return [f"its tokenizer.json is used, since transformers refuses its settings ({failure})"]
    name = type(by_class).__name__
    by_class.split_special_tokens = True
    text = _first_difference(by_class, reference)
    if text is not None:
        return [
            f"its tokenizer.json is used; transformers' {name}, which the files beside it name,"
            f" gives other tokens (of {shorten(text, _SHOWN, placeholder='…')!r} for one)"
        ]
    if list(by_class("a")["input_ids"]) != reference.encode("a").ids:
        return [
            f"special tokens around a text are those of its tokenizer.json; transformers' {name},"
            " which the files beside it name, sets others"
        ]
    asked = _settings(folder).get("add_bos_token")
    adds = reference.encode("a").ids != reference.encode("a", add_special_tokens=False).ids
    if isinstance(asked, bool) and asked != adds:
        return [
            f"its tokenizer_config.json has add_bos_token: {str(asked).lower()} and its"
            f" tokenizer.json adds {'one' if adds else 'none'}; the latter counts"
        ]
    return []


def _first_difference(tokenizer: Any, reference: "Tokenizer") -> str | None:
    """The first probe that two tokenizers cut differently, special tokens aside."""
    added = (token.content for token in reference.get_added_tokens_decoder().values())
    texts = [*_PROBES, "".join(f"a {content} b" for content in list(added)[:200])]
    try:
        ids = plain_ids(tokenizer, texts)
    except Exception:  # a class that cannot encode is another tokenizer
        return texts[0]
    for text, mine in zip(texts, ids, strict=True):
        if list(mine) != reference.encode(text, add_special_tokens=False).ids:
            return text
    return None


def _is_marker(token: str, reference: "Tokenizer") -> bool:
    """Whether a special token is one of the file's, and no word of ordinary texts."""
    added = {each.content for each in reference.get_added_tokens_decoder().values()}
    return token in added or (
        _WORD.fullmatch(token) is None and reference.token_to_id(token) is not None
    )


def _special_of(by_class: Any) -> dict[str, str]:
    return {n: str(t) for n, t in by_class.special_tokens_map.items() if n in _SPECIAL and t}


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens that the files beside tokenizer.json name, by their role."""
    tokens: dict[str, str] = {}
    for settings in (_settings(folder, "special_tokens_map.json"), _settings(folder)):
        for name in _SPECIAL:
            content = token_text(settings.get(name))
            if isinstance(content, str):
                tokens[name] = content
    return tokens


def token_text(token: Any) -> Any:
    """The text of a special token in a settings file; None where it names none.

    Older files store a token as an object with its stripping flags.
    """
    return token.get("content") if isinstance(token, dict) else token


def _settings(folder: Path, name: str = "tokenizer_config.json") -> dict[str, Any]:
    try:
        content = strict_json.loads((folder / name).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
