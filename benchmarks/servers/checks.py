"""What the command of every server does: options, model, environment, and the results file."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compare import Reference
from environments import Server, environment, versions
from measure import Subject, stories
from model import make_model
from transformers import PreTrainedTokenizerFast

from dataselect.compute.machine import processor_name

RESULTS = Path(__file__).parent / "results"
LIMIT_NATS = 1e-4
SEED, STEPS = 0, 320


@dataclass(frozen=True)
class Bench:
    """What one command has at hand."""

    arguments: argparse.Namespace
    """Its options."""

    work: Path
    """A folder for everything that is made."""

    python: Path
    """The interpreter of the server's environment."""

    model: Path
    """The folder with weights and tokenizer."""

    tokenizer: PreTrainedTokenizerFast
    """The tokenizer of that folder."""

    reference: Reference
    """The model of that folder."""

    def subject(self, address: str, name: str) -> Subject:
        """A running server of this model."""
        scratch = self.work / "made" / address.rpartition(":")[2]
        scratch.mkdir(parents=True, exist_ok=True)
        items = stories(SEED, self.arguments.items_asked)
        return Subject(address, name, self.model, self.tokenizer, self.reference, items, scratch)


def main(
    server: Server,
    run: Callable[[Bench], dict[str, Any]],
    add: Callable[[argparse.ArgumentParser], object] = lambda _: None,
) -> int:
    """Run one server's checks and write their results; 0 unless a difference is too large."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server-python", type=Path, help="an interpreter with the server")
    parser.add_argument("--work", type=Path, help="a folder to keep model and server in")
    parser.add_argument("--stories", type=int, default=20, dest="items_asked")
    add(parser)
    arguments = parser.parse_args()
    with _folder(arguments.work) as work:
        began = time.monotonic()
        python = arguments.server_python or environment(server, work)
        model, tokenizer = make_model(work / "model", SEED, STEPS)
        reference = Reference(model, tokenizer)
        bench = Bench(arguments, work, python, work / "model", tokenizer, reference)
        measured = run(bench)
        results = {
            "hardware": processor_name(),
            "versions": versions(server, python)
            | {f"here: {name}": version(name) for name in ("transformers", "torch", "openai")},
            "seed": SEED,
            "model": {"parameters": model.num_parameters(), "training_steps": STEPS},
            "stories": arguments.items_asked,
            "seconds": round(time.monotonic() - began),
            "measured": measured,
        }
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{server.name}.json").write_text(text, encoding="utf-8")
    print(text)
    return 0 if sound(measured) else 1


def sound(measured: dict[str, Any]) -> bool:
    """Whether what is named "exact" differs by no more than `LIMIT_NATS`."""
    exact = measured.get("exact", {})
    plain, weighed = exact.get("answers", {}).get("plain", {}), exact.get("weigh", {})
    largest = [
        part[name]["max"]
        for part, name in ((plain, "logprob_difference"), (weighed, "log_letter_difference"))
        if name in part
    ]
    return all(value is not None and value <= LIMIT_NATS for value in largest)


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work.resolve()
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)
