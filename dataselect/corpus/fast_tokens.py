"""Tokens by gigatoken, an optional library that is some 100 times as fast as `tokenizers`.

It is young, so nothing rests on it: `tokenizers` says what the tokens are, and the other one is
used only as long as it gives the same (`corpus.document_tokens`). It reads a tokenizer's file and
refuses what it does not know: splits of a kind of their own, Unigram, digits one by one.
"""

import json
import logging
import random
import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger("dataselect")

Encode = Callable[[str], NDArray[np.uint32]]
"""The ids of a text without special tokens."""

HARD_TEXTS = 600
"""How many odd texts a tokenizer is tried on."""


def fast_encode(tokenizer: "Tokenizer") -> Encode | None:
    """The same tokens, fast; None where gigatoken is not installed or gives others on odd texts.

    `tokenizer` takes special tokens in a text for text (`encode_special_tokens`).
    """
    try:
        # Untyped, and in few environments.
        import gigatoken
    except ImportError:
        return None
    content = json.loads(tokenizer.to_str())
    added = content.get("added_tokens", [])
    # It always splits at added tokens, so it is not told of those that are text here.
    content |= {
        "added_tokens": [token for token in added if not token["special"]],
        "padding": None,
        "truncation": None,
        "post_processor": None,
    }
    try:
        encode: Encode = gigatoken.Tokenizer.from_json(json.dumps(content)).encode
        different = differs(tokenizer, encode, hard_texts([token["content"] for token in added]))
    except BaseException as error:
        reason = failure(error)
        logger.info("gigatoken does not read this tokenizer: %s", reason)
        return None
    if different is not None:
        logger.info("gigatoken gives other tokens for %r", different)
        return None
    return encode


def differs(tokenizer: "Tokenizer", encode: Encode, texts: Iterator[str]) -> str | None:
    """The first of the texts for which `encode` gives other tokens; None if there is none."""
    for text in texts:
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        if not np.array_equal(encode(text), expected):
            return text
    return None


def failure(error: BaseException) -> str:
    """What went wrong in the library; raises the error again where it is somebody's wish to end.

    Panics of a library in Rust are no `Exception`.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
        raise error
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def hard_texts(special: list[str]) -> Iterator[str]:
    """Odd texts, the same ones each time: what rules for splitting disagree on, in any order."""
    draw = random.Random(0)
    words: list[Any] = [*special, *_ODD]
    for _ in range(HARD_TEXTS):
        pieces = []
        for _ in range(draw.randrange(1, 120)):
            kind = draw.random()
            if kind < 0.5:
                pieces.append(draw.choice(words))
            elif kind < 0.75:
                first, last = draw.choice(_SCRIPTS)
                letters = (chr(draw.randint(first, last)) for _ in range(draw.randrange(1, 9)))
                pieces.append("".join(letters))
            else:
                pieces.append(str(draw.randrange(10 ** draw.randrange(1, 12))))
            if draw.random() < 0.5:
                pieces.append(" ")
        text = "".join(pieces)
        form = draw.choice((None, None, "NFC", "NFD", "NFKD"))
        yield text if form is None else unicodedata.normalize(form, text)  # type: ignore[arg-type]


_ODD = (
    *(
        " ",
        "  ",
        "   ",
        "\t",
        "\n",
        "\n\n",
        " \n",
        "\r\n",
        "\r",
        "\v",
        "\f",
        "\x00",
        "\x1b",
        "\x7f",
    ),
    *("\u00a0", "\u2028", "\u3000", "\u200b", "\u200d", "\ufeff", "\u0085", "\u00ad", "\u202e"),
    *("'s", "'S", "'ll", "'LL", "’s", "don't", "DON'T", "I'm", "'", "''", "'\u017f", "it'd've"),
    *("a", "A", "the", "The", "x" * 70, "aA" * 20, "ﬁ", "ß", "İ", "K", "e\u0301", "\u0301"),
    *("½", "²", "Ⅷ", "٣", "१२", "0" * 40, "1,234.56", "1e-9", "3.14159", "0x1F", "-7", "1/3"),
    *(
        "$",
        "€5",
        "\\frac{1}{2}",
        "^2",
        "{",
        "}",
        "()",
        "[]",
        "...",
        "…",
        "--",
        "—",
        "<|",
        "|>",
        "▁",
    ),
    *("def f(x):\n    return x", "if (a&&b)\n\t{", "/* */", "#!", "://", "a_b", "a-b", "@x.y"),
    *(
        "🙂",
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "☃\ufe0f",
        "日本語",
        "中文",
        "한국어",
        "ไทย",
        "हिन्दी",
        "العربية",
    ),
)
_SCRIPTS = (
    *((0x21, 0x7E), (0x41, 0x7A), (0xA0, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF)),
    *((0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F)),
    *((0x1100, 0x11FF), (0x2000, 0x206F), (0x2150, 0x218F), (0x3040, 0x30FF), (0x4E00, 0x9FFF)),
    *((0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x10330, 0x1034A), (0x1F300, 0x1FAFF)),
)
