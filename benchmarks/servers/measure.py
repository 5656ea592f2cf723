"""What dataselect makes of a running server, against a forward pass of the same weights here.

The commands are those that a user types: `traces build` in both forms and with the form left open,
with the thinking as the trace, and `traces weigh --base-url`. A command that refuses the server is
a result too: its line is kept. Beside them our client asks every question once, so that the
log-probability of each token can be compared, and not only the letters of the traces.
"""

import asyncio
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from compare import Comparison, Differences, Reference
from model import FORMS, TASK, THOUGHT_OVER, make_items, prompt_ids
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from dataselect.benchmarks.items import Item
from dataselect.cli import app
from dataselect.errors import DataselectError
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.completion import Form, messages
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import Usage
from dataselect.traces.trace import TraceSet, read_traces

MAX_TOKENS = 220
# Compiling a grammar takes some servers a minute on a busy machine.
_TIMEOUT = 300
KEY_VARIABLE = "KEY_OF_THE_SERVER"
"""The environment variable with the key of a server that wants one."""

_SERVER = ("--key-variable", KEY_VARIABLE, "--concurrency", "2", "--timeout", str(_TIMEOUT))
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


class Unbilled:
    """Billing for a server that costs nothing."""

    async def begin(self, worst: Usage) -> None: ...

    def failed(self, used: Usage) -> None: ...

    def answered(self, reply: Reply) -> None: ...


@dataclass(frozen=True)
class Subject:
    """A running server, and what is known of its model here."""

    address: str
    """Where it listens."""

    name: str
    """The model's name there."""

    model: Path
    """The folder with weights and tokenizer."""

    tokenizer: PreTrainedTokenizerFast
    """The tokenizer of that folder."""

    reference: Reference
    """The model of that folder."""

    items: Sequence[Item]
    """The stories that are asked."""

    scratch: Path
    """A folder for files that are made."""

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"{self.address}/v1"


def stories(seed: int, count: int) -> list[Item]:
    """The items of all checks; the model was trained on others."""
    return make_items(random.Random(seed + 2), count)


def measure(subject: Subject, *, thinks: bool) -> dict[str, Any]:
    """Everything that is measured of a server; `thinks`: whether thinking is asked for too."""
    found: dict[str, Any] = {"answers": {}, "build": {}}
    asked: dict[str, Comparison] = {}
    for form in FORMS:
        _attempt(found["answers"], form, lambda form=form: _asked(subject, form, form, asked))
    # The prompt asks for sentinels, and the server's grammar for JSON.
    forced = "plain prompt in JSON mode"
    _attempt(found["answers"], forced, lambda: _asked(subject, "plain", "json", {}))
    for option in ("json", "plain", None):
        options = () if option is None else ("--form", option)
        built = build(subject, TASK, f"build-{option}", *options)
        found["build"][option or "form left open"] = compared(built, asked)
    if thinks:
        found["thinking"] = thinking(subject)
    found["weigh"] = weigh(subject, *story_files(subject, TASK))
    return found


def _attempt(found: dict[str, Any], name: str, make: Callable[[], dict[str, Any]]) -> None:
    try:
        found[name] = make()
    except (DataselectError, ValueError) as error:
        found[name] = {"refused": without_address(str(error))}


def _asked(
    subject: Subject, wording: Form, mode: Form, kept: dict[str, Comparison]
) -> dict[str, Any]:
    comparison = Comparison(subject.reference)
    prompts = {item.id: messages(item.question, TASK, wording) for item in subject.items}
    for item, reply in asyncio.run(ask(subject, prompts, mode)).items():
        if not reply.tokens:
            raise ValueError(reply.problem)
        ids = prompt_ids(subject.tokenizer, prompts[item])
        if reply.usage is not None and reply.usage.prompt_tokens != len(ids):
            raise ValueError("the server read another prompt")
        try:
            comparison.add(item, reply, ids, mode)
        except ValueError:
            comparison.problems["its token ids cannot be told from their texts"] += 1
    if wording == mode:
        kept[mode] = comparison
    return comparison.summary()


async def ask(
    subject: Subject, prompts: dict[str, list[dict[str, str]]], form: Form
) -> dict[str, Reply]:
    """One reply for each prompt, through our client."""
    endpoint = Endpoint(subject.name, subject.url, KEY_VARIABLE, _TIMEOUT, attempts=2)
    async with Client(endpoint) as client:
        return {
            item: await client.ask(prompt, form=form, max_tokens=MAX_TOKENS, billing=Unbilled())
            for item, prompt in prompts.items()
        }


def thinking(subject: Subject) -> dict[str, Any]:
    """Traces of a reasoning model: the answer's reasoning behind its thinking, and the thinking."""
    prompts = {i.id: messages(i.question, THOUGHT_OVER, "plain") for i in subject.items}
    own = Comparison(subject.reference)
    for item, reply in asyncio.run(ask(subject, prompts, "plain")).items():
        if reply.problem is None:
            ids = prompt_ids(subject.tokenizer, prompts[item])
            own.add_thinking(item, reply, ids, "plain")
    found: dict[str, Any] = {
        "letter_difference": own.thinking_letters.summary(),
        "traces": len(own.traces),
        "without_trace": dict(own.problems),
    }
    plain = ("--form", "plain")
    built = build(subject, THOUGHT_OVER, "thought", *plain, "--part", "thinking")
    found["build --part thinking"] = compared(built, {"plain": own})
    built = build(subject, THOUGHT_OVER, "answered", *plain)
    found["build"] = compared(built, {})
    if isinstance(built, TraceSet):
        hidden = built.header.notes.get("after_hidden_thinking", "0")
        found["build"]["after_hidden_thinking"] = int(hidden)
    return found


def build(subject: Subject, task: str, name: str, *options: str) -> TraceSet | str:
    """What `traces build` writes, or the line with which it refuses the server."""
    benchmark, _ = story_files(subject, task)
    out = subject.scratch / f"{name}.jsonl"
    arguments = ["--benchmarks", str(benchmark), "--model", subject.name, "--out", str(out)]
    limit = () if "--max-tokens" in options else ("--max-tokens", str(MAX_TOKENS))
    server = ["--base-url", subject.url, *_SERVER]
    return _command("traces", "build", *arguments, *server, *limit, *options, out=out)


def weigh(subject: Subject, benchmark: Path, rows: Path, *options: str) -> dict[str, Any]:
    """`traces weigh` by the server against the same command with the weights here."""
    arguments = [str(rows), "--benchmarks", str(benchmark), *options]
    here, there = (subject.scratch / f"{rows.stem}-{side}.jsonl" for side in ("here", "there"))
    server = ["--model", subject.name, "--base-url", subject.url, *_SERVER]
    server += ["--tokenizer", str(subject.model), "--out", str(there)]
    by_server = _command("traces", "weigh", *arguments, *server, out=there)
    if isinstance(by_server, str):
        return {"refused": by_server}
    local = ["--model", str(subject.model), "--device", "cpu", "--out", str(here)]
    by_us = _command("traces", "weigh", *arguments, *local, out=here)
    assert isinstance(by_us, TraceSet), by_us
    differences = Differences()
    for item, trace in by_us.traces.items():
        theirs = by_server.traces[item]
        assert theirs.text == trace.text
        differences.add(np.log(trace.letter_probs), np.log(theirs.letter_probs))
    return {
        "traces": len(by_server.traces),
        "left_out": len(by_server.exclusions),
        "log_letter_difference": differences.summary(),
    }


def _command(*arguments: str, out: Path) -> TraceSet | str:
    out.unlink(missing_ok=True)
    result = CliRunner().invoke(app, arguments, env={"NO_PROXY": "127.0.0.1"})
    if result.exit_code == 0:
        return read_traces(out)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return without_address(lines[-1] if lines else f"{result.exception!r}")


def compared(built: TraceSet | str, asked: dict[str, Comparison]) -> dict[str, Any]:
    """A build's figures, with the differences from the answers that were asked for singly."""
    if isinstance(built, str):
        return {"refused": built}
    notes = built.header.notes
    found: dict[str, Any] = {
        "form": notes["form"],
        "not_sent": notes.get("not_sent"),
        "traces": len(built.traces),
        "left_out": sorted({each.reason for each in built.exclusions}),
    }
    if (single := asked.get(notes["form"])) is not None:
        differences = Differences()
        for item, trace in built.traces.items():
            other = single.traces.get(item)
            if other is not None and other.text == trace.text:
                differences.add(trace.letter_probs, other.letter_probs)
        found["letter_difference_from_single_answers"] = differences.summary()
    return found


def story_files(subject: Subject, task: str) -> tuple[Path, Path]:
    """The benchmark of the stories as YAML, and its items."""
    items = subject.scratch / "stories.jsonl"
    names = ("id", "question", "answer", "rationale")
    rows = [{name: getattr(item, name) for name in names} for item in subject.items]
    items.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    benchmark = subject.scratch / f"{task}.yaml"
    lines = ["name: stories", "items: stories.jsonl", "shots: items", "shot_count: 2"]
    benchmark.write_text("\n".join([*lines, f"task: {task}", ""]), encoding="utf-8")
    return benchmark, items


def without_address(line: str) -> str:
    """`line` without the server's port, which is another each time."""
    return _ADDRESS.sub("SERVER", line)
