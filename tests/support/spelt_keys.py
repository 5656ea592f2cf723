"""A key in the spellings by which it may come back."""

import json
from urllib.parse import quote


def spelt(kind: str, key: str) -> str:
    """The key as a server or a program may repeat it."""
    every = "".join(f"%{byte:02x}" for byte in key.encode())
    return {
        "plain": key,
        "lower case": key.lower(),
        "upper case": key.upper(),
        "hexadecimal": key.encode().hex(),
        "percent": every,
        "percent twice": quote(every),
        "JSON escapes": "".join(f"\\u{ord(letter):04x}" for letter in key),
        "HTML": "".join(f"&#{ord(letter)};" for letter in key),
        "split by spaces": " ".join(key),
        "split by lines": "\n".join(key[at : at + 5] for at in range(0, len(key), 5)),
        "split, in JSON": json.dumps("\n".join(key[at : at + 5] for at in range(0, len(key), 5))),
        "zero width": "\u200b".join(key),
        "prefix": key[:12],
        "most of it": key[3:-2],
        "its end": key[-12:],
    }[kind]


KINDS = (
    *("plain", "lower case", "upper case", "hexadecimal", "percent", "percent twice"),
    *("JSON escapes", "HTML", "split by spaces", "split by lines", "split, in JSON"),
    *("zero width", "prefix", "most of it", "its end"),
)
