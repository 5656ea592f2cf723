"""The blocks of code in README.md and docs/*.md, and the ways to test them."""

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import typer.main
from click import Context, Group
from click.exceptions import ClickException

import dataselect
from dataselect.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATED = {"commands.md", "manifest.md", "plan.md", "calibration_keys.md", "python.md"}
"""Pages of docs/make_reference.py, whose examples are those of help texts and docstrings."""
PROGRAMS = {
    *("dataselect", "make", "pip", "python", "pytest"),
    *("cd", "export", "kubectl", "srun", "vllm"),
}


@dataclass(frozen=True)
class Block:
    page: str
    """Path in the repository."""

    line: int
    """Of the first line inside, from 1."""

    language: str
    """What stands behind the fence; "" without, and for indented blocks."""

    text: str

    @property
    def start(self) -> str:
        """The first line, by which the block is named in the list of ways."""
        return self.text.splitlines()[0].strip()

    @property
    def is_commands(self) -> bool:
        return self.language in {"", "sh", "console"} and self.start.split()[0] in PROGRAMS


def blocks() -> list[Block]:
    return [block for page in PAGES if page.name not in GENERATED for block in _of_page(page)]


def _of_page(path: Path) -> Iterator[Block]:
    page = path.relative_to(ROOT).as_posix()
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = re.fullmatch(r"```(\w*)", lines[at])
        end = at + 1
        if fence:
            while lines[end] != "```":
                end += 1
            yield Block(page, at + 2, fence[1], "\n".join(lines[at + 1 : end]))
            end += 1
        elif lines[at].startswith("    ") and at and not lines[at - 1].strip():
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            inside = "\n".join(line[4:] for line in lines[at:end]).rstrip()
            yield Block(page, at + 1, "", inside)
        at = end


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a block as lists of words; `&&` and ends of lines part them.

    What a synopsis has in brackets (`[--json]`) is taken as given, and `NAME...` as one NAME.
    """
    found: list[list[str]] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if re.search(r"\s\[--", line):
            line = line.replace("[", "").replace("]", "")  # noqa: PLW2901
        words = [word.removesuffix("...") for word in shlex.split(line, comments=True)]
        while "&&" in words:
            place = words.index("&&")
            found.append(words[:place])
            words = words[place + 1 :]
        if words:
            found.append(words)
    return found


def check_command(words: list[str], files: set[str]) -> None:
    """Parse a command as its program would; `files` are those that exist where it is used.

    Raises AssertionError with what is wrong.
    """
    program, *rest = words
    checks = {
        "dataselect": lambda: _check_dataselect(rest, files),
        "make": lambda: _check_make(rest),
        "pip": lambda: _check_pip(rest),
        "python": lambda: _check_script(rest),
        "pytest": lambda: _check_file(rest[0], files),
        "kubectl": lambda: _check_kubectl(rest, files),
        "srun": lambda: _check_module(rest),
        "cd": lambda: None,
        "export": lambda: None,
        "vllm": lambda: None,
    }
    assert program in checks, f"{program} is no program that these tests know"
    checks[program]()


def _check_dataselect(words: list[str], files: set[str]) -> None:
    command: Any = typer.main.get_command(app)
    context = Context(command, info_name="dataselect")
    given = list(words)
    while isinstance(command, Group) and given:
        name, found, given = command.resolve_command(context, given)
        assert found is not None
        command = found
        context = Context(command, info_name=name, parent=context)
    try:
        command.make_context(context.info_name, list(given), parent=context.parent)
    except ClickException as error:
        raise AssertionError(f"dataselect {' '.join(words)}: {error.format_message()}") from error
    for before, word in zip(["", *given], given, strict=False):
        if before in {"--out", "--prior-out"}:
            files.add(word)
        elif re.search(r"\.(ya?ml|csv|jsonl?|gz)$", word):
            _check_file(word.removeprefix("ngram:"), files)


def _check_file(name: str, files: set[str]) -> None:
    known = name in files or (ROOT / name).exists()
    assert known, f"{name} is neither made by an earlier block nor in the list of files"


def _check_make(words: list[str]) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets), words


def _check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert words[0] == "install"
    for word in words[1:]:
        named = re.fullmatch(r"dataselect\[(\w+)\]", word)
        if named:
            assert named[1] in extras["optional-dependencies"], word
        else:
            assert word in {".", "pytest", "vllm"}, word


def _check_script(words: list[str]) -> None:
    script = ROOT / words[0]
    assert script.exists(), words[0]
    text = "".join(path.read_text() for path in script.parent.glob("*.py"))
    for word in words[1:]:
        if word.startswith("--"):
            assert f'"{word}"' in text, f"{words[0]} has no {word}"


def _check_kubectl(words: list[str], files: set[str]) -> None:
    if "-f" in words:
        _check_file(words[words.index("-f") + 1], files)
    if "dataselect" in words:
        inside = words[words.index("dataselect") + 1 :]
        _check_dataselect([Path(w).name if w.endswith(".yaml") else w for w in inside], files)


def _check_module(words: list[str]) -> None:
    module = words[words.index("-m") + 1]
    assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def check_python(text: str) -> None:
    """Compile a block, and check names and arguments of all that it calls of `dataselect`.

    Raises AssertionError for a function, argument or attribute that is not there.
    """
    tree = ast.parse(text)
    made: dict[str, type] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dataselect"):
            module = __import__(str(node.module), fromlist=["_"])
            for each in node.names:
                assert hasattr(module, each.name), f"{node.module} has no {each.name}"
    for node in tree.body:
        value = getattr(node, "value", None)
        while isinstance(value, ast.Subscript | ast.Attribute | ast.Call):
            if isinstance(value, ast.Call) and _function(value) is not None:
                break
            value = value.func if isinstance(value, ast.Call) else value.value
        if isinstance(value, ast.Call):
            result = _check_call(value)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                made[node.targets[0].id] = result
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        kind = made.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if kind is None and isinstance(node.value, ast.Call) and _function(node.value) is not None:
            kind = _check_call(node.value)
        if kind is not None:
            known = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
            assert node.attr in known, f"{kind.__name__} has no {node.attr}"


def _function(call: ast.Call) -> Any:
    """The function of `dataselect` that is called; None for any other."""
    name = call.func
    if (
        isinstance(name, ast.Attribute)
        and isinstance(name.value, ast.Name)
        and name.value.id == "ds"
    ):
        assert name.attr in dataselect.__all__, f"dataselect has no {name.attr}"
        return getattr(dataselect, name.attr)
    return None


def _check_call(call: ast.Call) -> type:
    function = _function(call)
    keywords = {each.arg: None for each in call.keywords if each.arg}
    try:
        inspect.signature(function).bind(*call.args, **keywords)
    except TypeError as error:
        raise AssertionError(f"ds.{function.__name__}: {error}") from error
    # `agree` names pandas for those who check types, and does not load it.
    result = get_type_hints(function, localns={"pd": pd})["return"]
    assert isinstance(result, type)
    return result
