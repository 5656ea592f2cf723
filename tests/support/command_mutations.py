"""Whole commands on files of which one is spoilt: whatever it is, they end as the manual says.

Not what the numbers are (`mutation_campaigns` judges that), but how a command ends: with one of the
documented exit codes, never by a traceback, soon, without much memory, in lines of bounded length,
of which the last says what to do.
"""

import json
import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation_outcomes import FOUND, SECONDS, UNCHANGED, WRONG, Judged, Tally, within
from mutations import Mutation, UnfitError, at, byte_change, changed, json_change, paths, spell
from ruamel.yaml import YAML
from small_models import save_model
from small_tables import agreement_tables, pairs_table, scores_table, swarm_tables, written
from table_mutations import mutate as table_change
from table_mutations import subjects as read_subjects
from typer.testing import CliRunner
from viewed_runs import make_run

import dataselect as ds
from dataselect.cli import app
from dataselect.store.run_record import STATUS, RunRecord
from dataselect.wording import LONGEST_MESSAGE

EXIT_CODES = (0, 2, 3, 4, 130)
LONGEST_LINE = LONGEST_MESSAGE + 100
_LARGEST_FILE = 2_000_000
"""Of larger files only bytes are changed."""


@dataclass(frozen=True)
class Command:
    """A command in a folder whose files are spoilt one at a time."""

    name: str
    folder: Path
    files: tuple[str, ...]
    """Paths in the folder that are spoilt."""
    words: tuple[str, ...]
    """The command line; it runs in the folder."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    text: str
    """Standard output and error."""
    problem: str
    """What is wrong with the way it ended; "" for nothing."""


# Commands ----------------------------------------------------------------------------------------


def commands(folder: Path, only: tuple[str, ...] = ()) -> list[Command]:
    """All of them, or of these groups, with whole files, each group in a folder of its own."""
    made: list[Command] = []
    for make in GROUPS:
        if only and make.__name__.strip("_") not in only:
            continue
        here = folder / make.__name__.strip("_")
        here.mkdir(parents=True)
        made += make(here)
    for each in made:
        ended = run(each)
        assert ended.code == 0, (each.name, ended)
    return made


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
    words = ("view", "out", "--items", "1", "--device", "cpu")
    files = ("out/report.json", "out/resolved.yaml")
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
    made = _invoke(folder, (*words, "--tokens", "5B", "--out", "swarm"))
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


_SPEC: dict[str, Any] = {
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
    (folder / "spec.yaml").write_text(json.dumps(_SPEC, indent=1))
    files = ("spec.yaml", *(f"results_{b}.json" for b in (1, 2, 4)), "probe.traces.jsonl")
    yield Command("calibrate", folder, files, ("calibrate", "spec.yaml", "--dry-run"))


def _traces(folder: Path) -> Iterator[Command]:
    for each in read_subjects(folder / "made"):
        if each.name == "items":
            for name, data in each.files.items():
                (folder / name).write_bytes(data)
    files = tuple(sorted(path.name for path in folder.glob("probe*")))
    words = ("probe.traces.jsonl", "--benchmarks", "probe.yaml")
    yield Command("traces verify", folder, files, ("traces", "verify", *words))
    yield Command("traces show", folder, files, ("traces", "show", *words))


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


GROUPS = (_tables, _report, _mixture, _swarm, _calibrate, _traces, _manifests, _status)


# Spoiling ----------------------------------------------------------------------------------------

_EXTREMES: tuple[Any, ...] = (
    10**400,
    -(10**30),
    1e308,
    1e-308,
    2**63,
    "\x1b[31m\x9b\u202e\x00",
    "x" * 20_000,
    "\udc80",
    "1e999",
    "../" * 50,
    [[]] * 2000,
    {"": {"": {}}},
    {str(n): n for n in range(2000)},
    [None] * 3,
    -1,
    0,
    "",
    False,
)


def spoil(command: Command, draw: random.Random) -> tuple[Mutation, bytes]:
    """(what was done, the file's bytes afterwards) of one change to one of a command's files."""
    while True:
        name = draw.choice(command.files)
        data = (command.folder / name).read_bytes()
        try:
            kind, where, made = _spoilt(Path(name), data, draw)
        except UnfitError:
            continue
        if made != data:
            return Mutation(f"{command.name}: {Path(name).name}", kind, where, {name: made}), made


def _spoilt(path: Path, data: bytes, draw: random.Random) -> tuple[str, str, bytes]:
    if len(data) > _LARGEST_FILE or draw.random() < 0.1:
        kind, place, made = byte_change(data, draw, 0, len(data))
        return f"byte: {kind}", str(place), made
    if draw.random() < 0.02:
        deep = draw.choice([b"[", b'{"a":', b"- ", b"? "])
        return "nested deeply", "file", deep * draw.choice([2_000, 100_000])
    if path.suffix in (".csv", ".jsonl"):
        mutation = table_change({path.name: data}, draw)
        return mutation.kind, mutation.where, mutation.files[path.name]
    try:
        content = json.loads(data)
    except ValueError:
        kind, place, made = byte_change(data, draw, 0, len(data))
        return f"byte: {kind}", str(place), made
    ways = list(paths(content, 7))
    if draw.random() < 0.3:
        way = draw.choice(ways)
        kind, content = "extreme", changed(content, way, draw.choice(_EXTREMES))
    elif draw.random() < 0.1:
        way, other = draw.choice(ways), draw.choice(ways)
        kind, content = "as elsewhere", changed(content, way, at(content, other))
    else:
        kind, way, content = json_change(content, draw, ways)
    return kind, spell(way), json.dumps(content, indent=1).encode("utf-8", "surrogatepass")


# Judging -----------------------------------------------------------------------------------------


def run(command: Command) -> Ended:
    """Run the command, and say what is wrong with the way it ends."""
    try:
        with within(SECONDS):
            result = _invoke(command.folder, command.words)
    except BaseException as error:
        return Ended(-1, "", f"{type(error).__name__}: {error}"[:300])
    return Ended(result.exit_code, result.output, _problem(result))


def _invoke(folder: Path, words: tuple[str, ...]) -> Any:
    with _inside(folder):
        return CliRunner().invoke(app, list(words))


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _problem(result: Any) -> str:  # noqa: PLR0911 - one return for each thing that may be wrong
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        ours = [
            f"{Path(f.filename).name}:{f.lineno}" for f in frames if "dataselect/" in f.filename
        ]
        return f"{type(error).__name__}: {error}"[:200] + f" at {' '.join(ours[-4:])}"
    if result.exit_code not in EXIT_CODES:
        return f"exit code {result.exit_code}"
    if "Traceback (most recent" in result.output:
        return "a traceback is printed"
    longest = max(map(len, result.stderr.splitlines()), default=0)
    if longest > LONGEST_LINE:
        return f"a line of {longest} characters"
    acting = [c for c in result.output if not c.isprintable() and c not in "\n\u200c\u200d"]
    if acting:
        return f"{acting[:3]!r} in what is printed"
    if result.exit_code == 2:
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        if len(lines) != 1 or ": " not in lines[0][7:] or "; " not in lines[0]:
            return f"no place or no fix: {result.stderr[:200]!r}"
    return ""


def campaign(
    folder: Path,
    numbers: range,
    seed: int,
    seen: Callable[[str, Mutation, Judged], None] = lambda *_: None,
    only: tuple[str, ...] = (),
) -> Tally:
    """Commands on spoilt files, one in turn for each number; `only`: names of groups."""
    logging.getLogger("dataselect").setLevel(logging.WARNING)
    chosen = commands(folder, only)
    tally = Tally()
    for number in numbers:
        command = chosen[number % len(chosen)]
        mutation, data = spoil(command, random.Random(f"command-{seed}-{number}"))
        path = command.folder / next(iter(mutation.files))
        whole = path.read_bytes()
        path.write_bytes(data)
        try:
            ended = run(command)
        finally:
            path.write_bytes(whole)
        said = ended.problem or ended.text[-200:]
        outcome = WRONG if ended.problem else FOUND if ended.code else UNCHANGED
        subject = f"{command.name} #{number}"
        tally.add(subject, mutation, (outcome, said))
        seen(subject, mutation, (outcome, said))
    return tally
