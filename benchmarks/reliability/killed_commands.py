"""The commands that `kills.py` kills: a small world for each, its phases, and its final files.

A phase begins when the function that it names is called first, and ends where the next begins.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ITEMS = 40
"""Questions of `traces build`."""

MIX = """
confidence: 0.8
compute: {jobs: 1}
mix: {sources: [worked, prose], trials: 9, replicates: 2, confirm: 1, target_epochs: false}
"""


@dataclass(frozen=True)
class Command:
    """A command, in a folder that `prepare` has written."""

    name: str
    """What is typed after `dataselect`."""
    words: tuple[str, ...]
    """All arguments."""
    phases: Mapping[str, str]
    """By name the function, "module:name", whose first call begins the phase; "" is the start."""
    prepare: Callable[[Path], None]
    """Writes the inputs into a folder."""
    final: Callable[[Path], dict[str, bytes]]
    """The final files of a folder by name, without what is measured in seconds or dated."""
    served: bool = False
    """Whether it asks the server of this benchmark, whose address takes the place of URL."""
    pure: tuple[str, ...] = ()
    """Functions, "module:name", that write nothing and take long: computed once for all trials."""


def world(folder: Path) -> None:
    """Four candidates and two benchmarks; proxies train in a fraction of a second."""
    from stage_world import write_world

    write_world(folder, tokens=600)
    short_texts(folder)
    with (folder / "plan.yaml").open("a", encoding="utf-8") as plan:
        plan.write("compute: {jobs: 1}\n")


def mixed_world(folder: Path) -> None:
    """The same, with a search for a mixture of two of them."""
    from stage_world import write_world

    write_world(folder, tokens=600)
    short_texts(folder)
    with (folder / "plan.yaml").open("a", encoding="utf-8") as plan:
        plan.write(MIX)


def short_texts(folder: Path) -> None:
    """Files in place of the made-up world's endless texts, a thousand of which are made at once."""
    from dataselect.synthetic.world import documents

    manifest = folder / "manifest.yaml"
    text = manifest.read_text(encoding="utf-8")
    for name, source in (("worked", "worked"), ("prose", "narrative")):
        rows = [{"text": each} for each in islice(documents(source, 0), 300)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        text = text.replace(f"path: dataselect/desk, name: {source}", f"path: {name}.jsonl")
    manifest.write_text(text, encoding="utf-8")


def reported(folder: Path) -> None:
    """The report of a run, without what is made from its report.json."""
    from dataselect.cli import app

    world(folder)
    os.chdir(folder)
    app(RUN, standalone_mode=False)
    for path in (folder / "out").rglob("*"):
        if path.is_file() and path.name not in ("report.json", "resolved.yaml"):
            path.unlink()


def scored_world(folder: Path) -> None:
    """Two checkpoints, and the benchmarks of `world`."""
    from small_models import save_model
    from stage_world import write_world

    write_world(folder)
    for seed, name in enumerate(("first", "second")):
        save_model(folder / name, seed=seed)
    for name in ("short", "long"):
        (folder / f"{name}.yaml").write_text(
            f"name: {name}\nitems: {name}.jsonl\ntask: arithmetic\n"
            'prompt: "Question: {question}\\nAnswer:"\nnew_tokens: 8\n'
        )


def asked_world(folder: Path) -> None:
    """Questions for a server."""
    rows = [
        {"id": f"q{n}", "question": f"What is {n} + 2?", "answer": str(n + 2)} for n in range(ITEMS)
    ]
    (folder / "adding.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "adding.yaml").write_text("name: adding\nitems: adding.jsonl\ntask: arithmetic\n")


def whole(folder: Path, *names: str) -> dict[str, bytes]:
    """All files of these folders but the records of who writes there."""
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for name in names
        for each in sorted((folder / name).rglob("*"))
        if each.is_file() and not each.name.startswith(".")
    }


def mixture(folder: Path) -> dict[str, bytes]:
    """All files but what the search took."""
    return {name: data for name, data in whole(folder, "out").items() if name != "out/spent.json"}


def dated(folder: Path) -> dict[str, bytes]:
    """Results of `score` without their dates."""
    date = re.compile(r"\d{4}-\d\d-\d\dT[\d.-]+\d")
    found = {}
    for name, data in whole(folder, "out").items():
        if name.endswith(".json"):
            content = json.loads(data)
            content.pop("date", None)
            plain = json.dumps(content).encode()
        else:
            plain = data
        if not name.endswith(".parquet"):
            plain = date.sub("DATE", plain.decode()).encode()
        if found.setdefault(date.sub("DATE", name), plain) != plain:
            found[f"{name} beside another"] = plain
    return found


def without_seconds(value: Any) -> Any:
    """JSON values without what took how long, at any depth."""
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if not k.endswith("seconds")}
    return [without_seconds(each) for each in value] if isinstance(value, list) else value


def ranked(folder: Path) -> dict[str, bytes]:
    """A report without what was measured: seconds, and the pages that name them."""
    found = whole(folder, "out")
    content = json.loads(found["out/report.json"])
    measured = (content.pop("cost"), content.pop("sha256"))
    if None in measured:
        raise ValueError("a report has a cost and a checksum")
    found["out/report.json"] = json.dumps(without_seconds(content)).encode()
    timed = ("report.html", "README.md", "drawn.json", "cost.svg")
    return {name: data for name, data in found.items() if not name.endswith(timed)}


RUN = ("run", "manifest.yaml", "--plan", "plan.yaml", "--store", "store", "--out", "out")
COMMANDS = (
    Command(
        "mix search",
        ("mix", "search", *RUN[1:]),
        {
            "texts and tokenizer": "",
            "trials": "dataselect.mixture_search.worker:Worker.search",
            "confirmation": "dataselect.mixture_search.search:confirm",
            "results": "dataselect.api.mixture_search:write_search",
        },
        mixed_world,
        mixture,
        pure=(
            "dataselect.mixture_search.sampler:fit_model",
            "dataselect.mixture_search.sampler:best_mixture",
            *(
                f"dataselect.mixture_search.search:{name}"
                for name in ("propose", "trade_offs", "compare_rankings", "response_map")
            ),
        ),
    ),
    Command(
        "traces build",
        (
            *("traces", "build", "--benchmark", "adding.yaml", "--model", "tiny"),
            *("--base-url", "URL", "--concurrency", "3", "--max-tokens", "400"),
            *("--out", "out/made.jsonl.gz", "--store", "store"),
        ),
        {
            "probe": "",
            "questions": "dataselect.report.tables.trace_build:ShownBuild.start",
            "the file": "dataselect.traces.recording.asked:write_traces",
        },
        asked_world,
        lambda folder: whole(folder, "out"),
        served=True,
    ),
    Command(
        "score",
        (
            *("score", "first", "second", "--benchmarks", "short.yaml,long.yaml"),
            *("--traces", "short.traces.jsonl", "--traces", "long.traces.jsonl"),
            *("--device", "cpu", "--store", "store", "--out", "out", "--accuracy"),
        ),
        {
            "items": "",
            "models": "dataselect.api.score:_of_models",
            "results": "dataselect.api.score:write_scores",
        },
        scored_world,
        dated,
    ),
    Command(
        "run",
        RUN,
        {"texts and proxies": "", "report": "dataselect.api.run:write_report"},
        world,
        ranked,
    ),
    Command(
        "report",
        ("report", "out"),
        {"drawing": "", "pages": "dataselect.report.selection.files:_write_views"},
        reported,
        lambda folder: whole(folder, "out"),
    ),
)
