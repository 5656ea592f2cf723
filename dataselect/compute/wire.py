"""Values as JSON text that gives them back as they were, for jobs that travel by files.

Not pickle: reading a pickle runs whatever it says, and a folder that a cluster shares may be
written by others. Text here names at most a dataclass, an enumeration or a class that allows it
(`sendable`), with plain values for its fields or arguments. The reader says from which modules it
accepts those.

Not covered: arbitrary objects. An argument of a job for a cluster is of plain types, paths,
enumerations, dataclasses and sendable classes, nested in any way.
"""

import base64
import dataclasses
import enum
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SCALARS = (int, float, str, bool, type(None))
_NUMPY = ("float64", "float32", "float16", "int64", "int32", "bool")
"""Scalars of NumPy; it is not imported for their sake."""


class WireError(ValueError):
    """A value that cannot be written, or text that cannot be read."""


def encode(value: Any) -> str:
    """The text of a value. Raises WireError for what it cannot hold."""
    return json.dumps(_plain(value, "value"), ensure_ascii=True, separators=(",", ":"))


def decode(text: str | bytes, *, imports: bool) -> Any:
    """The value of a text.

    `imports`: import the modules of its classes. Only for text that is known to be ours, since
    importing runs code; otherwise classes must be of modules that are loaded already. Raises
    WireError.
    """
    try:
        return _value(json.loads(text), imports)
    except WireError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        raise WireError(f"not the text of a value ({type(error).__name__}: {error})") from error


def _plain(value: Any, where: str) -> Any:  # noqa: PLR0911 (a return for each type)
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list:
        return [_plain(each, where) for each in value]
    if kind is tuple:
        return _plain_tuple(value, where)
    if kind is dict:
        return {"d": [[_plain(k, where), _plain(v, f"{where}[{k!r}]")] for k, v in value.items()]}
    if kind is bytes:
        return {"b": base64.b64encode(value).decode("ascii")}
    if kind in (set, frozenset):
        members = sorted((_plain(each, where) for each in value), key=json.dumps)
        return {"s" if kind is set else "fs": members}
    if isinstance(value, Path):
        return {"p": str(value)}
    if isinstance(value, enum.Enum):
        return {"e": _name(kind, where), "v": value.name}
    if _is_sendable(kind):
        _, arguments = value.__reduce__()
        return {"r": _name(kind, where), "a": [_plain(each, where) for each in arguments]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Fields that `__init__` does not take are computed again.
        fields = {
            each.name: _plain(getattr(value, each.name), f"{where}.{each.name}")
            for each in dataclasses.fields(value)
            if each.init
        }
        return {"c": _name(kind, where), "f": fields}
    if kind.__module__ == "numpy" and kind.__name__ in _NUMPY:
        return {"n": kind.__name__, "v": value.item()}
    raise WireError(
        f"{where} is a {kind.__module__}.{kind.__qualname__}, which cannot be sent by file: use"
        " plain types, paths and dataclasses"
    )


def _plain_tuple(value: tuple[Any, ...], where: str) -> Any:
    # Traces are long tuples of short ones; a tag for each would double them.
    short = value and all(type(each) is tuple for each in value)
    if short and all(type(one) in _SCALARS for each in value for one in each):
        return {"tt": [list(each) for each in value]}
    return {"t": [_plain(each, where) for each in value]}


def _name(kind: type, where: str) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or named(name, imports=False) is not kind:
        raise WireError(f"{where}: {name} is not importable by name")
    return name


def _value(plain: Any, imports: bool) -> Any:  # noqa: PLR0911, PLR0912 (one for each tag)
    if isinstance(plain, list):
        return [_value(each, imports) for each in plain]
    if not isinstance(plain, dict):
        return plain
    if not plain:
        raise WireError("an object without a tag")
    tag = next(iter(plain))
    content = plain[tag]
    match tag:
        case "t":
            return tuple(_value(each, imports) for each in content)
        case "tt":
            return tuple(map(tuple, content))
        case "d":
            return {_value(k, imports): _value(v, imports) for k, v in content}
        case "b":
            return base64.b64decode(content, validate=True)
        case "s":
            return {_value(each, imports) for each in content}
        case "fs":
            return frozenset(_value(each, imports) for each in content)
        case "p":
            return Path(content)
        case "n" if content in _NUMPY:
            return getattr(importlib.import_module("numpy"), content)(plain["v"])
        case "e":
            return _class(content, _is_enum, imports)[plain["v"]]
        case "r":
            return _class(content, _is_sendable, imports)(*(_value(a, imports) for a in plain["a"]))
        case "c":
            fields = {name: _value(each, imports) for name, each in plain["f"].items()}
            return _class(content, dataclasses.is_dataclass, imports)(**fields)
    raise WireError(f"unknown tag {tag!r}")


def _class(name: str, fits: Callable[[type], bool], imports: bool) -> Any:
    """A class of a kind that may be made, by "module:name"."""
    found = named(name, imports)
    if not (isinstance(found, type) and fits(found)):
        raise WireError(f"{name} is no dataclass, enumeration or sendable class that is known here")
    return found


def _is_enum(kind: type) -> bool:
    return issubclass(kind, enum.Enum)


def _is_sendable(kind: type) -> bool:
    """Whether a class says itself (`sendable = True`) that it is made again from the arguments that
    its `__reduce__` gives."""
    return kind.__dict__.get("sendable") is True


def named(name: str, imports: bool) -> Any:
    """What "module:name" names; None if the module has no such thing, or is not loaded.

    `imports` as for `decode`.
    """
    module, _, qualname = name.partition(":")
    found: Any = importlib.import_module(module) if imports else sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found
