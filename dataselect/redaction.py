"""Keep secrets out of messages and files.

Addresses can carry credentials (`user:password@`, signed query strings), and the errors of Hub
clients repeat them. Enough is left to recognise the address. Servers and trainers may repeat a key
of the environment, also in another spelling: other case, base64, hexadecimal, percent-encoded or
JSON-escaped, split by white space, or most of it. `mask` finds all of these.
"""

import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<user>[^\s/@'\"]*@)?(?P<rest>[^\s'\"]*)")
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
SHORTEST_SECRET = 8
"""Shorter values are placeholders ("EMPTY", "none"), and may be words of ordinary text."""
SHORTEST_PART = 12
"""Characters of a longer secret that give it away."""

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|(?:^|_)KEY(?:$|_)", re.IGNORECASE
)
_SPELT = re.compile(
    r"%(?P<percent>[0-9a-fA-F]{2})|\\u00(?P<json>[0-9a-fA-F]{2})|\\x(?P<python>[0-9a-fA-F]{2})"
    r"|&#(?P<decimal>\d{1,3});|&#[xX](?P<html>[0-9a-fA-F]{1,2});"
    r"|\\[nrt]|[\s\u00ad\u200b-\u200f\u2060\ufeff]"
)
_ONE_ALPHABET = str.maketrans("-_", "+/")
"""Base64 has two alphabets; a key is compared in one."""
_PASSES = 3
"""How often a text may be encoded over again, as `%2573` is."""
_STEP = 4
_LEAST_LETTERS = 5
"""Fewest different characters of a telling part, so that a row of zeros is none."""


def redact(text: str) -> str:
    """`text` without the user info, query and fragment of addresses, and without Hub tokens."""
    shortened = ADDRESS.sub(
        lambda match: match["scheme"] + re.split(r"[?#]", match["rest"], maxsplit=1)[0], text
    )
    return HUB_TOKEN.sub("hf_…", shortened)


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` redacted, and without the secrets of the environment in any spelling."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and not _names_a_place(name, value):
            text = mask(text, value.strip(), f"[{name}]")
    return redact(text)


def mask(text: str, secret: str, shown: str = "[key]") -> str:
    """`text` with `shown` for each place that spells `secret`, or a telling part of it.

    A secret of fewer than `SHORTEST_SECRET` characters is none. Of a longer one, a part of
    `SHORTEST_PART` characters at its start or end, or a somewhat longer one inside, is found.
    """
    if len(secret) < SHORTEST_SECRET:
        return text
    folded = text
    for _ in range(_PASSES):
        folded, before = _SPELT.sub(_letter, folded), folded
        if folded == before:
            break
    folded = folded.translate(_ONE_ALPHABET).lower()
    if not any(part in folded for part in _parts(secret, _STEP)):
        return text
    found = sorted(_places(text, secret))
    made: list[str] = []
    end = 0
    for start, stop in found:
        if start > end or not made:
            made += [text[end:start], shown]
        end = max(end, stop)
    return "".join([*made, text[end:]]) if found else text


def _names_a_place(name: str, value: str) -> bool:
    """Whether a variable says where a secret is, not what it is."""
    return name.upper().endswith(("_FILE", "_PATH", "_DIR")) or (
        value.startswith(("/", "~")) and os.path.exists(os.path.expanduser(value))
    )


def _places(text: str, secret: str) -> Iterator[tuple[int, int]]:
    """Start and end of each part of the secret in `text`."""
    letters, spans = text, [(at, at + 1) for at in range(len(text))]
    for _ in range(_PASSES):
        made, where, end = [], [], 0
        for match in _SPELT.finditer(letters):
            made.append(letters[end : match.start()])
            where += spans[end : match.start()]
            end = match.end()
            if letter := _letter(match):
                made.append(letter)
                where.append((spans[match.start()][0], spans[match.end() - 1][1]))
        if not end:
            break
        letters, spans = "".join([*made, letters[end:]]), where + spans[end:]
    folded = "".join(
        low if len(low := each.lower()) == 1 else each for each in letters.translate(_ONE_ALPHABET)
    )
    for part in _parts(secret, 1):
        at = folded.find(part)
        while at >= 0:
            yield spans[at][0], spans[at + len(part) - 1][1]
            at = folded.find(part, at + 1)


def _letter(match: re.Match[str]) -> str:
    """The character that a match of `_SPELT` stands for; "" for what only splits a text."""
    kind = match.lastgroup
    return "" if kind is None else chr(int(match[kind], 10 if kind == "decimal" else 16))


@lru_cache(64)
def _parts(secret: str, step: int) -> tuple[str, ...]:
    """What gives the secret away, folded as the text is, by how often a part begins."""
    found: dict[str, None] = {}
    for form in _forms(secret):
        folded = _SPELT.sub("", form).translate(_ONE_ALPHABET).lower()
        if len(folded) < SHORTEST_PART + _STEP:
            found[folded] = None
            continue
        last = len(folded) - SHORTEST_PART
        for at in {*range(0, last, step), last}:
            part = folded[at : at + SHORTEST_PART]
            if len(set(part)) >= _LEAST_LETTERS:
                found[part] = None
        if not found:
            found[folded] = None
    return tuple(found)


def _forms(secret: str) -> Iterable[str]:
    """The secret plain, in hexadecimal, and in base64 after 0, 1 and 2 bytes of another text."""
    data = secret.encode("utf-8", "surrogateescape")
    yield secret
    yield data.hex()
    for before in range(3):
        # Letters that the bytes beside it share are left out.
        coded = b64encode(bytes(before) + data).decode()
        yield coded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
