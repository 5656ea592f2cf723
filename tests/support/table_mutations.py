"""Mutations of tables, items, traces and results files: one row spoilt.

A spoilt row is *found* when the file is refused in one line, or when what is read says by itself
that something was left out; it is *unchanged* when the numbers are those of the intact file. It may
change the numbers only where the file is as valid as before: another digit, a row less.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mutations import Files, Mutation, UnfitError, json_change, paths, spell
from scored_models import evaluation
from selections import write_benchmark
from small_tables import agreement_tables, pairs_table, scores_table, swarm_tables, written

import dataselect as ds
from dataselect.benchmarks.named import load_benchmarks
from dataselect.calibration.lm_eval import read_lm_eval
from dataselect.calibration.spec import LmEvalResults
from dataselect.mixture.direction import check_direction
from dataselect.mixture.swarm import read_swarm
from dataselect.traces.trace import read_traces
from dataselect.transfer.pairs import read_pairs

Numbers = dict[str, float | str]


@dataclass(frozen=True)
class Read:
    """What was read: the numbers, and what is said of them."""

    numbers: Numbers
    said: tuple[str, ...]
    """Notes, and items left out."""


@dataclass(frozen=True)
class Subject:
    """Files and the code that reads them."""

    name: str
    files: Files
    read: Callable[[Path], Read]


def flat(document: Any, name: str = "") -> Numbers:
    """The leaves of a document by the way to them."""
    if isinstance(document, dict):
        pairs: Any = document.items()
    elif isinstance(document, list | tuple):
        pairs = enumerate(document)
    elif isinstance(document, float | int) and not isinstance(document, bool):
        return {name: float(document)}
    else:
        return {name: str(document)}
    found: Numbers = {}
    for key, value in pairs:
        found |= flat(value, f"{name}/{key}")
    return found


def changes(intact: Read, other: Read) -> list[str]:
    """The numbers in which two readings differ, by name."""
    one, two = intact.numbers, other.numbers
    found = sorted(set(one) ^ set(two))
    for key in sorted(set(one) & set(two)):
        left, right = one[key], two[key]
        if isinstance(left, float) and isinstance(right, float):
            if not np.isclose(left, right, 0, 1e-9, equal_nan=True):
                found.append(key)
        elif left != right:
            found.append(key)
    return found


# Subjects ---------------------------------------------------------------------------------------


def subjects(folder: Path) -> list[Subject]:
    """All of them, their files made in `folder`."""
    proxy, target = agreement_tables()
    ratios, metrics = swarm_tables()
    tables = {
        "agree": ({"proxy": proxy, "target": target}, _agree),
        "pairs": ({"pairs": pairs_table()}, _pairs),
        "scores": ({"scores": scores_table()}, _scores),
        "mix fit": ({"ratios": ratios, "metrics": metrics}, _swarm),
    }
    made = []
    for name, (frames, read) in tables.items():
        here = folder / name.replace(" ", "-")
        here.mkdir(parents=True)
        files = {path.name: path.read_bytes() for path in written(here, **frames)}
        made.append(Subject(name, files, read))
    made += [_items_subject(folder / "items"), _lm_eval_subject(folder / "lm-eval")]
    return made


def _agree(folder: Path) -> Read:
    found = ds.agree(
        str(folder / "proxy.csv"), str(folder / "target.csv"), lower_is_better=True, draws=200
    )
    return Read(flat(json.loads(found.table.to_json(orient="split"))), found.notes)


def _pairs(folder: Path) -> Read:
    found = read_pairs(folder / "pairs.csv")
    numbers: Numbers = {}
    for name, each in found.benchmarks.items():
        numbers |= {
            f"{name}/{field}": " ".join(f"{x:.12g}" for x in np.ravel(value))
            for field, value in vars(each).items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        }
    return Read(numbers, found.notes)


def _scores(folder: Path) -> Read:
    found = ds.predict(str(folder / "scores.csv"), _functions(), draws=100)
    return Read(flat(json.loads(found.table.to_json(orient="split"))), found.notes)


@cache
def _functions() -> ds.TransferFit:
    return ds.fit_transfer(pairs_table(), protocol="paper")


def _plain(value: Any) -> Any:
    """Frames, arrays and dataclasses as what JSON has."""
    if isinstance(value, pd.DataFrame | pd.Series):
        return json.loads(value.to_json(orient="split"))
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return {
            key: _plain(getattr(value, key)) for key in value.__dataclass_fields__ if key != "notes"
        }
    return value


def _swarm(folder: Path) -> Read:
    ratios, metrics = folder / "ratios.csv", folder / "metrics.csv"
    swarm = read_swarm(ratios, metrics)
    check_direction(metrics, swarm, True)
    return Read(flat(_plain(swarm)), swarm.notes)


def _items_subject(folder: Path) -> Subject:
    folder.mkdir(parents=True)
    evaluated = evaluation()
    write_benchmark(folder, evaluated.benchmark, evaluated.traces[0])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return Subject("items", files, _items)


def _items(folder: Path) -> Read:
    said: list[str] = []
    (named,) = load_benchmarks([str(folder / "probe.yaml")], None, None, said.append)
    traces = read_traces(folder / "probe.traces.jsonl")
    items = {item.id: _plain(item) for item in named.benchmark.items}
    by_item = {
        name: {"text": trace.text, "runs": _plain(trace.runs), "answer": trace.answer}
        for name, trace in traces.traces.items()
    }
    said += [f"{each.item}: {each.reason}" for each in named.left_out]
    said += [f"{each.item}: {each.reason}" for each in traces.exclusions]
    # A trace whose item is gone is no number; an item without its trace is said when scored.
    shared = items.keys() & by_item.keys()
    said += [f"{name}: no trace" for name in items.keys() - shared]
    return Read(
        flat({"items": items, "traces": {name: by_item[name] for name in shared}}), (*said,)
    )


def _lm_eval_subject(folder: Path) -> Subject:
    files = {}
    for billions in (1, 2, 4):
        results = {
            "gsm8k": {
                "alias": "gsm8k",
                "exact_match,strict-match": 0.1 + billions / 16,
                "exact_match_stderr,strict-match": 0.01,
            },
            "arc_challenge": {"acc,none": 0.25 + billions / 64, "acc_norm,none": 0.3},
        }
        arguments = {"pretrained": "lab/model", "revision": f"step{billions}-tokens{billions}B"}
        content = {
            "results": results,
            "config": {"model": "hf", "model_args": arguments, "limit": None, "batch_size": 8},
            "n-shot": {"gsm8k": 5, "arc_challenge": 25},
            "versions": {"gsm8k": 3.0, "arc_challenge": 1.0},
            "n-samples": {"gsm8k": {"original": 1319, "effective": 1319}},
        }
        files[f"results_{billions}.json"] = json.dumps(content, indent=1).encode()
    return Subject("lm-eval", files, _lm_eval)


def _lm_eval(folder: Path) -> Read:
    section = LmEvalResults(files="results_*.json")
    found = read_lm_eval(section, folder, "spec.yaml:4:3", ("gsm8k", "arc_challenge"))
    return Read(flat(found.values), found.notes)


# Mutations --------------------------------------------------------------------------------------

_CELLS = (
    "",
    " ",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "abc",
    "1_0",
    "1,5",
    "0x10",
    "1e400",
    "50%",
    "N/A",
    "null",
    "None",
    "--",
    "1.2.3",
    "١٢",
    "True",
    "0.5 0.6",
    "=A1",
)


def mutate(files: Files, draw: random.Random) -> Mutation:
    """One mutation of one of a subject's files."""
    while True:
        name = draw.choice(sorted(files))
        how = {"csv": _csv, "jsonl": _jsonl, "json": _document, "yaml": _yaml}
        try:
            made = how[name.rsplit(".", 1)[1]](name, files[name], draw)
        except UnfitError:
            continue
        kind, where, data = made
        if data != files[name]:
            changed = _line_of(files[name], data)
            return Mutation(name, kind, where, {**files, name: data}, changed)


def _line_of(before: bytes, after: bytes) -> str:
    """The first line that is another."""
    for old, new in zip(before.splitlines(), after.splitlines(), strict=False):
        if old != new:
            return new.decode("utf-8", "replace")[:120]
    return ""


Made = tuple[str, str, bytes]


def _csv(name: str, data: bytes, draw: random.Random) -> Made:
    lines = data.decode().splitlines()
    head, rows = lines[0].split(","), lines[1:]
    row = draw.randrange(len(rows))
    cells = rows[row].split(",")
    column = draw.randrange(len(cells))
    where = f"{head[column]} line {row + 2}"
    kind = draw.choice(["cell", "cell", "cell", "digit", "row", "column", "file"])
    if kind == "cell":
        cells[column] = draw.choice(_CELLS)
        rows[row] = ",".join(cells)
        return "cell spoilt", where, _joined(lines[0], rows)
    if kind == "digit":
        places = [n for n, letter in enumerate(cells[column]) if letter.isdigit()]
        if not places:
            raise UnfitError
        place = draw.choice(places)
        cells[column] = (
            cells[column][:place] + draw.choice("0123456789") + cells[column][place + 1 :]
        )
        rows[row] = ",".join(cells)
        return "digit changed", where, _joined(lines[0], rows)
    if kind == "row":
        return _row(head, rows, row, draw)
    if kind == "column":
        return _column(lines[0], head, rows, column, draw)
    return _whole_file(data, draw)


def _row(head: list[str], rows: list[str], row: int, draw: random.Random) -> Made:
    kind = draw.choice(["row twice", "row lost", "cell lost", "cell more", "row of another"])
    where = f"line {row + 2}"
    first = ",".join(head)
    if kind == "row twice":
        return kind, where, _joined(first, [*rows, rows[row]])
    if kind == "row lost":
        return kind, where, _joined(first, rows[:row] + rows[row + 1 :])
    if kind == "cell lost":
        changed = rows[row].rpartition(",")[0]
    elif kind == "cell more":
        changed = rows[row] + ",0.5"
    else:
        # The same key with other values: which of them counts?
        other = rows[(row + 1) % len(rows)].split(",")
        changed = ",".join([rows[row].split(",")[0], *other[1:]])
        return kind, where, _joined(first, [*rows, changed])
    return kind, where, _joined(first, [*rows[:row], changed, *rows[row + 1 :]])


def _column(first: str, head: list[str], rows: list[str], column: int, draw: random.Random) -> Made:
    kind = draw.choice(["column twice", "column renamed", "column lost", "header twice"])
    where = head[column]
    if kind == "header twice":
        return kind, "header", _joined(first, [*rows[:3], first, *rows[3:]])
    if kind == "column renamed":
        named = [*head[:column], draw.choice(["", "x", head[0]]), *head[column + 1 :]]
        return kind, where, _joined(",".join(named), rows)
    split = [row.split(",") for row in rows]
    if kind == "column twice":
        more = [",".join([*cells, cells[column]]) for cells in split]
        return kind, where, _joined(",".join([*head, head[column]]), more)
    left = [",".join(cells[:column] + cells[column + 1 :]) for cells in split]
    return kind, where, _joined(",".join(head[:column] + head[column + 1 :]), left)


def _whole_file(data: bytes, draw: random.Random) -> Made:
    kind = draw.choice(
        ["byte order mark", "CRLF", "empty line", "NUL", "UTF-16", "semicolons", "cut off", "tabs"]
    )
    text = data.decode()
    place = draw.randrange(1, len(data))
    made = {
        "byte order mark": b"\xef\xbb\xbf" + data,
        "CRLF": data.replace(b"\n", b"\r\n"),
        "empty line": data.replace(b"\n", b"\n\n", 2),
        "NUL": data[:place] + b"\0" + data[place:],
        "UTF-16": text.encode("utf-16"),
        "semicolons": data.replace(b",", b";"),
        "tabs": data.replace(b",", b"\t"),
        "cut off": data[:place],
    }
    return kind, "file", made[kind]


def _joined(first: str, rows: list[str]) -> bytes:
    return ("\n".join([first, *rows]) + "\n").encode()


def _jsonl(name: str, data: bytes, draw: random.Random) -> Made:
    lines = data.decode().splitlines()
    row = draw.randrange(len(lines))
    kind = draw.choice(["value", "value", "value", "row twice", "row lost", "cut off", "order"])
    where = f"line {row + 1}"
    if kind == "value":
        content = json.loads(lines[row])
        kind, path, made = json_change(content, draw, list(paths(content)))
        where = f"{where}: {spell(path)}"
        text = json.dumps(made, ensure_ascii=False)
        lines[row] = text.encode("utf-8", "replace").decode()
    elif kind == "row twice":
        lines.append(lines[row])
    elif kind == "row lost":
        del lines[row]
    elif kind == "cut off":
        lines[row] = lines[row][: draw.randrange(1, len(lines[row]))]
    else:
        first = lines[:1] if "traces" in name else []
        rest = lines[len(first) :]
        draw.shuffle(rest)
        lines = [*first, *rest]
    return kind, where, ("\n".join(lines) + "\n").encode()


def _document(_: str, data: bytes, draw: random.Random) -> Made:
    if draw.random() < 0.1:
        place = draw.randrange(1, len(data))
        return "cut off", str(place), data[:place]
    content = json.loads(data)
    kind, path, made = json_change(content, draw, list(paths(content)))
    return kind, spell(path), json.dumps(made, indent=1).encode()


def _yaml(_: str, data: bytes, draw: random.Random) -> Made:
    lines = data.decode().splitlines()
    row = draw.randrange(len(lines))
    kind = draw.choice(["row twice", "cut off", "indented", "tab"])
    made = {
        "row twice": [*lines, lines[row]],
        "cut off": [*lines[:row], lines[row][: len(lines[row]) // 2]],
        "indented": [*lines[:row], f"  {lines[row]}", *lines[row + 1 :]],
        "tab": [*lines[:row], f"\t{lines[row]}", *lines[row + 1 :]],
    }
    return kind, f"line {row + 1}", ("\n".join(made[kind]) + "\n").encode()


# What may change the numbers --------------------------------------------------------------------

AS_VALID = {
    "digit changed": "another number, or another text",
    "row lost": "a candidate, a run or an item less",
    "column lost": "a metric less",
    "column renamed": "a metric of another name",
    "cut off": "the last number shorter, or rows less",
}
"""Kinds after which a file can be as valid as before, and why."""

LABELS = ("id", "benchmark", "group", "seed", "size", "run")
"""Columns of names: another text is another name, unless it says that there is none."""
_MISSING = ("", " ", "nan", "NaN", "N/A")

_TEXTS = ("question", "answer", "choices", "rationale", "alias", "text")
_NUMBERS = ("exact_match", "acc", "effective", "tokens", "revision", "pretrained", "answer_index")


def _row_of(mutation: Mutation) -> int:
    return int(mutation.where.split(":")[0].removeprefix("line ")) - 1


def may_change(mutation: Mutation) -> bool:
    """Whether the mutated file can be as valid as the intact one, with other numbers."""
    if mutation.area.endswith((".csv", ".yaml")):
        if mutation.kind == "cell spoilt" and mutation.where.split(" ")[0] in LABELS:
            spoilt = any(cell in _MISSING for cell in mutation.value.split(","))
            return not spoilt or mutation.where.startswith("group ")  # which may be empty
        return mutation.kind in AS_VALID
    if mutation.kind in ("row lost", "cut off"):
        return True
    if mutation.area.endswith(".json"):
        return _in_range(mutation)
    # An item needs neither a solution nor all of its choices.
    optional = "rationale" in mutation.where or "choices" in mutation.where
    if mutation.kind == "type changed":
        key = mutation.where.rsplit(" ", 1)[-1].split(".")[0]
        row = json.loads(mutation.files[mutation.area].splitlines()[_row_of(mutation)])
        return optional and row.get(key) in (None, "")
    return (mutation.kind in ("removed", "key renamed") and optional) or _in_range(mutation)


def _in_range(mutation: Mutation) -> bool:
    """Other letters in a text and another number in its range are as valid as the first."""
    if mutation.kind in ("digit changed", "bit flipped", "zeroed", "enlarged", "sign changed"):
        return any(name in mutation.where for name in (*_TEXTS, *_NUMBERS))
    return False
