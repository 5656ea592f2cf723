"""Commands in folders of whole files, each small: what `command_mutations` spoils.

Every file of a command has a kind (`kind_of`), by which cases are drawn and counted.
"""

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from small_models import save_model
from small_tables import agreement_tables, pairs_table, scores_table, swarm_tables, written
from table_mutations import subjects as read_subjects
from typer.testing import CliRunner
from viewed_runs import make_run
from zoo import (
    ARCHITECTURES,
    TOKENIZERS,
    make_model,
    tensors_of,
    write_config,
    write_tokenizer,
    write_weights,
)

import dataselect as ds
from dataselect.cli import app
from dataselect.store.run_record import STATUS, RunRecord


@dataclass(frozen=True)
class Command:
    """A command in a folder whose files are spoilt one at a time."""

    name: str
    folder: Path
    files: tuple[str, ...]
    """Paths in the folder that are spoilt."""
    words: tuple[str, ...]
    """The command line; it runs in the folder."""


_KINDS = {
    "manifest.yaml": "manifest",
    "mine.yaml": "manifest",
    "plan.yaml": "plan",
    "probe.yaml": "items",
    "probe.jsonl": "items",
    "short.jsonl": "items",
    "probe.traces.jsonl": "traces",
    "short.traces.jsonl": "traces",
    "limits.yaml": "constraints",
    "functions.json": "transfer",
    "model.json": "mixture",
    "spec.yaml": "calibration",
    "report.json": "report",
    "resolved.yaml": "report",
    "status.json": "status",
    "config.json": "config",
    "generation_config.json": "config",
    "adapter_config.json": "config",
    "tokenizer.json": "tokenizer",
    "tokenizer_config.json": "tokenizer",
    "special_tokens_map.json": "tokenizer",
    "model.safetensors.index.json": "weights",
}
KINDS = (*dict.fromkeys(_KINDS.values()), "table", "lm-eval", "swarm")


def kind_of(file: str) -> str:
    """What a file is: one of `KINDS`."""
    path = Path(file)
    if path.name in _KINDS and path.parent.name != "swarm":
        return _KINDS[path.name]
    if path.name.startswith("events"):
        return "status"
    if path.name.startswith("results_"):
        return "lm-eval"
    if path.suffix == ".safetensors":
        return "weights"
    return "table" if path.suffix == ".csv" and path.parent.name != "swarm" else "swarm"


# Commands ----------------------------------------------------------------------------------------


def commands(folder: Path, only: Sequence[str] = ()) -> list[Command]:
    """All of them, or of these groups, with whole files, each group in a folder of its own."""
    made: list[Command] = []
    for make in GROUPS:
        if only and make.__name__.strip("_") not in only:
            continue
        here = folder / make.__name__.strip("_")
        here.mkdir(parents=True)
        made += make(here)
    return made


def invoke(folder: Path, words: Sequence[str]) -> Any:
    """What the command did in the folder, in this process."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, list(words))
    finally:
        os.chdir(before)


def _tables(folder: Path) -> Iterator[Command]:
    proxy, target = agreement_tables()
    tables = {"proxy": proxy, "target": target, "pairs": pairs_table(), "scores": scores_table()}
    list(written(folder, **tables))
    _plain(folder / "functions.json", ds.fit_transfer(pairs_table(), protocol="paper").write)
    words = ("agree", "proxy.csv", "target.csv", "--lower-is-better", "--trust-direction")
    yield Command(
        "agree", folder, ("proxy.csv", "target.csv"), (*words, "--draws", "100", "--json")
    )
    yield Command("fit", folder, ("pairs.csv",), ("fit", "pairs.csv", "--protocol", "paper"))
    words = ("predict", "scores.csv", "--with", "functions.json", "--draws", "100")
    yield Command("predict", folder, ("scores.csv", "functions.json"), words)


def _report(folder: Path) -> Iterator[Command]:
    models = {name: save_model(folder / name, seed) for seed, name in enumerate("ab", 1)}
    out = make_run(folder, models, benchmarks=1)
    _plain(out / "report.json")
    yield Command("report", folder, ("out/report.json",), ("report", "out"))
    given = ("a/config.json", "a/tokenizer.json", "a/generation_config.json")
    for name in ("plan", "validate"):
        yield Command(f"{name} of models", folder, given, (name, "odd-run.yaml"))
    words = ("run", "odd-run.yaml", "--store", "another", "--out", "again")
    yield Command("run of models", folder, given, words)
    words = ("view", "out", "--items", "1", "--device", "cpu")
    files = ("out/report.json", "out/resolved.yaml", "a/config.json", "a/tokenizer.json")
    yield Command("view", folder, tuple(f for f in files if (folder / f).exists()), words)


def _mixture(folder: Path) -> Iterator[Command]:
    ratios, metrics = swarm_tables()
    list(written(folder, ratios=ratios, metrics=metrics, at=ratios.head(3)))
    fitted = ds.fit_mixture(ratios, metrics, lower_is_better=True)
    (folder / "model.json").write_text(str(fitted.to_json()))
    _plain(folder / "model.json")
    names = list(ratios.columns[1:])
    limits = {
        "target_tokens": "100B",
        "sources": {name: {"tokens": "300B", "max": 0.9} for name in names},
        "prior": dict(zip(names, (0.6, 0.3, 0.1), strict=True)),
        "floors": {"qa_loss": "prior"},
    }
    (folder / "limits.yaml").write_text(json.dumps(limits, indent=1))
    words = ("mix", "fit", "--ratios", "ratios.csv", "--metrics", "metrics.csv")
    yield Command("mix fit", folder, ("ratios.csv", "metrics.csv"), (*words, "--lower-is-better"))
    words = ("mix", "predict", "--with", "model.json", "--at", "at.csv", "--out", "predicted.csv")
    yield Command("mix predict", folder, ("model.json", "at.csv"), words)
    words = ("mix", "propose", "--with", "model.json", "--constraints", "limits.yaml")
    yield Command("mix propose", folder, ("limits.yaml", "limits.yaml", "model.json"), words)


def _swarm(folder: Path) -> Iterator[Command]:
    manifest = {
        "target": {"size": "1B", "tokens": "100B"},
        "sources": [
            {"id": "web", "path": "s3://bucket/web.parquet"},
            {"id": "code", "path": "org/code", "revision": "v1"},
        ],
        "candidates": [
            {"id": "most", "mixture": {"web": 0.8, "code": 0.2}},
            {"id": "half", "mixture": {"web": 0.5, "code": 0.5}},
        ],
    }
    limits = {
        "sources": {"web": {"tokens": "300B"}, "code": {"tokens": "60B", "max": 0.5}},
        "prior": {"web": 0.7, "code": 0.3},
    }
    (folder / "mine.yaml").write_text(json.dumps(manifest, indent=1))
    (folder / "limits.yaml").write_text(json.dumps(limits, indent=1))
    words = ("mix", "swarm", "mine.yaml", "--constraints", "limits.yaml", "--runs", "10")
    made = invoke(folder, (*words, "--tokens", "5B", "--out", "swarm"))
    assert made.exit_code == 0, made.output
    draw = random.Random(0)
    runs = [line.split(",")[0] for line in (folder / "swarm/ratios.csv").read_text().split()[1:]]
    lines = [f"{run},{draw.uniform(2, 3)},{draw.uniform(2, 3)}" for run in runs]
    (folder / "metrics.csv").write_text("\n".join(["run,qa_loss,code_loss", *lines]) + "\n")
    files = sorted(str(p.relative_to(folder)) for p in folder.glob("swarm/*") if p.is_file())
    known = tuple(f for f in files if f.endswith((".csv", ".json", ".yaml")))
    words = ("mix", "swarm", "mine.yaml", "--constraints", "limits.yaml", "--runs", "10")
    given = ("mine.yaml", "limits.yaml", *known)
    yield Command("mix swarm", folder, given, (*words, "--tokens", "5B", "--out", "swarm"))
    fit = ("mix", "fit", "--swarm", "swarm", "--metrics", "metrics.csv", "--lower-is-better")
    yield Command("mix fit --swarm", folder, (*known, "metrics.csv"), fit)


SPEC: dict[str, Any] = {
    "proxy": {"model": "steps/step*-hf", "tokens_per_step": "1M"},
    "target": {
        "size": "7B",
        "lm_eval": {
            "files": "results_*.json",
            "tasks": {"sums": {"task": "gsm8k", "metric": "exact_match,strict-match"}},
        },
    },
    "benchmarks": [{"id": "sums", "items": "probe.yaml", "traces": "probe.traces.jsonl"}],
    "pair": {"every": "1B", "last": "4B", "tolerance": 0.1},
}


def _calibrate(folder: Path) -> Iterator[Command]:
    for each in read_subjects(folder / "made"):
        if each.name in ("items", "lm-eval"):
            for name, data in each.files.items():
                (folder / name).write_bytes(data)
    for steps in (1000, 2000, 4000):
        save_model(folder / f"steps/step{steps}-hf", steps)
    (folder / "spec.yaml").write_text(json.dumps(SPEC, indent=1))
    files = ("spec.yaml", *(f"results_{b}.json" for b in (1, 2, 4)), "probe.traces.jsonl")
    yield Command("calibrate", folder, files, ("calibrate", "spec.yaml", "--dry-run"))


def _traces(folder: Path) -> Iterator[Command]:
    _write_items(folder)
    files = tuple(sorted(path.name for path in folder.glob("probe*")))
    words = ("probe.traces.jsonl", "--benchmarks", "probe.yaml")
    yield Command("traces verify", folder, files, ("traces", "verify", *words))
    yield Command("traces show", folder, files, ("traces", "show", *words))


def _scores(folder: Path) -> Iterator[Command]:
    """Items and traces as a model is scored on them, and the model's own files."""
    _write_items(folder)
    save_model(folder / "small")
    (folder / "text.txt").write_text("What is the sum? The answer is 3. " * 40)
    words = ("--benchmarks", "probe.yaml", "--traces", "probe.traces.jsonl", "--device", "cpu")
    probe = ("probe.yaml", "probe.jsonl", "probe.traces.jsonl")
    yield Command("score on", folder, probe, ("score", "small", *words))
    files = tuple(f"small/{name}" for name in ("tokenizer.json", "tokenizer_config.json"))
    counted = ("score", "ngram:text.txt", "--tokenizer", "small", *words)
    yield Command("score a text", folder, files, counted)
    words = ("probe.traces.jsonl", "--model", "small", "--benchmarks", "probe.yaml")
    more = ("small/config.json", "small/generation_config.json")
    weigh = ("traces", "weigh", *words, "--out", "weighed.jsonl", "--device", "cpu")
    yield Command("traces weigh", folder, (*probe, *more, *files), weigh)


def _checkpoints(folder: Path) -> Iterator[Command]:
    """A checkpoint of each architecture as it is scored; every second one in shards."""
    _write_items(folder)
    for number, name in enumerate(ARCHITECTURES):
        here = folder / name
        here.mkdir()
        model = make_model(name)
        write_config(here, model)
        write_weights(here, tensors_of(model), shards=2 * (number % 2))
        write_tokenizer(here, TOKENIZERS[number % len(TOKENIZERS)])
        special = {"eos_token": "<|endoftext|>", "bos_token": {"content": "<s>", "lstrip": False}}
        (here / "special_tokens_map.json").write_text(json.dumps(special, indent=1))
        settings = {"eos_token_id": 0, "max_length": 20, "do_sample": True, "temperature": 0.6}
        (here / "generation_config.json").write_text(json.dumps(settings, indent=1))
        files = tuple(str(path.relative_to(folder)) for path in sorted(here.iterdir()))
        words = ("score", name, "--benchmarks", "probe.yaml", "--traces", "probe.traces.jsonl")
        yield Command(f"score {name}", folder, files, (*words, "--device", "cpu"))


def _write_items(folder: Path) -> None:
    """The benchmark `probe` with its traces."""
    for each in read_subjects(folder / "made"):
        if each.name == "items":
            for name, data in each.files.items():
                (folder / name).write_bytes(data)


def _manifests(folder: Path) -> Iterator[Command]:
    from stage_world import MANIFEST, PLAN, write_world

    write_world(folder)
    yaml = YAML(typ="safe")
    plan = PLAN.replace("TOKENS", "4000")
    for name, text in (("manifest", MANIFEST), ("plan", plan)):
        (folder / f"{name}.yaml").write_text(json.dumps(yaml.load(text), indent=1))
    words = ("manifest.yaml", "--plan", "plan.yaml")
    files = ("manifest.yaml", "plan.yaml")
    more = ("short.jsonl", "short.traces.jsonl")
    yield Command("plan", folder, files, ("plan", *words))
    yield Command("validate", folder, (*files, *more), ("validate", *words))
    yield Command("design", folder, files, ("design", *words, "--budget", "1e16"))
    save_model(folder / "given")
    plan = plan.replace("train: {vocab_size: 300, characters: 20k}", "path: given")
    (folder / "given.yaml").write_text(json.dumps(yaml.load(plan), indent=1))
    files = ("given/tokenizer.json", "given/tokenizer_config.json")
    for name in ("plan", "validate"):
        words = (name, "manifest.yaml", "--plan", "given.yaml")
        yield Command(f"{name} with a tokenizer", folder, files, words)


def _status(folder: Path) -> Iterator[Command]:
    record = RunRecord(folder / "store", "run", "identity")
    job = {"name": "train a", "share": 0.25, "seconds": 3.5, "error": "it failed"}
    jobs = [{**job, "state": state} for state in ("running", "failed", "done")]
    stage = {"name": "screen", "planned": 4, "done": 1, "failed": 1, "jobs": jobs}
    content = {
        "name": "run",
        "state": "running",
        "seconds": 1234.5,
        "started": 1.7e9,
        "report": str(folder / "out"),
        "command": "dataselect run run.yaml",
        "parts": [stage],
        "jobs": [job],
        "failed": [job],
        "cost": {"flops": 1e15, "gpu_hours": 0.5},
        "ranking": {"stage": "screen", "rows": [], "without": {}},
    }
    record.write(content)
    record.append({"job": "train a", "kind": "started", "time": 1.7e9})
    record.close()
    file = record.folder / STATUS
    _plain(file)
    events = next(record.folder.glob("events*")).relative_to(folder)
    files = (str(file.relative_to(folder)), str(file.relative_to(folder)), str(events))
    yield Command("status", folder, files, ("status", "run", "--store", "store"))
    yield Command("status of all", folder, files, ("status", "--store", "store", "--json"))


def _plain(path: Path, write: Callable[[Path], object] | None = None) -> None:
    """Write the file, and take its checksum out, so that what is spoilt in it is read."""
    if write is not None:
        write(path)
    content = json.loads(path.read_text())
    content.pop("sha256", None)
    path.write_text(json.dumps(content, indent=1))


GROUPS = (
    _tables,
    _report,
    _mixture,
    _swarm,
    _calibrate,
    _traces,
    _scores,
    _checkpoints,
    _manifests,
    _status,
)
