"""Words of messages: foreign text shown safely, and the nearest of what was meant."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_UNSEEN_BUT_FINE = "\u200c\u200d"  # joiners that Persian, Hindi and emoji are written with


def is_id(text: str) -> bool:
    """Whether `text` can be an id, which names files and needs no quotes."""
    return _ID.fullmatch(text) is not None


def quoted(value: object) -> str:
    """`value` for a message: in quotes, on one line, control characters escaped, cut at 64."""
    text = repr(value)
    return text if len(text) <= 66 else f"{text[:64]}…{text[0]}"


def nearest(name: str, choices: Iterable[str]) -> str:
    """ "did you mean 'path'?" for the choice most like `name`, or "" where none is like it."""
    by_folded = {choice.casefold(): choice for choice in choices}
    close = get_close_matches(name.casefold(), by_folded, n=1)
    return f"did you mean {quoted(by_folded[close[0]])}?" if close else ""


def slug(text: str) -> str:
    """`text` made into an id, as near as can be; "" where nothing of it can stay."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("._-")[:64].rstrip("._-")


def one_line(text: str) -> str:
    """`text` on one line, everything that a display would act on written as an escape.

    Covers control characters (terminal escapes) and reordering marks, which can make a name look
    like another.
    """
    shown = " ".join(text.split())
    return "".join(c if c.isprintable() or c in _UNSEEN_BUT_FINE else _escape(c) for c in shown)


def _escape(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
