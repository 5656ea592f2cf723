"""Preparation by jobs gives what the driver would, to the byte; only where it is done differs."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from stage_world import MANIFEST, runtime, write_world
from test_jobs_by_files import ByFiles

from dataselect.compute import Compute, Event, InlineCompute, Job, LocalProcesses, Outcome
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.errors import InputError
from dataselect.stages.counting import count_texts, texts_of
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import prepare
from dataselect.store import Store
from dataselect.synthetic import genres

CHARACTERS = "characters: 20k"


class Named(ByFiles):
    """Runs here what a machine of a cluster would read, with a list of what it ran."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.batches: list[list[str]] = []
        self.gpus: set[float] = set()

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        self.batches.append([job.name for job in jobs])
        self.gpus |= {job.resources.gpus for job in jobs if job.resources is not None}
        return super().run(jobs, on_event)


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


def prepared(folder: Path, plan: Plan, compute: Compute, store: str) -> Experiment:
    """All that the pipeline does before its first stage."""
    manifest = load_manifest(folder / "manifest.yaml")
    return prepare(manifest, plan, runtime(folder, compute, folder / store))


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


def test_what_jobs_make_is_equal_to_the_byte(tmp_path: Path) -> None:
    plan = world(tmp_path)
    here = prepared(tmp_path, by_driver(plan), InlineCompute(), "here")
    compute = Named(tmp_path / "jobs")
    there = prepared(tmp_path, plan, compute, "there")
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
    assert len(compute.batches[2]) == 1, "as many as run side by side"
    kinds = {name.split("/")[1] for name in content(here.store)}
    assert kinds == {"tokenizer", "tokens", "leaks", "counted"}
    assert content(here.store) == content(there.store)


def test_what_is_there_needs_no_job(tmp_path: Path) -> None:
    plan = world(tmp_path)
    prepared(tmp_path, by_driver(plan), InlineCompute(), "store")
    compute = Named(tmp_path / "jobs")
    prepared(tmp_path, plan, compute, "store")
    assert compute.batches == []


def test_sources_that_are_tokenised_are_searched_by_jobs(tmp_path: Path) -> None:
    plan = world(tmp_path)
    off = plan.model_copy(update={"leaks": plan.leaks.model_copy(update={"enabled": False})})
    prepared(tmp_path, off, InlineCompute() and Named(tmp_path / "jobs"), "store")
    compute = Named(tmp_path / "jobs")
    found = prepared(tmp_path, plan, compute, "store")
    assert compute.batches == [["searching worked for leaks", "searching prose for leaks"]]
    assert found.leaks is not None
    assert found.leaks.held == prepared(tmp_path, by_driver(plan), InlineCompute(), "b").leaks.held


def spoil(folder: Path, name: str) -> None:
    """A row that is no JSON, far behind what is looked at beforehand."""
    path = folder / f"{name}.jsonl"
    path.write_text(path.read_text() + '{"text": \n')


@pytest.mark.parametrize("first", [True, False])
def test_a_fault_in_a_text_is_the_same_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    plan = world(tmp_path)
    monkeypatch.setattr("dataselect.corpus.prepare.peek", lambda source, base: "")
    plan.tokenizer.train  # noqa: B018
    spoil(tmp_path, "narrative")
    if first:
        spoil(tmp_path, "worked")
    lines = []
    for chosen, compute in (
        (by_driver(plan), InlineCompute()),
        (plan, Named(tmp_path / "jobs")),
        (plan, LocalProcesses(2, 1)),
    ):
        with pytest.raises(InputError) as raised, compute:
            prepared(tmp_path, chosen, compute, f"store{len(lines)}")
        lines.append((str(raised.value), raised.value.exit_code))
    assert len(set(lines)) == 1
    assert ("worked.jsonl" if first else "narrative.jsonl") in lines[0][0]
