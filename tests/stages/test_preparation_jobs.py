"""Preparation by jobs gives what the driver would, to the byte; only where it is done differs."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model
from stage_world import MANIFEST, runtime, write_world
from test_jobs_by_files import ByFiles

from dataselect.compute import Compute, Event, InlineCompute, Job, Outcome
from dataselect.compute.job_folder import Encoder, job_key
from dataselect.compute.jobs import closing_event
from dataselect.config.manifest import load_manifest
from dataselect.config.mixture import Mix
from dataselect.config.plan import Plan, load_plan
from dataselect.corpus import kept_tokenizer, stream_request, tokenizer
from dataselect.corpus.source_at import SourceAt
from dataselect.counting import Questions
from dataselect.errors import IncompleteError, InputError
from dataselect.leaks import search
from dataselect.mixture_search.prepare import prepare as prepare_search
from dataselect.stages.counting import count_texts, texts_of
from dataselect.stages.experiment import Experiment
from dataselect.stages.metrics import MetricsLog
from dataselect.stages.prepare import gather_inputs, prepare
from dataselect.stages.progress import Progress
from dataselect.stages.recording import About, recorded
from dataselect.stages.runtime import Runtime
from dataselect.stages.watch import Watch
from dataselect.store import Store
from dataselect.synthetic import genres


class Named(ByFiles):
    """Runs here what a machine of a cluster would read, with a list of what it ran."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.batches: list[list[str]] = []
        self.gpus: set[float] = set()
        self.running = False

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        self.batches.append([job.name for job in jobs])
        self.gpus |= {job.resources.gpus for job in jobs if job.resources is not None}
        self.running = True
        try:
            return super().run(jobs, on_event)
        finally:
            self.running = False


def world(folder: Path, compute: str = "{on: slurm}") -> Plan:
    """Two sources in files, one of which holds items of a benchmark, and two mixtures of them."""
    write_world(folder, tokens=2000)
    items = [json.loads(line) for line in (folder / "short.jsonl").read_text().splitlines()]
    for name in ("worked", "narrative"):
        documents = genres.documents(name, 0)
        rows = [{"text": next(documents)} for _ in range(120)]
        if name == "worked":
            rows[5:5] = [{"text": f"{row['question']}\n{row['rationale']}"} for row in items]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = MANIFEST
    for name in ("worked", "narrative"):
        manifest = manifest.replace(f"path: dataselect/desk, name: {name}", f"path: {name}.jsonl")
    (folder / "manifest.yaml").write_text(manifest)
    with (folder / "plan.yaml").open("a") as file:
        file.write(f"max_repeats: 20\nleaks: {{ngram: 5}}\ncompute: {compute}\n")
    return load_plan("plan.yaml", folder)


def prepared(
    folder: Path, plan: Plan, compute: Compute, store: str, watch: Watch | None = None
) -> Experiment:
    """All that the pipeline does before its first stage."""
    manifest = load_manifest(folder / "manifest.yaml")
    where = runtime(folder, compute, folder / store)
    return prepare(manifest, plan, where if watch is None else replace(where, watch=watch))


def by_driver(plan: Plan) -> Plan:
    """The plan, prepared by the driver."""
    own = plan.compute.prepare.model_copy(update={"by": "driver"})
    return plan.model_copy(update={"compute": plan.compute.model_copy(update={"prepare": own})})


def content(store: Store) -> Mapping[str, bytes]:
    """All files of the artifacts, but what says when they were made."""
    found = {}
    for path in sorted(store.root.glob("artifacts/*/*/**/*")):
        if path.is_file() and path.name not in ("facts.json", "artifact.json"):
            found[str(path.relative_to(store.root))] = path.read_bytes()
    return found


def assert_no_trainings(store: Path) -> None:
    """Assert that the run's numbers tell how much jobs have read, and of no training."""
    (path,) = store.glob("runs/*/metrics.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    of_jobs = [each for each in lines if each["job"] is not None]
    told = {(each["kind"], each["job"].partition(" ")[0], each["stage"]) for each in of_jobs}
    assert told == {
        ("progress", "tokenising", "Tokenising sources"),
        ("progress", "counting", "Counting words"),
    }
    for each in of_jobs:
        assert each["metrics"]["tokens"] > 0
        assert (each["step"], each["attempt"]) == (None, 1)


def test_what_jobs_make_is_equal_to_the_byte_and_no_training(tmp_path: Path) -> None:
    plan = world(tmp_path)
    here = prepared(tmp_path, by_driver(plan), InlineCompute(), "here")
    compute = Named(tmp_path / "jobs")
    about = About("run", "mine", "", "m.yaml", "plan", None, "cpu")
    with recorded(tmp_path / "there", about) as recorder:
        log = MetricsLog(recorder, {}, (), pytest.fail)
        there = prepared(tmp_path, plan, compute, "there", log)
        assert compute.batches == [
            ["training the tokenizer"],
            ["tokenising worked", "tokenising prose"],
        ]
        assert compute.gpus == {0.0}
        assert here.leaks is not None
        assert there.leaks is not None
        assert here.leaks.held == there.leaks.held
        assert here.leaks.items(["worked"])["short"], "the world has leaks"
        for each in (here, there):
            texts, _ = texts_of(each)
            count_texts(each, texts, ["short", "long"])
        recorder.close("done")
    assert len(compute.batches[2]) == 1, "as many as run side by side"
    kinds = {name.split("/")[1] for name in content(here.store)}
    assert kinds == {"tokenizer", "tokens", "leaks", "counted"}
    assert content(here.store) == content(there.store)
    assert_no_trainings(tmp_path / "there")


def test_what_is_there_needs_no_job(tmp_path: Path) -> None:
    plan = world(tmp_path)
    prepared(tmp_path, by_driver(plan), InlineCompute(), "store")
    compute = Named(tmp_path / "jobs")
    prepared(tmp_path, plan, compute, "store")
    assert compute.batches == []


def test_sources_that_are_tokenised_are_searched_by_jobs(tmp_path: Path) -> None:
    plan = world(tmp_path)
    off = plan.model_copy(update={"leaks": plan.leaks.model_copy(update={"enabled": False})})
    prepared(tmp_path, off, Named(tmp_path / "jobs"), "store")
    compute = Named(tmp_path / "jobs")
    found = prepared(tmp_path, plan, compute, "store")
    assert compute.batches == [["searching worked for leaks", "searching prose for leaks"]]
    here = prepared(tmp_path, by_driver(plan), InlineCompute(), "b")
    assert found.leaks is not None
    assert here.leaks is not None
    assert found.leaks.held == here.leaks.held


def spoil(folder: Path, *names: str) -> None:
    """A row that is no JSON, at the end of each file."""
    for name in names:
        with (folder / f"{name}.jsonl").open("a") as file:
            file.write('{"text": \n')


@pytest.mark.parametrize("spoilt", [["worked"], ["narrative"], ["worked", "narrative"]])
@pytest.mark.parametrize("trained", [True, False])
def test_a_fault_in_a_text_is_the_same_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: list[str], trained: bool
) -> None:
    plan = world(tmp_path)
    if not trained:
        made = prepared(tmp_path, by_driver(plan), InlineCompute(), "before")
        assert made.tokenizer is not None
        assert plan.tokenizer is not None
        named = plan.tokenizer.model_copy(
            update={"path": str(made.tokenizer.folder), "train": None}
        )
        plan = plan.model_copy(update={"tokenizer": named})
    # As of a row that is not among those looked at beforehand.
    monkeypatch.setattr("dataselect.corpus.prepare.peek", lambda source, base: "")
    spoil(tmp_path, *spoilt)
    lines: set[tuple[str, int]] = set()
    for chosen, compute in ((by_driver(plan), InlineCompute()), (plan, Named(tmp_path / "jobs"))):
        with pytest.raises(InputError) as raised:
            prepared(tmp_path, chosen, compute, f"store{len(lines)}")
        lines.add((str(raised.value), raised.value.exit_code))
    ((line, code),) = lines
    assert f"{spoilt[0]}.jsonl:" in line
    assert code == 2


def test_the_driver_reads_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = world(tmp_path)
    compute = Named(tmp_path / "jobs")
    done: set[str] = set()

    def watched(place: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            assert compute.running, f"the driver calls {place}"
            done.add(place)
            return work(*arguments, **options)

        return call

    for module, name in (
        (stream_request, "open_rows"),
        (kept_tokenizer, "open_rows"),
        (tokenizer, "train_tokenizer"),
        (search, "LeakIndex"),
        (Questions, "__init__"),
    ):
        place = f"{module.__name__} {name}"
        monkeypatch.setattr(module, name, watched(place, getattr(module, name)))
    made = prepared(tmp_path, plan, compute, "store")
    texts, _ = texts_of(made)
    count_texts(made, texts, ["short"])
    assert len(done) == 5


def test_rationales_are_weighed_by_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = world(tmp_path)
    save_model(tmp_path / "frontier")
    chosen = plan.benchmarks[0].model_copy(update={"weigh": "frontier", "traces": None})
    plan = plan.model_copy(update={"benchmarks": [chosen]})
    compute = Named(tmp_path / "jobs")
    there = gather_inputs(
        load_manifest(tmp_path / "manifest.yaml"), plan, Runtime(Store(tmp_path / "b"), compute)
    )
    assert compute.batches == [["weighing short"]]
    here = gather_inputs(
        load_manifest(tmp_path / "manifest.yaml"),
        by_driver(plan),
        Runtime(Store(tmp_path / "a"), compute),
    )
    assert there.evaluations == here.evaluations


class Dies(Named):
    """Loses the job of one source, as often as it is told."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(folder)
        self.times = times

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        outcomes = super().run([job for job in jobs if self._lives(job)], on_event)
        by_name = {outcome.job: outcome for outcome in outcomes}
        for job in jobs:
            if job.name not in by_name:
                self.times -= 1
                lost = Outcome(job.name, None, "node3 is gone", "WorkerDied", 1.0, 0.0, 1)
                on_event(Event(job.name, "started", {"attempt": 1}))
                on_event(closing_event(lost))
                by_name[job.name] = lost
        return [by_name[job.name] for job in jobs]

    def _lives(self, job: Job) -> bool:
        return job.name != "tokenising prose" or self.times == 0


def test_a_lost_job_is_tried_once_more(tmp_path: Path) -> None:
    plan = world(tmp_path)
    compute = Dies(tmp_path / "jobs", 1)
    made = prepared(tmp_path, plan, compute, "store")
    assert set(made.streams) == {"worked", "prose"}
    assert compute.batches[1:] == [["tokenising worked"], ["tokenising prose"]]
    with pytest.raises(IncompleteError, match="tokenising prose: node3 is gone") as raised:
        prepared(tmp_path, plan, Dies(tmp_path / "jobs", 2), "other")
    assert raised.value.exit_code == 3


def test_what_another_run_tokenises_is_left_for_the_end(tmp_path: Path) -> None:
    """Its claim is seen, the other source is done first, and then its stream is waited for."""
    plan = world(tmp_path)
    by_driver_first = prepared(tmp_path, by_driver(plan), InlineCompute(), "other")
    stream = by_driver_first.streams["worked"].folder
    spec = json.loads((stream / "artifact.json").read_text())["spec"]
    store = Store(tmp_path / "store")
    order: list[str] = []

    class Looks(Progress):
        def event(self, event: Event) -> None:
            super().event(event)
            order.append(f"{event.job} {event.kind}")
            if "waits_for" in event.fields:
                other.terminate()  # so that the job, when it waits, takes over

    program = (
        "import sys, time, json; from dataselect.store import Store\n"
        "with Store(sys.argv[1]).claim('tokens', json.loads(sys.argv[2])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(store.root), json.dumps(spec)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        made = runtime(tmp_path, Named(tmp_path / "jobs"), store.root)
        prepare(load_manifest(tmp_path / "manifest.yaml"), plan, replace(made, watch=Looks()))
    told = [each for each in order if each.startswith("tokenising") and "progress" not in each]
    assert told == [
        "tokenising worked started",
        "tokenising prose started",
        "tokenising prose done",
        "tokenising worked started",
        "tokenising worked done",
    ]


def test_a_node_that_does_not_see_the_texts_says_what_to_do(tmp_path: Path) -> None:
    plan = world(tmp_path)
    made = prepared(tmp_path, by_driver(plan), InlineCompute(), "store")
    assert made.corpus is not None
    known = made.corpus.fingerprints["worked"]
    manifest = load_manifest(tmp_path / "manifest.yaml")
    text = SourceAt.of(manifest.text_sources()["worked"], manifest.base)
    text.require_seen(known)
    with pytest.raises(IncompleteError, match=r"does not see the files of 'worked'.*by: driver"):
        replace(text, base=tmp_path / "elsewhere").require_seen(known)


def test_the_display_and_the_status_count_sources(tmp_path: Path) -> None:
    plan, watch = world(tmp_path), Progress()
    seen: list[str] = []

    class Counts(Named):
        def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
            def look(event: Event) -> None:
                on_event(event)
                if event.kind == "done" and watch.part is not None:
                    seen.append(f"{watch.part.title}: {watch.part.done} of {watch.part.total}")

            return super().run(jobs, look)

    made = runtime(tmp_path, Counts(tmp_path / "jobs"))
    prepare(load_manifest(tmp_path / "manifest.yaml"), plan, replace(made, watch=watch))
    assert seen == [
        "Tokenizer: 1 of 1",
        "Tokenising sources: 1 of 2",
        "Tokenising sources: 2 of 2",
    ]


def test_a_mixture_search_has_its_streams_made_by_jobs(tmp_path: Path) -> None:
    plan = world(tmp_path)
    assert plan.screen.proxy is not None
    longer = plan.screen.proxy.model_copy(update={"tokens": 3000})
    mix = Mix(sources=["worked", "prose"], trials=8, proxy=longer)
    plan = plan.model_copy(update={"mix": mix})
    compute = Named(tmp_path / "jobs")
    made = prepared(tmp_path, plan, compute, "store")
    prepare_search(made)
    assert compute.batches[2:] == [["tokenising worked", "tokenising prose"]]


class Interrupted(Named):
    """Its driver ends when sources are to be tokenised."""

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        if jobs[0].name.startswith("tokenising"):
            self.keys = call_keys(jobs, self.folder)
            raise KeyboardInterrupt
        return super().run(jobs, on_event)


def call_keys(jobs: Sequence[Job], folder: Path) -> list[str]:
    """The names by which jobs are found again."""
    encoder = Encoder(folder / "values")
    return [job_key(job, encoder.encode(job)) for job in jobs]


def test_a_driver_that_is_started_again_finds_its_jobs(tmp_path: Path) -> None:
    plan, keys = world(tmp_path), []
    for _ in range(2):
        compute = Interrupted(tmp_path / "jobs")
        with pytest.raises(KeyboardInterrupt):
            prepared(tmp_path, plan, compute, "store")
        keys.append(compute.keys)
    assert keys[0] == keys[1]
