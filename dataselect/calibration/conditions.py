"""What accuracies were measured with, and whether all of a curve were measured alike.

The accuracies of a target are one curve, so all have to measure the same thing. Evaluation
harnesses write down what a number depends on: how many items (`limit`), how many worked examples
(`n-shot`), the task's version, its filter, the chat template. Where two files differ in that, their
numbers are different things and are refused. A difference that may or may not matter (another
release of the harness, another seed of the worked examples) is a note, and so is what a file does
not say: it cannot be compared.

Not covered: model settings that only change rounding, such as the data type and the batch size.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataselect.errors import InputError
from dataselect.wording import one_line, quoted

_NEARLY_ALL = 0.02
"""Share by which numbers of items may differ: a few items may be left out of a result."""
_LONGEST = 40


@dataclass(frozen=True)
class Conditions:
    """What one accuracy of a benchmark was measured with."""

    path: Path
    """The file that says so."""
    decisive: Mapping[str, str] = field(default_factory=dict)
    """What must be equal, by name, as text; a name is absent where the file does not say."""
    incidental: Mapping[str, str] = field(default_factory=dict)
    """What is noted where it differs."""
    items: int | None = None
    """Number of items measured; None where the file does not say."""
    all_items: int | None = None
    """Number of items that the benchmark has; None where the file does not say."""
    limit: str | None = None
    """The limit of items that was asked for, as text; None where the file does not say."""


DECISIVE = ("n-shot", "task version", "filter", "chat template", "system prompt", "prompt", "split")
"""What every file should say; the others are said by some forms of file only."""


def check_alike(benchmark: str, files: Sequence[Conditions]) -> list[str]:
    """Notes on how the accuracies of a benchmark were measured.

    Raises InputError, naming two files, where they were measured differently.
    """
    notes = [*_check_items(benchmark, files)]
    for name in dict.fromkeys(name for each in files for name in each.decisive):
        _refuse_two(benchmark, name, files)
    for name in dict.fromkeys(name for each in files for name in each.incidental):
        known = {each.path: each.incidental[name] for each in files if name in each.incidental}
        if len(counts := Counter(known.values())) > 1:
            shown = ", ".join(f"{_short(value)} in {_files(n)}" for value, n in counts.items())
            notes.append(f"{benchmark}: the files differ in {name} ({shown})")
    return [*notes, *_unknown(benchmark, files)]


def _refuse_two(benchmark: str, name: str, files: Sequence[Conditions]) -> None:
    known = [each for each in files if name in each.decisive]
    counts = Counter(each.decisive[name] for each in known)
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    one = next(each for each in known if each.decisive[name] == usual)
    other = next(each for each in known if each.decisive[name] != usual)
    raise InputError(
        other.path,
        f"its {name} for {benchmark} is {_short(other.decisive[name])}, and that of"
        f" {_distinct(one.path, other.path)} is {_short(usual)} (as in {_files(counts[usual])})",
        "leave one kind of files out, or measure again alike",
    )


def _check_items(benchmark: str, files: Sequence[Conditions]) -> list[str]:
    """Notes on the numbers of items; raises InputError where they differ by more than a few."""
    known = [each for each in files if each.items is not None]
    if known:
        most = max(known, key=lambda each: each.items or 0)
        for each in known:
            if (each.items or 0) < (1 - _NEARLY_ALL) * (most.items or 0):
                raise InputError(
                    each.path,
                    f"its {benchmark} has {each.items} items{_limited(each)}, and that of"
                    f" {_distinct(most.path, each.path)} {most.items}{_limited(most)}",
                    "leave one kind of files out, or measure again with one limit",
                )
    # Without counts, only the limits that were asked for can be compared.
    limits = {each.limit: each for each in files if each.limit is not None and each.items is None}
    counted = {each.limit: each for each in known if each.limit is not None}
    if len(limits) > 1 or (limits and counted and not limits.keys() <= counted.keys()):
        (_, one), (_, two) = [*limits.items(), *counted.items()][:2]
        if one.limit != two.limit:
            raise InputError(
                two.path,
                f"its limit is {two.limit}, and that of {_distinct(one.path, two.path)} is"
                f" {one.limit}",
                "leave one kind of files out, or measure again with one limit",
            )
    notes = []
    if len(counts := {each.items for each in known}) > 1:
        low, high = min(counts, key=_number), max(counts, key=_number)
        notes.append(f"{benchmark}: the files have {low} to {high} items")
    fewer = [each for each in known if each.all_items and (each.items or 0) < each.all_items]
    if fewer:
        each = min(fewer, key=lambda each: each.items or 0)
        notes.append(
            f"{benchmark}: measured on {each.items} of {each.all_items} items{_limited(each)} in"
            f" {_files(len(fewer))}"
        )
    return notes


def _unknown(benchmark: str, files: Sequence[Conditions]) -> list[str]:
    """A note on what some or all of the files do not say."""
    silent: dict[str, int] = {
        name: count
        for name in DECISIVE
        if (count := sum(name not in each.decisive for each in files))
    }
    if count := sum(each.items is None and each.limit is None for each in files):
        silent["number of items"] = count
    by_count: dict[int, list[str]] = {}
    for name, count in silent.items():
        by_count.setdefault(count, []).append(name)
    return [
        f"{benchmark}: not compared, since {count} of {_files(len(files))} do not say it:"
        f" {', '.join(names)}"
        for count, names in by_count.items()
    ]


def _limited(each: Conditions) -> str:
    return "" if each.limit in (None, "none") else f" (limit {each.limit})"


def _number(count: int | None) -> int:
    return count or 0


def _files(count: int) -> str:
    return f"{count} file" + ("s" if count != 1 else "")


def _distinct(path: Path, other: Path) -> str:
    """The file's name, with its folder where the other has the same name."""
    return path.name if path.name != other.name else f"{path.parent.name}/{path.name}"


def _short(text: str) -> str:
    line = one_line(text)
    return quoted(line[:_LONGEST] + "…") if len(line) > _LONGEST else line
