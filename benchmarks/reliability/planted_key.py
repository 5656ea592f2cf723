"""Keys planted in the environment, and every command that uses one: are they in any byte?

    python benchmarks/reliability/planted_key.py

Servers give the key that they are sent back in every spelling: in errors of several statuses, in
answers, names and headers, and in batches. Other commands run with keys in the environment that
they do not use; a trainer prints them. Some calls are broken by a fault put into our own code, for
its traceback. Then every file below store, report, logs and output is searched, compressed ones
unpacked, for the keys in all spellings that `dataselect.redaction` knows. Counts are written to
planted_key.json beside this script, or to `--out`; a key that is found makes the exit code 1.
"""

import argparse
import gzip
import json
import os
import random
import string
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(HERE)]
os.environ |= {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1"}

from batch_server import BatchServer  # noqa: E402
from command_worlds import invoke  # noqa: E402
from completions_server import CompletionsServer, send  # noqa: E402
from given_server import GivenTextServer  # noqa: E402
from killed_commands import asked_world, mixed_world, scored_world, short_texts  # noqa: E402
from local_server import LocalServer  # noqa: E402
from spelt_keys import KINDS, spelt  # noqa: E402

from dataselect.redaction import mask  # noqa: E402
from dataselect.traces.recording.client import Client  # noqa: E402

STATUSES = (200, 400, 401, 404, 429, 500)
NAMES = ("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY")
BUILD = ("traces", "build", "--benchmark", "adding.yaml", "--limit", "3", "--concurrency", "2")
BUILD = (*BUILD, "--max-tokens", "200", "--store", "store")
WEIGH = ("traces", "weigh", "mine.jsonl", "--benchmarks", "adding.yaml", "--tokenizer", "tiny")
WEIGH = (*WEIGH, "--store", "store")


@dataclass
class Trial:
    """Commands in one folder, and what they printed."""

    folder: Path
    keys: Mapping[str, str]
    codes: Counter[str] = field(default_factory=Counter)
    """By command and exit code."""

    def run(self, *words: str) -> None:
        """Run a command and keep what it prints, with the traceback of what it raises."""
        result = invoke(self.folder, words)
        text = result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            text += "".join(traceback.format_exception(result.exception))
        name = " ".join(words[:2]) if words[0] in ("traces", "mix") else words[0]
        self.codes[f"{name}: {result.exit_code}"] += 1
        number = sum(self.codes.values())
        (self.folder / f"output-{number}.txt").write_text(text, encoding="utf-8", errors="replace")

    def found(self) -> tuple[list[str], int, int]:
        """Where a key is found; files and bytes searched."""
        places: list[str] = []
        files = count = 0
        for path in sorted(self.folder.rglob("*")):
            for text in [str(path), *(_texts(path) if path.is_file() else ())]:
                files, count = files + 1, count + len(text)
                for name, key in self.keys.items():
                    if (masked := mask(text, key)) != text:
                        at = masked.index("[key]")
                        line = masked[max(0, at - 100) : at + 60]
                        places.append(f"{name} in {path.relative_to(self.folder)}: {line!r}")
        return places, files, count


def _texts(path: Path) -> Iterator[str]:
    """What a file holds, as each encoding would show it."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".parquet":
        import pandas as pd

        data = pd.read_parquet(path).to_json(force_ascii=False).encode()
    if path.suffix == ".safetensors":
        data = data[: 8 + int.from_bytes(data[:8], "little")]
    yield data.decode("utf-8", "replace")
    if not data.isascii():
        yield data.decode("latin-1")


class EchoServer(LocalServer):
    """Answers everything with the key that it was sent, in this spelling, with this status."""

    def __init__(self, status: int, kind: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                key = spelt(kind, self.headers.get("Authorization", "").removeprefix("Bearer "))
                about = {"message": f"sent with {key}", "code": key, "param": key, "type": key}
                said: dict[str, Any] = {"error": about}
                if status == 200:
                    said = {"model": key, "system_fingerprint": key, "choices": key, "usage": key}
                plain = "".join(c for c in key if c.isascii() and c.isprintable())
                more = {"x-request-id": plain, "Retry-After": plain, "x-ratelimit-reset": plain}
                send(self, status, json.dumps(said).encode(), more)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)


def echoed(trial: Trial) -> None:
    """Servers whose every word is the key."""
    for number, kind in enumerate(KINDS):
        for status in STATUSES:
            with EchoServer(status, kind) as server:
                address = ("--model", "tiny", "--base-url", server.url)
                trial.run(*BUILD, *address, "--out", f"t/echo-{number}-{status}.jsonl")
                if status in (400, 401, 500):
                    trial.run(*WEIGH, *address, "--out", f"t/given-{number}-{status}.jsonl")
                    trial.run("doctor", *address)


def answered(trial: Trial) -> None:
    """Models that write the key, and servers that name themselves by it."""
    key = trial.keys["OPENAI_API_KEY"]
    for number, kind in enumerate(KINDS):
        text = spelt(kind, key)
        with CompletionsServer(lambda q, text=text: (f"We add {text}: {q}", "it")) as server:  # type: ignore[misc]
            address = ("--model", "tiny", "--base-url", server.url)
            trial.run(*BUILD, *address, "--out", f"t/said-{number}.jsonl.gz")
        with CompletionsServer(lambda q: (f"We add: {q}", "it")) as server:
            server.answers_as = server.fingerprint = text
            address = ("--model", "tiny", "--base-url", server.url)
            trial.run(*BUILD, *address, "--out", f"t/named-{number}.jsonl.gz")


class NamedServer(GivenTextServer):
    """Calls itself by a name."""

    name = "served"

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        named = {"model": self.name, "system_fingerprint": self.name, "id": self.name}
        return super()._complete(body) | named


def named(trial: Trial) -> None:
    """Servers that weigh and servers of batches that call themselves by the key."""
    key = trial.keys["OPENAI_API_KEY"]
    with NamedServer(trial.folder / "tiny") as given:
        for number, kind in enumerate(KINDS):
            given.name = spelt(kind, key)
            address = ("--model", "tiny", "--base-url", given.url)
            trial.run(*WEIGH, *address, "--out", f"t/called-{number}.jsonl.gz")
            with BatchServer(lambda q: (f"We add: {q}", "it")) as batches:
                batches.answers_as = batches.fingerprint = given.name
                address = ("--model", "tiny", "--base-url", batches.url, "--batch")
                trial.run(*BUILD, *address, "--wait", "1", "--out", f"t/many-{number}.jsonl.gz")


def at_fault(trial: Trial) -> None:
    """The faults of servers in tests, each of which may echo the header."""
    script = lambda q: (f"We add: {q}", "it")  # noqa: E731
    orders = ("", "+401", "+429:2", "+quota", "+400", "+404", "+echo", "+500:2", "+html", "+torn:2")
    for number, order in enumerate((*orders, "+reset:2", "+item-400", "+each-500:1", "+502")):
        with CompletionsServer(script) as server:
            address = ("--model", f"tiny{order}", "--base-url", server.url)
            trial.run(*BUILD, *address, "--out", f"t/fault-{number}.jsonl.gz")
        with BatchServer(script) as batches:
            address = ("--model", f"tiny{order}", "--base-url", batches.url, "--batch")
            trial.run(*BUILD, *address, "--wait", "1", "--out", f"t/batch-{number}.jsonl.gz")
    with GivenTextServer(trial.folder / "tiny") as given:
        for number, faults in enumerate(([], [401], [500, 429], [400] * 9)):
            given.faults = faults
            address = ("--model", "served", "--base-url", given.url)
            trial.run(*WEIGH, *address, "--out", f"t/weighed-{number}.jsonl.gz")


def broken(trial: Trial) -> None:
    """Faults of our own code while a request is open: their tracebacks."""
    places = ("client.read_reply", "client.request_body", "asked.write_traces", "journal.Journal")
    with CompletionsServer(lambda q: (f"We add: {q}", "it")) as server:
        for number, place in enumerate(places):
            with patch(f"dataselect.traces.recording.{place}", side_effect=RuntimeError("a fault")):
                address = ("--model", "tiny", "--base-url", server.url)
                trial.run(*BUILD, *address, "--out", f"t/broken-{number}.jsonl.gz")


PRINTS = """
import os, sys
sys.path.insert(0, {support!r})
from spelt_keys import KINDS, spelt
for name in {names!r}:
    for kind in KINDS:
        print(name, spelt(kind, os.environ[name]), flush=True)
sys.exit(1)
"""


def unused(trial: Trial) -> None:
    """Commands that use no key, in an environment that has some; a trainer that prints them."""
    words = ("manifest.yaml", "--plan", "plan.yaml", "--store", "store")
    trial.run("validate", *words[:3])
    trial.run("plan", *words[:3])
    trial.run("design", *words[:3], "--budget", "1e16")
    trial.run("doctor", *words[:3])
    trial.run("mix", "search", *words, "--out", "mixture")
    trial.run("run", *words, "--out", "out")
    trial.run("status", "--store", "store", "--json")
    trial.run("report", "out")
    trial.run("view", "out", "--device", "cpu")
    on = ("--benchmarks", "short.yaml", "--traces", "short.traces.jsonl", "--device", "cpu")
    trial.run("score", "first", "second", *on, "--store", "store")
    trial.run("traces", "verify", "short.traces.jsonl", "--benchmarks", "short.yaml")
    trial.run("traces", "show", "short.traces.jsonl", "--benchmarks", "short.yaml")
    text = PRINTS.format(support=str(ROOT / "tests" / "support"), names=NAMES)
    (trial.folder / "train.py").write_text(text)
    command = {"train": {"command": [sys.executable, "train.py", "{output}"], "tokens": "4k"}}
    manifest = {
        "target": {"size": "1M", "tokens": "20M"},
        "candidates": [{"id": name, "proxies": {"screen": command}} for name in ("one", "two")],
    }
    (trial.folder / "trained.yaml").write_text(json.dumps(manifest))
    plan = (trial.folder / "plan.yaml").read_text().partition("confidence:")[0]
    (trial.folder / "plain.yaml").write_text(plan)
    trial.run("run", "trained.yaml", "--plan", "plain.yaml", *words[3:], "--out", "trained")
    assert any(trial.folder.rglob("train.log")), "the trainer has printed"


@contextmanager
def planted(keys: Mapping[str, str]) -> Iterator[None]:
    """The keys in the environment; waits for a server take no time."""

    async def at_once(*_: object) -> None:
        return None

    waits = patch.object(Client, "_wait", at_once), patch.object(Client, "_pause")
    with patch.dict(os.environ, keys), waits[0], waits[1]:
        yield


def prepared(folder: Path) -> Path:
    """Questions, given texts and a tokenizer, as the commands read them."""
    from small_models import save_model

    folder.mkdir()
    asked_world(folder)
    save_model(folder / "tiny")
    rows = [{"id": f"q{n}", "reasoning": f"We add 2 to {n}. That is it."} for n in range(3)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def prepared_run(folder: Path) -> Path:
    """A small run with a search for a mixture, and models to score."""
    folder.mkdir()
    scored_world(folder)
    mixed_world(folder)
    short_texts(folder)
    return folder


def main() -> int:
    parts: dict[str, tuple[Callable[[Trial], None], Callable[[Path], Path]]] = {
        each.__name__: (each, prepared) for each in (echoed, answered, named, at_fault, broken)
    }
    parts["unused"] = (unused, prepared_run)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(parts), choices=list(parts))
    parser.add_argument("--out", type=Path, default=HERE / "planted_key.json")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    draw = random.Random(7)
    letters = string.ascii_letters + string.digits + "-_"
    keys = {name: f"zk-{''.join(draw.choices(letters, k=37))}" for name in NAMES}
    results = json.loads(given.out.read_bytes()) if given.out.exists() else {}
    with planted(keys):
        for name in given.only:
            results[name] = _searched(*parts[name], keys)
            print(name, results[name], flush=True)
            given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return int(any(each["found"] for each in results.values()))


def _searched(
    commands: Callable[[Trial], None], prepare: Callable[[Path], Path], keys: Mapping[str, str]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        trial = Trial(prepare(Path(temporary) / "world"), keys)
        commands(trial)
        found, files, count = trial.found()
        _control(trial)
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "commands": sum(trial.codes.values()),
            "ended": dict(sorted(trial.codes.items())),
            "files_searched": files,
            "characters_searched": count,
            "found": _first(found),
        }


def _control(trial: Trial) -> None:
    """Raise AssertionError where the search misses a key that is in a file."""
    key = trial.keys["OPENAI_API_KEY"]
    before = len(trial.found()[0])
    for number, kind in enumerate(KINDS):
        text = f"it says {spelt(kind, key)}, twice"
        (trial.folder / f"control-{number}.txt").write_text(text, encoding="utf-8")
        (trial.folder / f"control-{number}.gz").write_bytes(gzip.compress(text.encode()))
    assert len(trial.found()[0]) == before + 2 * len(KINDS)


def _first(found: Sequence[str], most: int = 20) -> list[str]:
    return [*found[:most], *([f"and {len(found) - most} more"] if len(found) > most else [])]


if __name__ == "__main__":
    sys.exit(main())
