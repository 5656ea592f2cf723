"""The key of an artifact: a hash of everything that determines its content.

The hash is of canonical JSON, because that is the same on every machine and Python version, and
because the spec can be stored next to the artifact for people to read. It is strict where `json` is
lenient (integer keys become strings, NaN is written): two different specs must never share a key,
so values that JSON cannot express exactly are refused.

Not covered: Unicode normalisation and numeric equality. `1` and `1.0` are different specs.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

_KIND = re.compile(r"[a-z0-9][a-z0-9_-]*")
# Most of what a spec of 100,000 files holds; a call for each would take most of its time.
_EXACT = frozenset({str, int, bool, type(None)})


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys, no spaces and shortest-repr floats; tuples are arrays.

    Raises TypeError for values without a JSON type (and keys that are not strings), ValueError for
    NaN, infinities and text that is not valid Unicode.
    """
    _refuse_inexact(value, "value")
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")


def content_key(kind: str, spec: Mapping[str, Any]) -> str:
    """32 hexadecimal digits (128 bits of SHA-256) that identify an artifact by kind and spec.

    `kind` becomes a folder name: lower-case letters, digits, `_` and `-` only, else ValueError.
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
                if type(element) not in _EXACT:
                    _refuse_inexact(element, f"{place}[{index}]")
        case dict():
            for key, element in value.items():
                if not isinstance(key, str):
                    raise TypeError(f"{place} has the key {key!r}, which is not a string")
                if type(element) not in _EXACT:
                    _refuse_inexact(element, f"{place}.{key}")
        case _:
            raise TypeError(f"{place} is of type {type(value).__name__}, which JSON cannot hold")
