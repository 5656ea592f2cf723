"""The command line as data: every command with its arguments, options, defaults and types.

`tests/cli/command_line.json` is the committed state. Renew it by

    python tests/support/command_line.py

which keeps every name of an option that was ever accepted: users have it in scripts.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

FILE = Path(__file__).parents[1] / "cli" / "command_line.json"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its path, such as "mix fit"."""
    from dataselect.cli import app

    yield from _below(typer.main.get_command(app), "")


def _below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _below(each, f"{path} {name}".strip())


def described() -> dict[str, Any]:
    """Arguments and options of each command as they are now."""
    return {path: _described(command) for path, command in commands()}


def _described(command: Any) -> dict[str, Any]:
    arguments, options = {}, {}
    for each in command.params:
        if "--help" in each.opts or "completion" in (each.name or ""):
            continue
        default = each.default
        entry: dict[str, Any] = {
            "type": _type(each),
            "required": each.required,
            "default": getattr(default, "value", default),
        }
        if isinstance(entry["default"], Path):
            entry["default"] = str(default)
        if each.param_type_name == "argument":
            arguments[each.metavar] = entry
        else:
            options[" ".join([*each.opts, *each.secondary_opts])] = entry
    return {"arguments": arguments, "options": options}


def _type(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    descriptor = parameter.type_descriptor
    if descriptor.is_choice:
        return "|".join(str(each.value) for each in descriptor.choices)
    of = descriptor.annotation
    return str(getattr(of, "__name__", of)) if "list" not in str(of) else "several"


def names(entry: dict[str, Any]) -> set[str]:
    """All names of options in a described command."""
    return {name for option in entry["options"] for name in option.split()}


def committed() -> dict[str, Any]:
    """The committed state."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the state of now; names that were ever accepted stay."""
    now = described()
    before = committed() if FILE.exists() else {}
    for path, entry in now.items():
        ever = set(before.get(path, {}).get("accepted", ())) | names(entry)
        entry["accepted"] = sorted(ever)
    FILE.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")


if __name__ == "__main__":
    main()
