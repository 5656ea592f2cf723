"""Whole commands on files of which one is spoilt: whatever it is, they end as the manual says.

Not what the numbers are (`mutation_campaigns` judges that), but how a command ends: with one of the
documented exit codes, never by a traceback, soon, without much memory, in lines of bounded length,
of which the last says what to do.
"""

import json
import logging
import random
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from checkpoint_mutations import ADDED_KEYS, TOKENIZER_SETTINGS
from command_worlds import Command, invoke, kind_of
from mutation_outcomes import FOUND, SECONDS, UNCHANGED, WRONG, Tally, within
from mutations import Mutation, UnfitError, at, byte_change, changed, json_change, paths, spell
from table_mutations import mutate as table_change

from dataselect.wording import LONGEST_MESSAGE

EXIT_CODES = (0, 2, 3, 4, 130)
LONGEST_LINE = LONGEST_MESSAGE + 100
MOST_MEMORY = 1 << 30
"""Bytes that a command may take beyond what it takes on whole files."""
_LARGEST_FILE = 2_000_000
"""Of larger files only bytes are changed."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    text: str
    """Standard output and error."""
    problem: str
    """What is wrong with the way it ended; "" for nothing."""
    seconds: float = 0.0
    """CPU seconds, where they were measured."""
    peak: int = 0
    """Most bytes of memory at a time, where they were measured."""


Run = Callable[[Command], Ended]
Seen = Callable[[str, Mutation, Ended], None]


# Spoiling ----------------------------------------------------------------------------------------

_EXTREMES: tuple[Any, ...] = (
    10**400,
    -(10**30),
    1e308,
    1e-308,
    2**63,
    2**31,
    "\x1b[31m\x9b\u202e\x00",
    "x" * 20_000,
    "\udc80",
    "1e999",
    "../" * 50,
    [[]] * 2000,
    {"": {"": {}}},
    {str(n): n for n in range(2000)},
    [None] * 3,
    [1, "a"],
    -1,
    0,
    0.5,
    7,
    "",
    "7",
    None,
    [],
    {},
    True,
    False,
)
_SETTINGS = {"config.json": ADDED_KEYS, "tokenizer_config.json": TOKENIZER_SETTINGS}


def spoil(folder: Path, file: str, draw: random.Random) -> tuple[str, str, bytes]:
    """(what was done, where, the bytes afterwards) of one change to a file."""
    data = (folder / file).read_bytes()
    while True:
        try:
            kind, where, made = _spoilt(Path(file), data, draw)
        except UnfitError:
            continue
        if made != data:
            return kind, where, made


def _spoilt(path: Path, data: bytes, draw: random.Random) -> tuple[str, str, bytes]:
    if len(data) > _LARGEST_FILE or draw.random() < 0.1:
        kind, place, made = byte_change(data, draw, 0, len(data))
        return f"byte: {kind}", str(place), made
    if draw.random() < 0.02:
        deep = draw.choice([b"[", b'{"a":', b"- ", b"? "])
        return "nested deeply", "file", deep * draw.choice([2_000, 100_000])
    if path.suffix in (".csv", ".jsonl"):
        mutation = table_change({path.name: data}, draw)
        return mutation.kind, mutation.where, mutation.files[path.name]
    if path.suffix == ".safetensors":
        (length,) = struct.unpack("<Q", data[:8])
        kind, where, header = _document(path, json.loads(data[8 : 8 + length]), draw)
        return kind, where, struct.pack("<Q", len(header)) + header + data[8 + length :]
    try:
        content = json.loads(data)
    except ValueError:
        kind, place, made = byte_change(data, draw, 0, len(data))
        return f"byte: {kind}", str(place), made
    return _document(path, content, draw)


def _document(path: Path, content: Any, draw: random.Random) -> tuple[str, str, bytes]:
    """One change to what JSON says."""
    ways = list(paths(content, 7))
    if path.name == "tokenizer.json" and draw.random() < 0.8:
        # Nearly all of it is vocabulary and merges.
        ways = [way for way in ways if not {"vocab", "merges"} & set(way[:-1])]
    if draw.random() < 0.2 and path.name in _SETTINGS:
        key, value = draw.choice(_SETTINGS[path.name])
        kind, way, content = "set", (key,), {**content, key: value}
    elif draw.random() < 0.4:
        way = draw.choice(ways)
        kind, content = "extreme", changed(content, way, draw.choice(_EXTREMES))
    elif draw.random() < 0.1:
        way, other = draw.choice(ways), draw.choice(ways)
        kind, content = "as elsewhere", changed(content, way, at(content, other))
    else:
        kind, way, content = json_change(content, draw, ways)
    return kind, spell(way), json.dumps(content, indent=1).encode("utf-8", "surrogatepass")


# Judging -----------------------------------------------------------------------------------------


def run(command: Command) -> Ended:
    """Run the command in this process, and say what is wrong with the way it ends."""
    try:
        with within(SECONDS):
            result = invoke(command.folder, command.words)
    except BaseException as error:
        return Ended(-1, "", f"{type(error).__name__}: {error}"[:300])
    return Ended(result.exit_code, result.output, _problem(result))


def _problem(result: Any) -> str:  # noqa: PLR0911 - one return for each thing that may be wrong
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        ours = [
            f"{Path(f.filename).name}:{f.lineno}" for f in frames if "dataselect/" in f.filename
        ]
        return f"{type(error).__name__}: {error}"[:200] + f" at {' '.join(ours[-4:])}"
    if result.exit_code not in EXIT_CODES:
        return f"exit code {result.exit_code}"
    if "Traceback (most recent" in result.output:
        return "a traceback is printed"
    longest = max(map(len, result.stderr.splitlines()), default=0)
    if longest > LONGEST_LINE:
        return f"a line of {longest} characters"
    acting = [c for c in result.output if not c.isprintable() and c not in "\n\u200c\u200d"]
    if acting:
        return f"{acting[:3]!r} in what is printed"
    if result.exit_code == 2:
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        if len(lines) != 1 or ": " not in lines[0][7:] or "; " not in lines[0]:
            return f"no place or no fix: {result.stderr[:200]!r}"
    return ""


def cases(
    commands: Iterable[Command], kind: str, numbers: Sequence[int]
) -> list[tuple[int, Command, str]]:
    """Number, command and file of each case, the commands that read files of a kind in turn."""
    pairs = [(c, file) for c in commands for file in c.files if kind_of(file) == kind]
    # Commands of many files do not come more often than others.
    by_command: dict[str, list[str]] = {}
    for command, file in pairs:
        by_command.setdefault(command.name, []).append(file)
    chosen = {command.name: command for command, _ in pairs}
    names = list(by_command)
    made = []
    for number in numbers:
        name = names[number % len(names)]
        files = by_command[name]
        made.append((number, chosen[name], files[number // len(names) % len(files)]))
    return made


def campaign(
    commands: Sequence[Command],
    kind: str,
    numbers: Sequence[int],
    seed: int,
    run: Run = run,
    seen: Seen = lambda *_: None,
) -> Tally:
    """Commands on spoilt files of a kind, one in turn for each number."""
    logging.getLogger("dataselect").setLevel(logging.WARNING)
    tally = Tally()
    for number, command, file in cases(commands, kind, numbers):
        path = command.folder / file
        whole = path.read_bytes()
        done, where, made = spoil(command.folder, file, random.Random(f"{kind}-{seed}-{number}"))
        path.write_bytes(made)
        try:
            ended = run(command)
        finally:
            path.write_bytes(whole)
        outcome = WRONG if ended.problem else FOUND if ended.code else UNCHANGED
        subject = f"{command.name} #{number}"
        mutation = Mutation(f"{command.name}: {Path(file).name}", done, where, {file: made})
        tally.add(subject, mutation, (outcome, ended.problem or ended.text[-200:]))
        seen(subject, mutation, ended)
    return tally


def require_whole(commands: Sequence[Command], run: Run = run) -> list[Ended]:
    """How each command ends on whole files; AssertionError where one does not end well."""
    ended = [run(each) for each in commands]
    for command, each in zip(commands, ended, strict=True):
        assert (each.code, each.problem) == (0, ""), (command.name, each)
    return ended


def within_memory(ended: Ended, usual: int) -> Ended:
    """With a problem where it took far more memory than on whole files."""
    if ended.problem or ended.peak <= usual + MOST_MEMORY:
        return ended
    return replace(ended, problem=f"{ended.peak >> 20} MiB of memory, {usual >> 20} on whole files")
