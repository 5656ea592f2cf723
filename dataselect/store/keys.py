"""The name of an artifact: a hash of everything that determines its content.

Canonical JSON is the input of the hash because it is the same on every machine and Python
version, and because the spec can be stored next to the artifact and read by a person. It is
strict where `json` is lenient (integer keys become strings, NaN is written): two different
specs must never share a key, so what JSON cannot express exactly is refused.

Not covered: Unicode normalisation and numeric equality. `1` and `1.0` are different specs.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

_KIND = re.compile(r"[a-z0-9][a-z0-9_-]*")


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys, no spaces and shortest-repr floats; tuples are arrays.

    Raises TypeError for what JSON has no type for (also keys that are not strings), ValueError
    for NaN, infinities and text that is not valid Unicode.
    """
    _refuse_inexact(value, "value")
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")


def content_key(kind: str, spec: Mapping[str, Any]) -> str:
    """32 hexadecimal digits (128 bits of SHA-256) that name the artifact of this kind and spec.

    `kind` becomes a folder name: lower-case letters, digits, `_` and `-` only (ValueError).
    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"not a kind of artifact: {kind!r}")
    document = canonical_json({"kind": kind, "spec": dict(spec)})
    return hashlib.sha256(document).hexdigest()[:32]


def _refuse_inexact(value: object, place: str) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{place} is {value}, which JSON cannot hold")
        case list() | tuple():
            for index, element in enumerate(value):
                _refuse_inexact(element, f"{place}[{index}]")
        case dict():
            for key, element in value.items():
                if not isinstance(key, str):
                    raise TypeError(f"{place} has the key {key!r}, which is not a string")
                _refuse_inexact(element, f"{place}.{key}")
        case _:
            raise TypeError(f"{place} is of type {type(value).__name__}, which JSON cannot hold")
