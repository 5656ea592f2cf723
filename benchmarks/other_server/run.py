"""Compare an OpenAI-compatible server that is not ours with transformers, on the same weights.

    python benchmarks/other_server/run.py [--server-python PYTHON] [--work DIR] [--items N]

Makes a tiny Llama model, writes it as GGUF, serves it by llama-cpp-python, asks it through our
own client, and computes every reported log-probability again. Writes `results.json` here, and
ends with 1 when the server in exact settings differs by more than 1e-4 nats or an answer gives no
trace. Without --server-python the server is first installed, and so compiled, in an environment
under --work. About two minutes on two cores besides that.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from compare import Comparison, Differences, Reference
from model import FORMS, TASK, make_items, make_model, prompt_ids
from server import call, make_environment, serving, versions, write_gguf
from transformers import PreTrainedTokenizerFast

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.compute.machine import processor_name
from dataselect.traces.recording.asked import BuildOptions
from dataselect.traces.recording.build import Progress, build_traces
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.completion import Form, messages
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import Estimate, Usage

HERE = Path(__file__).parent
LIMIT_NATS = 1e-4
SEED, STEPS, MAX_TOKENS = 0, 350, 200
SETTINGS: dict[str, tuple[str, ...]] = {
    "as installed": (),
    # Keys and values cached in single precision (0 is GGML's F32), and no penalty on tokens that
    # came before: the server's own default is one of 1.1 over the last 64.
    "exact": ("--type_k", "0", "--type_v", "0", "--last_n_tokens_size", "0"),
}


class Unbilled:
    """Billing for a server that costs nothing."""

    async def begin(self, worst: Usage) -> None: ...

    def failed(self, used: Usage) -> None: ...

    def answered(self, reply: Reply) -> None: ...


class Unwatched:
    """Nobody looks on."""

    def start(self, estimate: Estimate, progress: Progress) -> None: ...

    def advance(self, progress: Progress) -> None: ...


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server-python", type=Path, help="an interpreter with the server")
    parser.add_argument("--work", type=Path, help="a folder to keep model and server in")
    parser.add_argument("--items", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work: Path = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        python = arguments.server_python or make_environment((work / "environment").resolve())
        results = run(python, work, arguments.items)
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    (HERE / "results.json").write_text(text, encoding="utf-8")
    print(text)
    exact = results["measured"]["exact"]
    sound = all(
        exact[form]["logprob_difference"]["max"] <= LIMIT_NATS
        and exact[form]["traces"] == arguments.items
        for form in FORMS
    )
    return 0 if sound else 1


def run(python: Path, work: Path, count: int) -> dict[str, Any]:
    """Everything that is measured, as it is written to the results."""
    began = time.monotonic()
    model, tokenizer = make_model(work / "model", SEED, STEPS)
    gguf = work / "model.gguf"
    write_gguf(python, model, tokenizer, gguf)
    reference = Reference(model, tokenizer)
    items = make_items(random.Random(SEED + 2), count)
    measured = {}
    for name, options in SETTINGS.items():
        with serving(python, gguf, options, work / "server.log") as address:
            measured[name] = measure(address, items, tokenizer, reference, work / name)
    return {
        "hardware": processor_name(),
        "versions": {
            **versions(python),
            **{name: version(name) for name in ("transformers", "torch", "openai")},
        },
        "seed": SEED,
        "model": {"parameters": model.num_parameters(), "training_steps": STEPS},
        "items": count,
        "servers": {name: " ".join(options) for name, options in SETTINGS.items()},
        "seconds": round(time.monotonic() - began),
        "measured": measured,
    }


def measure(
    address: str,
    items: Sequence[Item],
    tokenizer: PreTrainedTokenizerFast,
    reference: Reference,
    folder: Path,
) -> dict[str, Any]:
    """Compare one running server in both forms, and in JSON mode against the model's will."""
    endpoint = Endpoint("tiny", f"{address}/v1", "NO_KEY_NEEDED", concurrency=2, attempts=2)
    found: dict[str, Any] = {
        "prompts_tokenised_alike": sum(
            same_ids(address, tokenizer, item, form) for form in FORMS for item in items
        )
    }
    for form in FORMS:
        comparison = compare(endpoint, items, tokenizer, reference, (form, form))
        found[form] = comparison.summary()
        found[form]["build"] = build(endpoint, items, comparison, form, folder)
    # The prompt asks for sentinels and the server's grammar for JSON.
    forced = compare(endpoint, items[: len(items) // 2], tokenizer, reference, ("plain", "json"))
    found["plain prompt in JSON mode"] = forced.summary()
    return found


def same_ids(address: str, tokenizer: PreTrainedTokenizerFast, item: Item, form: Form) -> bool:
    """Whether the server turns a prompt into the same token ids."""
    prompt = messages(item.question, TASK, form)
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    ids: list[int] = call(f"{address}/extras/tokenize", {"input": text})["tokens"]
    return ids == prompt_ids(tokenizer, prompt)


def compare(
    endpoint: Endpoint,
    items: Sequence[Item],
    tokenizer: PreTrainedTokenizerFast,
    reference: Reference,
    forms: tuple[Form, Form],
) -> Comparison:
    """Ask for every item, prompt in one form and the server's mode of another, and compare."""
    wording, mode = forms
    prompts = {item.id: messages(item.question, TASK, wording) for item in items}
    comparison = Comparison(reference)
    for item, reply in asyncio.run(ask(endpoint, prompts, mode)).items():
        ids = prompt_ids(tokenizer, prompts[item])
        assert reply.usage is not None
        assert reply.usage.prompt_tokens == len(ids), "the server read another prompt"
        comparison.add(item, reply, ids, mode)
    return comparison


async def ask(
    endpoint: Endpoint, prompts: dict[str, list[dict[str, str]]], form: Form
) -> dict[str, Reply]:
    """One reply for each prompt, through our client."""
    async with Client(endpoint) as client:
        return {
            item: await client.ask(prompt, form=form, max_tokens=MAX_TOKENS, billing=Unbilled())
            for item, prompt in prompts.items()
        }


def build(
    endpoint: Endpoint, items: Sequence[Item], single: Comparison, form: Form, folder: Path
) -> dict[str, Any]:
    """Record a trace file of the same items, and compare it with the replies asked for singly."""
    folder.mkdir(exist_ok=True)
    out = folder / f"{form}.jsonl"
    out.unlink(missing_ok=True)
    # Without their rationales, which our prompt does not show anyway.
    benchmark = BenchmarkItems("stories", tuple(items), task=TASK)
    options = BuildOptions(form=form, max_tokens=MAX_TOKENS)
    found = build_traces(benchmark, endpoint, out, options, created="2026-01-01", watch=Unwatched())
    same_text = [
        item
        for item, trace in found.traces.items()
        if item in single.traces and trace.text == single.traces[item].text
    ]
    differences = Differences()
    for item in same_text:
        differences.add(found.traces[item].letter_probs, single.traces[item].letter_probs)
    return {
        "traces": len(found.traces),
        "left_out": len(found.exclusions),
        "same_text_as_asked_singly": len(same_text),
        "letter_difference": differences.summary(),
        "mean_probability": round(
            float(np.mean([np.nanmean(t.letter_probs) for t in found.traces.values()])), 3
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
