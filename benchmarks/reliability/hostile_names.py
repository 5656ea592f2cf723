"""Names that act on terminals and pages, inside files, through whole commands.

    python benchmarks/reliability/hostile_names.py

One name holds terminal escapes, OSC, C1 and bidirectional marks, line ends, HTML, SVG, Markdown and
rich markup. It stands for items, questions, candidates of tables, metrics, sources, folders of
models, frontier models, benchmarks, runs of lm-evaluation-harness, and for what a server says and
is called. Every command runs with it and with a plain name in its place. Nothing that is printed,
and no page, picture or Markdown file may hold a character that acts on a display, or markup that
the plain name does not give. Counts are written to hostile_names.json beside this script, or to
`--out`; a failure makes the exit code 1.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(HERE)]
os.environ |= {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "sk-none-at-all"}

from command_worlds import invoke  # noqa: E402
from completions_server import CompletionsServer  # noqa: E402
from killed_commands import asked_world  # noqa: E402
from small_models import save_model  # noqa: E402
from small_tables import HOSTILE as IN_TABLES  # noqa: E402
from small_tables import agreement_tables, pairs_table, scores_table, swarm_tables  # noqa: E402
from table_mutations import subjects  # noqa: E402

from dataselect.traces.recording.client import Client  # noqa: E402
from dataselect.traces.trace import Trace, TraceHeader, write_traces  # noqa: E402

PLAIN = "plain"
ACTING = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\u2028\r"
MARKUP = (
    "<script>alert(1)<img src=x onerror=alert(1)>'\"><svg onload=alert(1)>"
    "[link=file:x]a[/link][x](javascript:alert(1))`|**a** ![i](http:x) $(id) &lt;b&gt;"
)
HOSTILE = f"h{ACTING}{MARKUP}"
_NEUTRAL = {"code", "br", "tspan", "text", "wbr", "span"}
"""Tags that a name which needs quotes or more lines may add."""


def on_disk(name: str) -> str:
    """The name as one of a folder that YAML names: what acts on a terminal is refused there."""
    return name.replace("/", "").replace(ACTING, "")


class Tags(HTMLParser):
    """The tags of a page with the names of their attributes, and the schemes of its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            link = (value or "").partition(":")[0] if name in ("href", "src", "xlink:href") else ""
            self.found.add((tag, name, link if link in ("javascript", "http", "file") else ""))
        self.found.add((tag,))


@dataclass
class World:
    """Commands in a folder whose files hold a name."""

    folder: Path
    name: str
    commands: Counter[str] = field(default_factory=Counter)
    """By command and exit code."""
    acting: list[str] = field(default_factory=list)
    """Characters that act on a display, by where."""

    def run(self, *words: str, codes: tuple[int, ...] = (0,)) -> None:
        """Run a command and look at what it prints."""
        result = invoke(self.folder, words)
        name = " ".join(words[:2]) if words[0] in ("traces", "mix") else words[0]
        self.commands[f"{name}: {result.exit_code}"] += 1
        if result.exit_code not in (codes if self.name == PLAIN else (0, 2, 3)):
            raise RuntimeError(f"{words}: {result.exit_code}: {result.output[-2000:]}")
        self._look(name, result.output)

    def pages(self) -> Iterator[tuple[str, str]]:
        """Name and text of every page, picture and Markdown file."""
        for path in sorted(self.folder.rglob("*")):
            if path.suffix in (".html", ".svg", ".md") and path.is_file():
                text = path.read_text(encoding="utf-8")
                self._look(path.name, text)
                yield str(path.relative_to(self.folder)), text

    def _look(self, where: str, text: str) -> None:
        acting = {c for c in text if not c.isprintable() and c not in "\n\t\u200c\u200d"}
        acting -= {"\t"} if where.endswith(".svg") else set()
        if acting:
            self.acting.append(f"{where}: {sorted(acting)}")


def tags(name: str, text: str) -> set[tuple[str, ...]]:
    """What a page is made of; Markdown as a reader that lets HTML through makes a page of it."""
    if name.endswith(".md"):
        from markdown_it import MarkdownIt

        text = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return Tags(text).found


def tables(world: World) -> None:
    """Candidates, benchmarks, metrics and sources of tables."""
    proxy, target = agreement_tables()
    ratios, metrics = swarm_tables()
    made = {"proxy": proxy, "target": target, "pairs": pairs_table(), "scores": scores_table()}
    made |= {"ratios": ratios, "metrics": metrics, "at": ratios.head(3)}
    source = ratios.columns[1]
    for name, table in made.items():
        renamed = table.rename(columns={IN_TABLES: world.name, source: f"{source} {world.name}"})
        renamed = renamed.replace({IN_TABLES: world.name})
        renamed.to_csv(world.folder / f"{name}.csv", index=False)
    words = ("proxy.csv", "target.csv", "--lower-is-better", "--trust-direction", "--draws", "100")
    world.run("agree", *words)
    world.run("agree", *words, "--json")
    world.run("fit", "pairs.csv", "--protocol", "paper", "--out", "functions.json")
    world.run("predict", "scores.csv", "--with", "functions.json", "--draws", "100")
    fit = ("mix", "fit", "--ratios", "ratios.csv", "--metrics", "metrics.csv", "--lower-is-better")
    world.run(*fit, "--out", "model.json")
    world.run("mix", "predict", "--with", "model.json", "--at", "at.csv", "--out", "predicted.csv")
    world.run("mix", "propose", "--with", "model.json", "--out", "proposal")


def checkpoints(world: World) -> None:
    """Folders, items, questions and frontier models."""
    name = world.name
    models = [f"{n} {on_disk(name)}" for n in "ab"]
    for seed, each in enumerate(models, 1):
        save_model(world.folder / each, seed)
    rows = [
        {"id": f"one {name}", "question": f"What is {name}?", "answer": "7", "rationale": name},
        {"id": "two", "question": "A?\nB?", "answer": name},
    ]
    (world.folder / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (world.folder / "odd.yaml").write_text(
        json.dumps(
            {
                "name": "odd",
                "items": "odd.jsonl",
                "task": f"task {on_disk(name)}",
                "answers": "text",
            }
        )
    )
    for number, frontier in enumerate((f"frontier {name}", "other"), 1):
        made = [Trace(r["id"], f"It is {name} and {number}.", (), "7") for r in rows]
        made = [Trace(t.item, t.text, ((len(t.text), 0.3),), t.answer) for t in made]
        header = TraceHeader("odd", frontier, f"{name} {{question}}", name)
        write_traces(world.folder / f"{number}.traces.jsonl", header, made)
    traces = ("1.traces.jsonl", "2.traces.jsonl")
    plan = {
        "benchmarks": [{"id": "odd", "items": "odd.jsonl", "traces": list(traces)}],
        "screen": {"keep": 1},
        "compute": {"jobs": 1, "device": "cpu"},
    }
    candidates = [
        {"id": letter, "proxies": {"screen": {"model": each, "tokens": "1M"}}}
        for letter, each in zip("ab", models, strict=True)
    ]
    manifest = {"target": {"size": "1B", "tokens": "1B"}, "plan": plan, "candidates": candidates}
    (world.folder / "m.yaml").write_text(json.dumps(manifest))
    world.run("validate", "m.yaml")
    world.run("plan", "m.yaml")
    world.run("run", "m.yaml", "--store", "store", "--out", "out")
    world.run("report", "out")
    world.run("view", "out", "--device", "cpu")
    given = ("--benchmarks", "odd.yaml", "--device", "cpu", "--store", "store")
    shown = [word for each in traces for word in ("--traces", each)]
    world.run("score", *models, *given, *shown, "--out", "scores")
    several = [word for each in models for word in ("--model", each)]
    world.run("traces", "compare", *traces, *several, *given)
    world.run("traces", "show", traces[0], "--benchmarks", "odd.yaml")
    world.run("traces", "verify", traces[0], "--benchmarks", "odd.yaml", codes=(0, 2))
    weigh = ("traces", "weigh", traces[0], "--model", models[0], "--benchmarks", "odd.yaml")
    world.run(*weigh, "--device", "cpu", "--out", "weighed.jsonl")
    world.run("status", "--store", "store")
    world.run("status", "--store", "store", "--json")


def servers(world: World) -> None:
    """What a server says and is called, and lm-evaluation-harness's results."""
    name = world.name
    asked_world(world.folder)
    ask = ("traces", "build", "--benchmark", "adding.yaml", "--limit", "2", "--max-tokens", "400")
    with CompletionsServer(lambda q: (f"We add {name}: {q}", name)) as server:
        server.answers_as = server.fingerprint = name
        where = ("--model", f"tiny {name}", "--base-url", server.url, "--store", "store")
        world.run(*ask, *where, "--out", "said.jsonl", codes=(0, 2))
        for status in (400, 401, 404, 429, 500):
            said = {"error": {"message": f"no: {name}", "code": name, "type": name}}
            server.refuse = lambda _, status=status, said=said: (status, said)  # type: ignore[misc]
            world.run(*ask, *where, "--out", f"refused-{status}.jsonl", codes=(2, 3))
            world.run("doctor", "--model", "tiny", "--base-url", server.url, codes=(0, 3))
    world.run("status", "--store", "store")
    for each in subjects(world.folder / "made"):
        if each.name in ("items", "lm-eval"):
            for file, data in each.files.items():
                text = data.decode()
                if each.name == "lm-eval":
                    content = json.loads(text)
                    content["config"]["model_args"]["pretrained"] = name
                    content["config"]["model"] = name
                    text = json.dumps(content)
                (world.folder / file).write_text(text, encoding="utf-8")
    from command_worlds import SPEC

    for steps in (1000, 2000, 4000):
        save_model(world.folder / f"steps/step{steps}-hf", steps)
    (world.folder / "spec.yaml").write_text(json.dumps(SPEC))
    world.run("calibrate", "spec.yaml", "--dry-run")


def compared(folder: Path) -> dict[str, Any]:
    """Every part with the hostile name and with a plain one."""
    found: list[str] = []
    commands: Counter[str] = Counter()
    pages: Counter[str] = Counter()
    for part in (tables, checkpoints, servers):
        known: set[tuple[str, ...]] = set()
        for number, name in enumerate((PLAIN, HOSTILE)):
            here = folder / f"{part.__name__}-{number}"
            here.mkdir()
            world = World(here, name)
            part(world)
            made = {page: tags(page, text) for page, text in world.pages()}
            if name == PLAIN:
                known = {tag for of_page in made.values() for tag in of_page}
                continue
            commands += world.commands
            found += world.acting
            for page, of_page in made.items():
                pages[Path(page).suffix] += 1
                new = {t for t in of_page - known if t[0] not in _NEUTRAL or t[1:2] > ("on",)}
                if new:
                    found.append(f"{page}: {sorted(new)}")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commands": dict(sorted(commands.items())),
        "pages": dict(sorted(pages.items())),
        "found": found,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "hostile_names.json")
    given = parser.parse_args()
    warnings.simplefilter("ignore")

    async def at_once(*_: object) -> None:
        return None

    waits = patch.object(Client, "_wait", at_once), patch.object(Client, "_pause")
    with tempfile.TemporaryDirectory() as folder, waits[0], waits[1]:
        results = compared(Path(folder))
    given.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    return int(bool(results["found"]))


if __name__ == "__main__":
    sys.exit(main())
