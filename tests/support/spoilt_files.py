"""Every kind of file that is read back, and six ways to spoil it.

A `Kind` is made whole in a folder, spoilt, and read as the package reads it. `judge` says what
followed: it was found (one line, or a note), or nothing is different; anything else is wrong. What
is made again must be what was there before.
"""

import json
import logging
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.storages import JournalStorage
from small_tables import agreement_tables, pairs_table, swarm_tables
from tiny_training import RECIPE, noise, tiny_tokenizer

import dataselect as ds
from dataselect.compute.attempt import Attempt
from dataselect.compute.job_folder import AttemptFolder, Encoder, JobFolder, write_record
from dataselect.compute.job_process import _text
from dataselect.compute.jobs import Job, Resources
from dataselect.corpus.prepare import Share, Tokenizer
from dataselect.corpus.shards import TokenStream
from dataselect.errors import DataselectError
from dataselect.formats.agreement_file import read_agreement_file
from dataselect.mixture.model_file import read_model
from dataselect.mixture_search.journal import JournalFile
from dataselect.proxies import train as trainer
from dataselect.proxies.saved_state import STATE
from dataselect.proxy_sources.data_export import HandedSource, write_data
from dataselect.store import Lease, Store, content_key
from dataselect.store.claims import Claim
from dataselect.store.known_hashes import known_hashes
from dataselect.store.run_record import EVENTS, STATUS, RunRecord, read_run
from dataselect.store.sealed import read_own, write_own
from dataselect.traces.recording.journal import Journal
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import Usage
from dataselect.traces.trace import Trace, TraceHeader, read_traces, write_traces
from dataselect.transfer.file import read_transfer_file
from dataselect.transfer.prior_file import prior_json, public_prior, read_prior

DAMAGES = ("truncated", "zeroed", "bit flipped", "empty", "deleted", "a folder in its place")
FOUND, UNCHANGED, WRONG = "found", "unchanged", "WRONG"


def spoil(path: Path, how: str, rng: random.Random) -> None:
    """Spoil a file in one of the ways of `DAMAGES`."""
    data = path.read_bytes()
    match how:
        case "truncated":
            path.write_bytes(data[: rng.randrange(1, len(data))])
        case "zeroed":
            path.write_bytes(bytes(len(data)))
        case "bit flipped":
            flipped = bytearray(data)
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(flipped))
        case "empty":
            path.write_bytes(b"")
        case "deleted":
            path.unlink()
        case _:
            path.unlink()
            path.mkdir()


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    make: Callable[[Path], Path]
    """Makes it whole in a folder, with what is beside it; returns its path."""
    read: Callable[[Path, Path], Any]
    """What the package reads from the folder, in which it may write; gets the file's path too."""
    part_of: Callable[[Any, Any], bool] = lambda some, whole: some == whole
    """Whether what was read of a spoilt one is no other than what the whole one says."""
    given: bool = False
    """Whether a user gives it, so that it is refused; else it is left out or made again."""


@dataclass(frozen=True)
class Outcome:
    """What followed a damage."""

    kind: str
    """`FOUND`, `UNCHANGED` or `WRONG`."""
    text: str
    """The line, or what is wrong."""


@dataclass(frozen=True)
class Whole:
    """A kind of file before it is spoilt."""

    folder: Path
    """With all that is beside it; to be copied."""
    path: Path
    """The file's path in the folder."""
    read: Any
    """What is read of it."""


def make_whole(kind: Kind, folder: Path) -> Whole:
    """A whole file of the kind in an empty folder."""
    (folder / "whole").mkdir()
    path = kind.make(folder / "whole").relative_to(folder / "whole")
    copy = shutil.copytree(folder / "whole", folder / "read")
    return Whole(folder / "whole", path, kind.read(copy, copy / path))


def judge(kind: Kind, folder: Path, path: Path, whole: Any) -> Outcome:
    """Read the spoilt file; `whole`: what was read before it was spoilt."""
    with _notes() as notes:
        try:
            read = kind.read(folder, path)
        except DataselectError as error:
            line = str(error)
            fair = kind.given and "\n" not in line and error.exit_code in (2, 3)
            return Outcome(FOUND if fair else WRONG, line)
        except Exception as error:
            return Outcome(WRONG, f"{type(error).__name__}: {error}")
    if not kind.part_of(read, whole):
        return Outcome(WRONG, f"{str(read)[:150]} in place of {str(whole)[:150]}")
    if any("\n" in note for note in notes):
        return Outcome(WRONG, f"more than a line: {notes}")
    return Outcome(FOUND, notes[0]) if notes else Outcome(UNCHANGED, "")


@contextmanager
def _notes() -> Iterator[list[str]]:
    """The package's warnings within the context."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    found: list[str] = []
    handler, logger = Kept(logging.WARNING), logging.getLogger("dataselect")
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


# Artifacts ---------------------------------------------------------------------------------------

SPEC = {"n": 1}
LARGE = bytes(range(256)) * 5000


def _build(folder: Path) -> None:
    (folder / "facts.json").write_text('{"score": 0.25}')
    (folder / "large.bin").write_bytes(LARGE)


def _artifact(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return Store(folder).get_or_build("scores", SPEC, _build).path / name

    return make


def _read_artifact(folder: Path, _: Path) -> Any:
    found = Store(folder).get_or_build("scores", SPEC, _build, whole=True)
    return found.json("facts.json"), found.file("large.bin").read_bytes()


TOKENS = np.arange(1, 5000, dtype="<u2")


def _write_tokens(folder: Path) -> None:
    (folder / "tokens-00000.bin").write_bytes(TOKENS.tobytes())
    index = {"dtype": "uint16", "shard_tokens": 10**6, "tokens": len(TOKENS), "documents": 1}
    (folder / "index.json").write_text(json.dumps(index | {"exhausted": False, "counts": None}))


def _make_shard(folder: Path) -> Path:
    return Store(folder).get_or_build("tokens", SPEC, _write_tokens).path / "tokens-00000.bin"


def _read_shard(folder: Path, path: Path) -> Any:
    """As a job does, which knows the folder alone; the next run of the command tokenises again."""
    try:
        found = TokenStream(path.parent).read(0, len(TOKENS)).tolist()
    except DataselectError as error:
        logging.getLogger("dataselect").warning("%s", error)
        place = Store(folder).get_or_build("tokens", SPEC, _write_tokens).path
        found = TokenStream(place).read(0, len(TOKENS)).tolist()
    return found


# Unfinished work ---------------------------------------------------------------------------------

TRAINED = replace(RECIPE, steps=8, checkpoints=4)


@cache
def _half_trained() -> Path:
    """A training that ended after five of eight steps, with two of its four checkpoints."""
    import tempfile

    folder = Path(tempfile.mkdtemp())
    _train(folder, 5)
    return folder


def _train(folder: Path, steps: int) -> None:
    run = trainer.Run(TRAINED, [trainer.Member(noise(0, TRAINED), folder, 0)], "cpu")
    while run.step < steps:
        run.take_step()
        run.log()
        if run.step in TRAINED.checkpoint_steps():
            run.save_checkpoints(tiny_tokenizer())
    run.save()


def _training(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.set_num_threads(1)
        shutil.copytree(_half_trained(), folder / "work")
        return folder / "work" / name

    return make


def _finish_training(folder: Path, _: Path) -> Any:
    """The bytes of all checkpoints, and the losses."""
    work = folder / "work"
    done = trainer.train(TRAINED, noise(0, TRAINED), tiny_tokenizer(), work, lambda _: None)
    files = sorted(work.glob("step-*/model.safetensors"))
    return [file.read_bytes() for file in files], [list(each) for each in done.losses]


def _own(folder: Path) -> Path:
    write_own(folder / "finished.json", {"wall_seconds": 12.5, "cpu_seconds": 3.25})
    return folder / "finished.json"


def _read_own(folder: Path, path: Path) -> Any:
    return read_own(path, folder / "damaged")


def _none_or_equal(some: Any, whole: Any) -> bool:
    return some is None or some == whole


def _handed(folder: Path) -> tuple[Tokenizer, tuple[HandedSource, ...]]:
    place = Store(folder).get_or_build("tokens", SPEC, _write_tokens).path
    where = folder / "tokenizer"
    if not where.exists():
        tiny_tokenizer().save_pretrained(str(where))
    source = HandedSource("web", 1.0, Share("s", place, 100), len(TOKENS), {"files": ["a.jsonl"]})
    return Tokenizer(where, "h", 300), (source,)


def _make_data(folder: Path) -> Path:
    (folder / "work").mkdir()
    write_data(folder / "work" / "data", *_handed(folder), {"seed": 0})
    return folder / "work" / "data" / "data.json"


def _read_data(folder: Path, path: Path) -> Any:
    write_data(folder / "work" / "data", *_handed(folder), {"seed": 0})
    return path.read_bytes()


# Records of a store ------------------------------------------------------------------------------

LEDGER = [{"name": f"job {n}", "status": "done", "flops": 1.5e15 * n} for n in range(1, 6)]


def _make_ledger(folder: Path) -> Path:
    for facts in LEDGER:
        Store(folder).note("proxy", SPEC, facts)
    return folder / "ledger.jsonl"


def _read_ledger(folder: Path, path: Path) -> Any:
    if path.is_dir():
        # Not ours to move: nothing can be noted, and a line says so.
        try:
            Store(folder).note("proxy", SPEC, {"status": "done"})
        except DataselectError as error:
            logging.getLogger("dataselect").warning("%s", error)
        return []
    keys = ("name", "status", "flops")
    return [[each[key] for key in keys] for each in Store(folder).ledger()]


def _some_of(some: Any, whole: Any) -> bool:
    """Whether these are records of the whole, in its order, at least half of them after a flip."""
    places = [whole.index(each) if each in whole else -1 for each in some]
    return -1 not in places and places == sorted(set(places))


RUN_STATE = {"state": "running", "seconds": 1234.5, "jobs": [{"name": "a", "share": 0.25}]}


def _run_record(folder: Path) -> RunRecord:
    return RunRecord(folder, "run", "identity")


def _make_status(folder: Path) -> Path:
    record = _run_record(folder)
    record.write(RUN_STATE)
    record.close()
    return record.folder / STATUS


def _read_status(_: Path, path: Path) -> Any:
    known = read_run(path.parent)
    return None if known is None else {key: known.document.get(key) for key in RUN_STATE}


def _make_events(folder: Path) -> Path:
    path = _make_status(folder)
    record = _run_record(folder)
    for number in range(4):
        record.append({"job": f"job {number}", "time": 0.5 * number})
    record.close()
    return path.with_name(EVENTS)


def _read_events(_: Path, path: Path) -> Any:
    known = read_run(path.parent)
    return [] if known is None else known.events()


def _make_hashes(folder: Path) -> Path:
    import os

    for name in "abc":
        (folder / name).write_text(name)
        os.utime(folder / name, (1, 1))
    memo = folder / "hashes.jsonl"
    known_hashes([folder / name for name in "abc"], memo)
    if not memo.exists():  # files that were written just now are not remembered
        import dataselect.store.known_hashes as module

        before, module.SETTLED_SECONDS = module.SETTLED_SECONDS, -1.0
        known_hashes([folder / name for name in "abc"], memo)
        module.SETTLED_SECONDS = before
    return memo


def _read_hashes(folder: Path, path: Path) -> Any:
    return [*known_hashes([folder / name for name in "abc"], path).values()]


QUICK = Lease(heartbeat_seconds=0.02, expiry_seconds=0.2, poll_seconds=0.05)


def _make_claim(folder: Path) -> Path:
    """A claim of a process that has ended."""
    name = f"proxy-{content_key('proxy', SPEC)}"
    slot, owners = folder / "claims" / name, folder / "owners"
    slot.mkdir(parents=True)
    owners.mkdir()
    process = {"host": "h", "boot": "b", "namespace": "n", "pid": 1, "started": "1"}
    token = "0123456789abcdef"
    (owners / token).write_text(json.dumps(process | {"expiry_seconds": 0.2}))
    record = {"token": f"{token}.1", "process": process, "work": {}, "workspace": None}
    (slot / f"{token}.1").write_text(json.dumps(record))
    return slot / f"{token}.1"


def _take_claim(folder: Path, _: Path) -> Any:
    with Store(folder, lease=QUICK).claim("proxy", SPEC) as held:
        return isinstance(held, Claim)


# Journals ----------------------------------------------------------------------------------------

WORK = {"asked_model": "tiny", "items": "0123"}


def _reply(number: int) -> Reply:
    return Reply(f"answer {number}", (), "tiny-1", "fp", Usage(10, 20 + number), "stop")


def _make_journal(folder: Path) -> Path:
    path = folder / "journal.jsonl"
    with Journal(path, WORK) as journal:
        for number in range(6):
            item = f"q{number}"
            journal.answered(journal.begin(item, Usage(50, 90)), _reply(number))
    return path


def _read_journal(_: Path, path: Path) -> Any:
    with Journal(path, WORK) as journal:
        assert journal.spent.completion_tokens >= journal.used.completion_tokens
        return [[item, [each.content for each in r]] for item, r in journal.replies.items()]


def _make_study(folder: Path) -> Path:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = folder / "study.jsonl"
    study = optuna.create_study(storage=JournalStorage(JournalFile(path)), study_name="s")
    for number in range(4):
        trial = study.ask()
        trial.suggest_float("web", 0, 1)
        study.tell(trial, 0.5 * number)
    return path


def _read_study(_: Path, path: Path) -> Any:
    storage = JournalStorage(JournalFile(path))
    names = [each.study_name for each in storage.get_all_studies()]
    if not names:
        return []
    study = optuna.load_study(storage=storage, study_name="s")
    return [[t.number, t.params.get("web"), t.value, t.state.name] for t in study.trials]


def _some_trials(some: Any, whole: Any) -> bool:
    """A torn end loses the last trials, and leaves at most one unfinished."""
    return all(
        a == b or (a[0] == b[0] and a[1] in (b[1], None) and a[2] is None)
        for a, b in zip(some, whole, strict=False)
    )


# Jobs by files -----------------------------------------------------------------------------------


def job(progress: Any, value: str) -> None:
    """A job with a long argument."""


LONG = "x" * 6000


def _make_value(folder: Path) -> Path:
    Encoder(folder / "values").encode(Job("a", job, {"value": LONG}))
    return next((folder / "values").iterdir())


def _read_value(folder: Path, _: Path) -> Any:
    """As a driver and then its job do."""
    encoded = Encoder(folder / "values").encode(Job("a", job, {"value": LONG}))
    written = JobFolder(folder / "job")
    digest = written.write(Job("a", job, {}), encoded, Resources(), [])
    return written.call(digest).job.arguments


def _make_outcome(folder: Path) -> Path:
    text = _text(Attempt(True, None, None, None, 12.5, 3.25))
    write_record(folder / "outcome.json", {"outcome": text})
    return folder / "outcome.json"


def _read_outcome(folder: Path, _: Path) -> Any:
    return AttemptFolder(folder).outcome()


def _make_ended(folder: Path) -> Path:
    seconds = {"wall_seconds": 12.5, "cpu_seconds": 3.25, "reason": "done"}
    write_record(folder / "ended.json", seconds)
    return folder / "ended.json"


def _read_ended(folder: Path, _: Path) -> Any:
    return [*AttemptFolder(folder).seconds, AttemptFolder(folder).ended]


def _known_or_not(some: Any, whole: Any) -> bool:
    return some in (whole, [0.0, 0.0, None])


# Given by users ----------------------------------------------------------------------------------


def _make_transfer(folder: Path) -> Path:
    ds.fit_transfer(pairs_table()).write(folder / "transfer.json")
    return folder / "transfer.json"


def _make_prior(folder: Path) -> Path:
    (folder / "prior.json").write_text(prior_json(public_prior()))
    return folder / "prior.json"


def _make_model(folder: Path) -> Path:
    from dataselect.api import mixture

    (folder / "model.json").write_text(_model_text(mixture))
    return folder / "model.json"


@cache
def _model_text(mixture: Any) -> str:
    shares, metrics = swarm_tables()
    return str(ds.fit_mixture(shares, metrics, lower_is_better=True).to_json())


def _read_model(_: Path, path: Path) -> Any:
    model, provenance = read_model(path)
    return model.stack.stacking_weights.tolist(), model.swarm.values.tolist(), provenance


def _make_agreement(folder: Path) -> Path:
    made = ds.agree(*agreement_tables(), lower_is_better=True, trust_direction=True)
    made.write(folder / "agreement.json")
    return folder / "agreement.json"


def _read_agreement(_: Path, path: Path) -> Any:
    metric = json.loads(_agreed().decode())["metrics"]
    found = read_agreement_file(path, next(iter(metric.values()))["metric"])
    return found.comparisons, found.target_size


@cache
def _agreed() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return _make_agreement(Path(folder)).read_bytes()


def _make_traces(folder: Path) -> Path:
    traces = [Trace(f"q{n}", "so it is", ((4, 0.5), (4, 0.25))) for n in range(3)]
    header = TraceHeader("arc", "model", "prompt", "dataselect", {"cost": "1.25"})
    write_traces(folder / "a.traces.jsonl", header, traces)
    return folder / "a.traces.jsonl"


def _read_traces(_: Path, path: Path) -> Any:
    found = read_traces(path)
    return found.header, dict(found.traces)


KINDS = (
    Kind("artifact, its record", _artifact("artifact.json"), _read_artifact),
    Kind("artifact, a small file", _artifact("facts.json"), _read_artifact),
    Kind("artifact, a large file", _artifact("large.bin"), _read_artifact),
    Kind("shard of tokens", _make_shard, _read_shard),
    Kind("state of a training", _training(STATE), _finish_training),
    Kind(
        "checkpoint of an unfinished training",
        _training("step-00000004/model.safetensors"),
        _finish_training,
    ),
    Kind("record of unfinished work", _own, _read_own, _none_or_equal),
    Kind("data for a command", _make_data, _read_data),
    Kind("ledger", _make_ledger, _read_ledger, _some_of),
    Kind("status of a run", _make_status, _read_status, _none_or_equal),
    Kind("events of a run", _make_events, _read_events, _some_of),
    Kind("hashes of given files", _make_hashes, _read_hashes),
    Kind("claim", _make_claim, _take_claim),
    Kind("journal of paid replies", _make_journal, _read_journal, _some_of),
    Kind("trials of a mixture search", _make_study, _read_study, _some_trials),
    Kind("argument of a job", _make_value, _read_value),
    Kind("outcome of a job", _make_outcome, _read_outcome, _none_or_equal),
    Kind("time of a job", _make_ended, _read_ended, _known_or_not),
    Kind("transfer functions", _make_transfer, lambda _, p: read_transfer_file(p), given=True),
    Kind("prior", _make_prior, lambda _, p: read_prior(p), given=True),
    Kind("mixture model", _make_model, _read_model, given=True),
    Kind("agreement", _make_agreement, _read_agreement, given=True),
    Kind("traces", _make_traces, _read_traces, given=True),
)
