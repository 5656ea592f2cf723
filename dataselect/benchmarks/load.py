"""Load a benchmark from local files or from the Hub: items, worked examples and notes.

Both ways give the same items with the same ids. If a folder is given and the definition names a
file, the file is read and not the Hub, so a machine without network needs only the folder.
Problems that leave items to score (no worked examples, another commit than the pinned one) are
returned as notes; the others are errors.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataselect.benchmarks.definition import Definition, FileRows, HubRows, Record, Row, RowSource
from dataselect.benchmarks.hub import hub_rows, require_columns
from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item, parse_items
from dataselect.benchmarks.jsonl import read_records
from dataselect.benchmarks.shots import choose_shots
from dataselect.errors import InputError

Records = list[tuple[int, Record]]
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class _SourceRecords:
    """The records of one source."""

    records: Records
    """Each with its line or row number."""

    source: str
    """The file or dataset, for messages."""

    unit: str
    """What the numbers count, for messages: "line" or "row"."""

    revision: str
    """Source and version, as `BenchmarkItems.revision`."""

    notes: tuple[str, ...] = ()
    """Notes for the user."""

    def parse(self, limit: int | None = None) -> tuple[list[Item], list[Exclusion]]:
        return parse_items(self.source, self.unit, self.records, limit)


def load_benchmark(
    definition: Definition, folder: Path | None = None, limit: int | None = None
) -> tuple[BenchmarkItems, tuple[Exclusion, ...], tuple[str, ...]]:
    """The benchmark, the malformed items that were left out, and notes for the user.

    `folder` holds local copies under the definition's file names; without it rows come from the
    Hub. `limit` keeps the first `limit` well-formed items. Raises InputError for a file or
    dataset that cannot be read, a missing column, and a benchmark without a usable item.
    """
    rows = _read(definition, definition.items, folder)
    items, exclusions = rows.parse(limit)
    if not items:
        reason = f" ({exclusions[0].item}: {exclusions[0].reason})" if exclusions else ""
        raise InputError(
            f"{definition.id}: {rows.source}",
            f"it holds no usable item{reason}",
            "check that it is the right file or dataset, and its columns",
        )
    shots, notes = _shots(definition, folder, rows)
    benchmark = BenchmarkItems(
        id=definition.id,
        items=tuple(items),
        shots=shots,
        prompt=definition.prompt,
        label=definition.label,
        task=definition.task,
        shot_count=definition.shot_count,
        answers=definition.answers,
        stop=definition.stop,
        new_tokens=definition.new_tokens,
        revision=rows.revision,
    )
    notes = [*rows.notes, *notes]
    fewest = min(len(benchmark.examples(item)) for item in items)
    if shots and fewest < definition.shot_count:
        notes.append(
            f"{definition.id}: some items get {fewest} worked examples, not"
            f" {definition.shot_count}; scores are not comparable with others'"
        )
    return benchmark, tuple(exclusions), tuple(notes)


def training_items(definition: Definition, folder: Path | None = None) -> tuple[Item, ...]:
    """Every item of the split with the worked examples, which is usually the training split.

    Items that are also in the benchmark are left out. Empty when there is no such split or the
    folder lacks it. Raises InputError as `load_benchmark` does.
    """
    source = definition.shots
    if source is None or source == "items" or missing_training_file(definition, folder):
        return ()
    item_contents = {
        _content(record) for _, record in _read(definition, definition.items, folder).records
    }
    pool, _ = _read(definition, source, folder).parse()
    return tuple(item for item in pool if _content(vars(item)) not in item_contents)


def missing_training_file(definition: Definition, folder: Path | None) -> str | None:
    """The file with the training split that `folder` lacks; None when it is there or elsewhere."""
    source = definition.shots
    if source is None or source == "items" or not (source.hub and source.file and folder):
        return None
    return source.file.file if _path(source.file, folder) is None else None


def _shots(
    definition: Definition, folder: Path | None, items: _SourceRecords
) -> tuple[tuple[Item, ...], list[str]]:
    source = definition.shots
    if source is None:
        return (), []
    if source == "items":
        pool, _ = items.parse()
        # One more than an item gets, because an item is never its own example.
        return choose_shots(pool, definition.shot_count + 1, definition.shot_ids), []
    if absent_file := missing_training_file(definition, folder):
        return (), [
            f"{definition.id}: NO WORKED EXAMPLES: {absent_file} is not in the folder, so"
            " prompts hold the question alone and scores are not comparable with 5-shot ones"
        ]
    rows = _read(definition, source, folder)
    item_contents = {_content(record) for _, record in items.records}
    pool, _ = rows.parse()
    unseen = [shot for shot in pool if _content(vars(shot)) not in item_contents]
    notes = list(rows.notes)
    if len(unseen) < len(pool):
        notes.append(
            f"{definition.id}: {len(pool) - len(unseen)} rows for worked examples are items of"
            " the benchmark too, and are not used"
        )
    shots = choose_shots(unseen, definition.shot_count, definition.shot_ids)
    missing = set(definition.shot_ids or ()) - {shot.id for shot in shots}
    if missing or not shots:
        absent = ", ".join(sorted(missing)) or "any"
        notes.append(f"{definition.id}: {rows.source} lacks the worked examples wanted: {absent}")
    return shots, notes


def _content(record: Row) -> tuple[str, tuple[str, ...]]:
    """Question and choices, which are equal for the same question under different ids."""
    choices = record.get("choices")
    texts = map(str, choices) if isinstance(choices, list | tuple) else ()
    return str(record.get("question")).strip(), tuple(texts)


def _path(file: FileRows, folder: Path | None) -> Path | None:
    """The path of the file, plain or gzipped; None when there is neither."""
    path = (folder or Path()) / file.file
    return next((p for p in (path, Path(f"{path}.gz")) if p.is_file()), None)


def _read(definition: Definition, source: RowSource, folder: Path | None) -> _SourceRecords:
    if source.hub is not None and (source.file is None or folder is None):
        return _from_hub(definition, source.hub)
    assert source.file is not None
    # A file without a Hub counterpart is a user's own, and not relative to the folder.
    folder = folder if source.hub is not None else None
    path = _path(source.file, folder)
    if path is None:
        or_hub = f", or name no folder to read {source.hub.path}" if source.hub else ""
        raise InputError(
            f"{definition.id}: {(folder or Path()) / source.file.file}",
            "there is no such file",
            f"put it there (docs/benchmarks.md says what it holds){or_hub}",
        )
    return _from_file(definition, source.file, path)


def _from_file(definition: Definition, file: FileRows, path: Path) -> _SourceRecords:
    lines = read_records(path)
    if lines:
        require_columns(f"{path}:{lines[0][0]}", file.columns, list(lines[0][1]))
    rows = [(number, file.record(i, row)) for i, (number, row) in enumerate(lines)]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    revision = f"{path.name} (sha256 {digest[:16]})"
    return _SourceRecords(_tidied(definition, rows), str(path), "line", revision)


def _from_hub(definition: Definition, hub: HubRows) -> _SourceRecords:
    source_rows, commit = hub_rows(definition.id, hub)
    rows = [(i + 1, hub.record(i, row)) for i, row in enumerate(source_rows)]
    notes: tuple[str, ...] = ()
    if commit is None and hub.revision is None:
        notes = (f"{definition.id}: {hub.path} has no pinned revision, and its commit is unknown",)
    elif commit not in (None, hub.revision) and _COMMIT.fullmatch(hub.revision or ""):
        notes = (
            f"{definition.id}: {hub.path} was read at commit {commit}, the copy at hand, not at"
            f" the pinned {hub.revision}",
        )
    revision = f"{hub.path}@{commit or hub.revision or 'unknown'}"
    return _SourceRecords(_tidied(definition, rows), hub.path, "row", revision, notes)


def _tidied(definition: Definition, rows: Sequence[tuple[int, Record]]) -> Records:
    records = ((number, definition.tidy(record)) for number, record in rows)
    return [(number, record) for number, record in records if record is not None]
