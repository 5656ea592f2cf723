"""Text for messages: user text shown safely, and suggestions for misspelt names."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_ALLOWED_INVISIBLE = "\u200c\u200d"  # joiners that Persian, Hindi and emoji need


def is_id(text: str) -> bool:
    """Whether `text` is a valid id, which can name files and needs no quotes."""
    return _ID.fullmatch(text) is not None


def quoted(value: object) -> str:
    """`value` for a message: in quotes, on one line, control characters escaped, cut at 64."""
    text = repr(value)
    return text if len(text) <= 66 else f"{text[:64]}…{text[0]}"


def nearest(name: str, choices: Iterable[str]) -> str:
    """ "did you mean 'path'?" for the choice most similar to `name`; "" where none is similar."""
    by_folded = {choice.casefold(): choice for choice in choices}
    close = get_close_matches(name.casefold(), by_folded, n=1)
    return f"did you mean {quoted(by_folded[close[0]])}?" if close else ""


def slug(text: str) -> str:
    """The valid id closest to `text`; "" where no character of it is allowed."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("._-")[:64].rstrip("._-")


def one_line(text: str) -> str:
    """`text` on one line, with characters that would act on a display escaped.

    These are control characters (terminal escapes) and reordering marks, which can make a name look
    like another.
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() or c in _ALLOWED_INVISIBLE else _escape(c) for c in line)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
