"""Mutations of manifests and plans: a key, a value, a byte.

What a user states cannot be contradicted by anything, so another valid value is another, valid
run. What may not happen: a key that nobody reads, a value taken for something else than it says, or
an error that is not one line.
"""

import json
import random
from pathlib import Path
from typing import Any

from mutations import VALUE_CHANGES, Files, Mutation, at, byte_change, json_change, paths, spell
from stage_world import MANIFEST, PLAN
from table_mutations import Read, Subject, flat

from dataselect.api.inputs import load_inputs

_GIVEN: dict[str, Any] = {
    "target": {"size": "1B", "tokens": "20B"},
    "candidates": [
        {"id": "a", "title": "First", "proxies": {"screen": {"model": "a", "tokens": "1M"}}},
        {"id": "b", "proxies": {"screen": {"model": "b", "tokens": "2.5M"}}},
    ],
    "plan": {
        "seed": 3,
        "benchmarks": [{"id": "probe", "items": "probe.yaml", "traces": "probe.traces.jsonl"}],
        "screen": {"keep": 1, "aggregate": "mean_rank"},
        "confidence": 0.9,
    },
}
_TRAINED: dict[str, Any] = {
    "target": {"size": "7B", "tokens": "2T"},
    "plan": "plan.yaml",
    "candidates": [
        {"id": "web", "path": "json", "data_files": "web/*.jsonl", "text_column": "body"},
        {"id": "math", "path": "dataselect/desk", "name": "worked"},
        {"id": "blend", "mixture": {"web": 0.7, "math": 0.3}},
    ],
}


def subjects() -> list[Subject]:
    """Manifests with given and with trained proxies, and one as a person writes it."""
    plan = PLAN.replace("TOKENS", "4000").encode()
    return [
        Subject("given proxies", {"manifest.yaml": json.dumps(_GIVEN, indent=1).encode()}, _read),
        Subject(
            "trained proxies",
            {"manifest.yaml": json.dumps(_TRAINED, indent=1).encode(), "plan.yaml": plan},
            _read,
        ),
        Subject(
            "by hand",
            {"manifest.yaml": f"plan: plan.yaml{MANIFEST}".encode(), "plan.yaml": plan},
            _read,
        ),
    ]


def _read(folder: Path) -> Read:
    manifest, plan = load_inputs(folder / "manifest.yaml")
    numbers = flat(manifest.model_dump(mode="json", exclude={"plan"}), "manifest")
    numbers |= flat(plan.model_dump(mode="json"), "plan")
    return Read(numbers, ())


def mutate(files: Files, draw: random.Random) -> Mutation:
    """One mutation of one file: by its keys and values where it is JSON, else by its bytes."""
    name = draw.choice(sorted(files))
    data = files[name]
    if data.startswith(b"{") and draw.random() < 0.8:
        content = json.loads(data)
        kind, path, made = json_change(content, draw, list(paths(content, 6)))
        text = json.dumps(made, indent=1, ensure_ascii=False)
        changed = text.encode("utf-8", "replace")
        value = json.dumps(at(made, path)) if kind in VALUE_CHANGES else ""
        return Mutation(name, kind, spell(path), {**files, name: changed}, value)
    kind, place, changed = byte_change(data, draw, 0, len(data))
    line = changed[: place + 40].rsplit(b"\n", 2)[-1][:80]
    return Mutation(
        name, f"byte: {kind}", str(place), {**files, name: changed}, line.decode("latin-1")
    )


_LEGITIMATE = {
    "digit changed": "another number",
    "bit flipped": "another number or text",
    "sign changed": "another number, where negative ones are valid",
    "enlarged": "a larger number",
    "removed": "the default, where the key has one",
    "zeroed": "nothing, where that is valid",
    "byte: bit flipped": "another number or text",
    "byte: byte lost": "another number or text",
    "byte: byte doubled": "another number or text",
    "byte: cut off": "the default of the keys that are lost",
}
"""Kinds after which the file can say something else that is valid, and what."""


_AS_LEFT_OUT = ("null", "{}", "1")
"""Values that are valid for some keys: nothing, which is the key left out, or a number."""


def may_change(mutation: Mutation) -> bool:
    """Whether the mutated file can be as valid as the intact one, and say something else."""
    if mutation.kind == "type changed":
        # A list of one value is that value, where several may be named.
        return mutation.value in _AS_LEFT_OUT or mutation.value.startswith("[")
    return mutation.kind in _LEGITIMATE
