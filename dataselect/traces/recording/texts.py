"""Read reasoning without probabilities: any frontier model's, or gold rationales.

It may hold `<span>` tags around key steps, which are left as they are.
"""

from pathlib import Path

from dataselect.benchmarks.jsonl import read_records
from dataselect.errors import InputError
from dataselect.traces.trace import read_traces

_IDS = ("id", "item")
_TEXTS = ("reasoning", "rationale", "text")


def is_trace_file(path: Path) -> bool:
    """Whether a file is one of traces. Raises InputError when it cannot be read as JSON Lines."""
    records = read_records(path)
    return bool(records) and "schema" in records[0][1]


def read_reasoning(path: Path) -> dict[str, str]:
    """Reasoning by item id, from JSONL (`id`, `reasoning`) or from a trace file.

    Also accepted: `item` for the id, `rationale` or `text` for the reasoning. A row with null
    reasoning is skipped. Raises InputError, naming the line, for an invalid or repeated row.
    """
    records = read_records(path)
    if records and "schema" in records[0][1]:
        traces = read_traces(path).traces
        return {item: trace.marked or trace.text for item, trace in traces.items()}
    texts: dict[str, str] = {}
    for number, record in records:
        where = f"{path}:{number}"
        name = next((record[key] for key in _IDS if key in record), None)
        if not isinstance(name, str) or not name:
            raise InputError(where, "the row has no id", 'write {"id": ..., "reasoning": ...}')
        key = next((key for key in _TEXTS if key in record), None)
        text = None if key is None else record[key]
        if text is None and key is not None:
            continue
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                where, f"item '{name}' has no reasoning", 'write {"id": ..., "reasoning": ...}'
            )
        if name in texts:
            raise InputError(where, f"item '{name}' comes twice", "keep one of its rows")
        texts[name] = text
    if not texts:
        raise InputError(path, "it holds no reasoning", 'write {"id": ..., "reasoning": ...} rows')
    return texts
