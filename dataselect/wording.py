"""Text for messages: user text shown safely, and suggestions for misspelt names."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_ALLOWED_INVISIBLE = "\u200c\u200d"  # joiners that Persian, Hindi and emoji need
_SEPARATORS = "_-./ "
LONGEST_MESSAGE = 2_000
"""Characters of the longest message; one with many names in it still has place and fix."""
_LEAST_FORM = 3
"""Fewest characters of a name that may be a short form of another."""


def is_id(text: str) -> bool:
    """Whether `text` is a valid id, which can name files and needs no quotes."""
    return _ID.fullmatch(text) is not None


def quoted(value: object) -> str:
    """`value` for a message: in quotes, on one line, control characters escaped, cut at 64."""
    text = repr(value)
    return text if len(text) <= 66 else f"{text[:64]}…{text[0]}"


def nearest(name: str, choices: Iterable[str]) -> str:
    """ "did you mean 'path'?" for the choice most similar to `name`; "" where none is similar."""
    found = closest(name, choices)
    return "" if found is None else f"did you mean {quoted(found)}?"


def closest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most similar to `name`; None where none is similar.

    What all choices begin or end with tells none from another, so it is left out of the comparison:
    of `train_the_pile_arxiv`, `train_the_pile_github`, … none is like `train_the_pile_books3`.
    """
    by_folded = {choice.casefold(): choice for choice in choices}
    folded = name.casefold()
    start, end = _shared_ends(list(by_folded))
    core_of = {each[len(start) : len(each) - len(end)]: each for each in by_folded}
    core = folded.removeprefix(start).removesuffix(end)
    close = get_close_matches(core, core_of, n=1)
    if not close:
        # A name may be a shorter or longer form: `wiki` of `wikipedia_en`.
        longer = [each for each in core_of if min(len(each), len(core)) >= _LEAST_FORM]
        longer = [each for each in longer if each.startswith(core) or core.startswith(each)]
        close = longer if len(longer) == 1 else []
    return by_folded[core_of[close[0]]] if close else None


def _shared_ends(names: Sequence[str]) -> tuple[str, str]:
    """What all names begin and end with, up to a separator; nothing of fewer than three names."""
    if len(names) < 3:
        return "", ""
    start = _shared_start(names)
    rests = [name[len(start) :] for name in names]
    return start, _shared_start([rest[::-1] for rest in rests])[::-1]


def _shared_start(names: Sequence[str]) -> str:
    shared = 0
    for place, characters in enumerate(zip(*names, strict=False)):
        if len(set(characters)) > 1:
            break
        if characters[0] in _SEPARATORS:
            shared = place + 1
    return names[0][:shared]


def natural(name: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """A key that sorts names as people do: `r2` before `r10`."""
    parts = re.findall(r"(\D*)(\d*)", name)
    return tuple((text, int(digits[:18] or -1)) for text, digits in parts), name


def slug(text: str) -> str:
    """The valid id closest to `text`; "" where no character of it is allowed."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("._-")[:64].rstrip("._-")


def one_line(text: str) -> str:
    """`text` on one line, with characters that would act on a display escaped.

    These are control characters (terminal escapes) and reordering marks, which can make a name look
    like another.
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c in _ALLOWED_INVISIBLE else _escape(c) for c in line)


def in_plain_lines(text: str) -> str:
    """`text` with its line ends, and other characters that would act on a display as escapes.

    They are those of Python (`\\t`, `\\x0c`), so that a lost backslash of LaTeX can be seen.
    """
    return "".join(
        c
        if c.isprintable() or c == "\n" or c in _ALLOWED_INVISIBLE
        else c.encode("unicode_escape").decode()
        for c in text
    )


def message(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text` as a message: on one line, nothing in it acts on a display, and of bounded length.

    Errors, notes and refusals go through here, since they quote files, servers and libraries. What
    is cut is the middle: a message begins with the place and ends with the fix.
    """
    line = one_line(text)
    if len(line) <= longest:
        return line
    end = longest // 3
    return f"{line[: longest - end - 3]} … {line[-end:]}"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
