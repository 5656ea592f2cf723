"""A stage: every candidate trained and scored once, on the same items, though some fail.

Nothing here imports torch by itself, because one test asks in a fresh process whether a stage
does.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
import stage_world
from stage_world import CANDIDATES, ITEMS, Counted, experiment, write_world

import dataselect
from dataselect.compute import Event, Job, Outcome, machine
from dataselect.cost import spent
from dataselect.errors import IncompleteError
from dataselect.proxies import make
from dataselect.proxies.make import ProxyRequest, find_proxy
from dataselect.scoring.checkpoint import TrainedCheckpoint
from dataselect.scoring.evaluation import METRICS
from dataselect.scoring.measured import Measured, find
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.scores import StageScores
from dataselect.stages.stage import run_stage
from dataselect.stages.watch import SilentWatch
from dataselect.store import Store


@dataclass(frozen=True)
class Changed(Experiment):
    """An experiment in which something is different for some candidates."""

    changes: Mapping[str, Callable[[ProxyRequest], ProxyRequest]] = field(default_factory=dict)

    def request(self, stage: Any, candidate: str) -> ProxyRequest:
        request = super().request(stage, candidate)
        return self.changes.get(candidate, lambda same: same)(request)


def stage1(made: Experiment, candidates: Sequence[str] = tuple(CANDIDATES)) -> StageScores:
    return run_stage(made, StageName.SCREEN, made.plan.screen, candidates)


def write_cached_run(folder: Path) -> None:
    """Run the stage again in this fresh process and write down what that took."""
    compute = Counted()
    scores = stage1(experiment(folder, compute))
    heavy = {"torch", "transformers", "datasets"} & set(sys.modules)
    table = scores.table("rbridge")["short"].to_dict()
    shown = {"jobs": compute.names, "heavy": sorted(heavy), "table": table}
    (folder / "shown.json").write_text(json.dumps(shown))


@dataclass(frozen=True)
class World:
    """A folder whose stage has been run once, and what came of it."""

    folder: Path
    jobs: list[str]
    scores: StageScores

    def copy(self, folder: Path) -> Path:
        """The store of this run to be changed; what it names by its path stays where it is."""
        shutil.copytree(self.folder / "store", folder / "store")
        return folder / "store"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, accuracy=True)
    compute = Counted()
    scores = stage1(experiment(folder, compute))
    return World(folder, compute.names, scores)


def refuse(*arguments: Any, **options: Any) -> NoReturn:
    raise AssertionError("this was done already")


def absurd(request: ProxyRequest) -> ProxyRequest:
    recipe = replace(request.recipe, learning_rate=1e20, embedding_learning_rate=1e20)
    return replace(request, recipe=recipe)


def broken(request: ProxyRequest) -> ProxyRequest:
    shares = tuple(replace(share, folder=Path("nowhere"), stream="x") for share in request.shares)
    return replace(request, shares=shares)


def test_every_candidate_is_scored_on_every_item_and_metric(world: World) -> None:
    scores = world.scores
    assert scores.scored == CANDIDATES
    assert set(scores.tables) == {"short", "long"}
    for name, metrics in scores.tables.items():
        assert set(metrics) == {*METRICS, "accuracy"}
        for metric, table in metrics.items():
            assert list(table.columns) == CANDIDATES
            assert list(table.index) == [f"{name}-{n}" for n in range(ITEMS)]
            values = table.to_numpy()
            assert ((values >= 0) & (values < 20)).all(), metric
    assert scores.exclusions == {"short": (), "long": ()}
    assert scores.reasons == {}


def test_candidates_of_the_same_text_share_a_proxy_and_its_scores(world: World) -> None:
    assert world.jobs == ["stage1/worked", "stage1/prose", "stage1/blend"]
    table = world.scores.table("rbridge")["short"]
    assert (table["worked"] == table["copy"]).all()
    assert (table["worked"] != table["prose"]).all()
    assert (table["worked"] != table["blend"]).all()


def test_all_work_is_in_the_ledger_under_the_stage_s_keys(world: World) -> None:
    ledger = Store(world.folder / "store").ledger()
    kinds = [record["kind"] for record in ledger]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "proxy": 3,
        "scores": 6,
        "graded": 6,
    }
    assert {record["key"] for record in ledger} == set(world.scores.keys)


def test_flops_are_those_of_training_and_scoring_the_proxies_that_were_kept(world: World) -> None:
    recipe = world.scores.recipe
    training = 6.0 * recipe.parameters * recipe.tokens
    tokens = sum(
        record["flops"] / 2 / recipe.parameters
        for record in Store(world.folder / "store").ledger()
        if record["kind"] == "scores" and record["name"] == "stage1/worked"
    )
    assert tokens > 1000
    assert world.scores.flops == pytest.approx(4 * (training + 2 * recipe.parameters * tokens))


def test_a_stage_that_is_cached_submits_no_job_and_imports_no_torch(world: World) -> None:
    tests = Path(__file__).parent
    script = (
        "import sys, pathlib, test_stage; test_stage.write_cached_run(pathlib.Path(sys.argv[1]))"
    )
    folders = [Path(dataselect.__file__).parents[1], tests, Path(stage_world.__file__).parent]
    path = os.pathsep.join(map(str, folders))
    subprocess.run(
        [sys.executable, "-c", script, str(world.folder)],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
    )
    shown = json.loads((world.folder / "shown.json").read_text())
    assert shown["jobs"] == []
    assert shown["heavy"] == []
    assert shown["table"] == world.scores.table("rbridge")["short"].to_dict()


def test_a_diverged_candidate_is_marked_and_the_others_go_on(world: World, tmp_path: Path) -> None:
    compute = Counted()
    made = experiment(world.folder, compute, world.copy(tmp_path))
    scores = stage1(Changed(**vars(made), changes={"prose": absurd}))
    assert compute.names == ["stage1/prose"]
    assert scores.status == {
        "worked": "scored",
        "prose": "diverged",
        "blend": "scored",
        "copy": "scored",
    }
    assert scores.scored == ["worked", "blend", "copy"]
    assert scores.reasons == {"prose": "the loss was no number after 2 steps"}
    kept = scores.table("rbridge")["short"]
    assert kept.equals(world.scores.table("rbridge")["short"].drop(columns="prose"))

    # It has been judged: another run does not try it again, and still says so.
    again = stage1(Changed(**vars(made), changes={"prose": absurd}))
    assert compute.names == ["stage1/prose"]
    assert again.status == scores.status


def test_a_failed_candidate_is_marked_tried_again_and_the_others_go_on(
    world: World, tmp_path: Path
) -> None:
    compute = Counted()
    made = experiment(world.folder, compute, world.copy(tmp_path))
    for _ in range(2):
        scores = stage1(Changed(**vars(made), changes={"blend": broken}))
        assert scores.scored == ["worked", "prose", "copy"]
        assert scores.status["blend"] == "failed"
        assert "nowhere" in scores.reasons["blend"]
        assert "\n" not in scores.reasons["blend"]
    assert compute.names == ["stage1/blend", "stage1/blend"]


def test_failed_and_diverged_training_counts_among_what_was_spent(
    world: World, tmp_path: Path
) -> None:
    made = experiment(world.folder, Counted(), world.copy(tmp_path))
    scores = stage1(Changed(**vars(made), changes={"prose": absurd, "blend": broken}))
    ours = [record for record in made.store.ledger() if record["key"] in set(scores.keys)]
    costs = spent(record for record in ours if record["kind"] == "proxy")
    assert (costs.jobs, costs.failed_jobs) == (3, 1)
    recipe = scores.recipe
    two_steps = 2 * recipe.batch_size * recipe.sequence_length
    assert costs.flops == 6 * recipe.parameters * (recipe.tokens + two_steps)


def in_populations(made: Experiment, size: int) -> Experiment:
    compute = made.plan.compute.model_copy(update={"population": size})
    return replace(made, plan=made.plan.model_copy(update={"compute": compute}))


def test_candidates_grouped_in_one_job_get_the_bits_of_each_alone(
    world: World, tmp_path: Path
) -> None:
    compute = Counted()
    made = in_populations(experiment(world.folder, compute, tmp_path / "store"), 2)
    scores = stage1(made)
    assert compute.names == ["stage1/worked and 1 more", "stage1/blend"]
    for metric in METRICS:
        mine, alone = scores.table(metric)["short"], world.scores.table(metric)["short"]
        pd.testing.assert_frame_equal(mine, alone, check_exact=True)
    ledger = [record for record in made.store.ledger() if record["kind"] == "proxy"]
    assert [record["name"] for record in ledger] == [f"stage1/{c}" for c in CANDIDATES[:3]]
    assert all(record["cpu_seconds"] > 0 for record in ledger)
    sizes = [find_proxy(made.store, made.request(StageName.SCREEN, c)) for c in CANDIDATES[:3]]
    # On a CPU a stacked program gains nothing, and sums in another order.
    assert [proxy.facts["population"] for proxy in sizes if proxy] == [1, 1, 1]
    assert scores.machine_notes == ()


class Nowhere(Counted):
    """Keeps the names of jobs, and runs none."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots = slots

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        self.names += [job.name for job in jobs]
        return [Outcome(job.name, None, "not run", "ValueError", 0.0, 0.0, 1) for job in jobs]


def test_an_automatic_population_leaves_no_gpu_of_this_machine_idle(
    world: World, tmp_path: Path
) -> None:
    made = experiment(world.folder, Counted(), tmp_path / "store")
    for slots, names in {
        1: ["stage1/worked and 2 more"],
        2: ["stage1/worked and 1 more", "stage1/blend"],
        8: ["stage1/worked", "stage1/prose", "stage1/blend"],
    }.items():
        compute = Nowhere(slots)
        runtime = replace(made.runtime, compute=compute, device="cuda")
        with pytest.raises(IncompleteError, match="not run"):
            stage1(replace(made, runtime=runtime))
        assert compute.names == names


class Kept(SilentWatch):
    """Keeps the notes that the terminal would show."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def on_another_machine(monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
    for module in modules:
        other = replace(machine.this_machine("cpu"), instructions="another set")
        monkeypatch.setattr(module, "this_machine", lambda device, other=other: other)


def test_a_ranking_of_proxies_from_two_kinds_of_machines_says_so(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, watch = world.copy(tmp_path), Kept()
    made = experiment(world.folder, Counted(), store)
    made = replace(made, runtime=replace(made.runtime, watch=watch))
    assert stage1(made).machine_notes == ()
    assert watch.notes == []
    shutil.rmtree(store / "artifacts" / "proxy" / world.scores.candidates["prose"].keys[0])
    on_another_machine(monkeypatch, make)
    scores = stage1(made)
    assert list(scores.machine_notes) == watch.notes
    (note,) = watch.notes
    assert note.startswith("Stage 1: the proxies were trained by different kinds of machines (")
    assert "instructions another set: prose)" in note
    assert ": worked, blend, copy; " in note
    # It is found as it was: no key holds a machine.
    assert [scores.candidates[c].keys for c in CANDIDATES] == [
        world.scores.candidates[c].keys for c in CANDIDATES
    ]


def test_scores_from_two_kinds_of_machines_and_old_ones_are_told(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = experiment(world.folder, Counted(), world.copy(tmp_path))
    (point,) = made.sources(StageName.SCREEN, "prose")[0].find(made.store).points
    (key,) = made.evaluations["long"].keys(point.checkpoint, "scores")
    shutil.rmtree(made.store.root / "artifacts" / "scores" / key)
    # Whichever loads it: with numba or without.
    from dataselect.scoring import fused_checkpoint, loading

    on_another_machine(monkeypatch, loading)
    elsewhere = machine.compiled_machine("numba", "another set")
    monkeypatch.setattr(fused_checkpoint, "compiled_machine", lambda *_: elsewhere)
    scores = stage1(made)
    (note,) = scores.machine_notes
    assert note.startswith("Stage 1: scored by different kinds of machines (")
    assert "then another set" in note or "another set, then" in note
    pd.testing.assert_frame_equal(
        scores.table("rbridge")["long"], world.scores.table("rbridge")["long"], rtol=1e-6
    )


def test_a_candidate_that_fails_in_a_population_costs_the_others_nothing(
    world: World, tmp_path: Path
) -> None:
    compute = Counted()
    made = in_populations(experiment(world.folder, compute, tmp_path / "store"), 3)
    scores = stage1(Changed(**vars(made), changes={"prose": broken}))
    assert compute.names == ["stage1/worked and 2 more"]
    assert scores.scored == ["worked", "blend", "copy"]
    assert "stage1/prose: " in scores.reasons["prose"]
    assert "nowhere" in scores.reasons["prose"]
    assert scores.table("rbridge")["short"].equals(
        world.scores.table("rbridge")["short"].drop(columns="prose")
    )


def test_a_stage_without_a_scored_candidate_is_incomplete(world: World, tmp_path: Path) -> None:
    made = experiment(world.folder, Counted(), world.copy(tmp_path))
    none = Changed(**vars(made), changes={"prose": absurd, "blend": broken})
    with pytest.raises(
        IncompleteError, match=r"no candidate could be scored in stage1 \(prose: the lo"
    ):
        stage1(none, ["prose", "blend"])


def measured(made: Experiment, candidate: str, benchmark: str) -> tuple[Measured, dict[str, Any]]:
    """A candidate's scores and the spec that they are kept under."""
    proxy = find_proxy(made.store, made.request(StageName.SCREEN, candidate))
    assert proxy is not None
    evaluation, step = made.evaluations[benchmark], proxy.recipe.steps
    checkpoint = TrainedCheckpoint(proxy, step)
    found = find(made.store, checkpoint, evaluation, "scores")
    assert found is not None
    (spec,) = evaluation.specs(checkpoint, "scores")
    return found, spec


def remove(store: Store, kind: str, spec: Mapping[str, Any]) -> None:
    artifact = store.find(kind, spec)
    assert artifact is not None
    shutil.rmtree(artifact.path)


def test_an_item_left_out_for_one_candidate_is_left_out_for_all(
    world: World, tmp_path: Path
) -> None:
    made = experiment(world.folder, Counted(), world.copy(tmp_path))
    for candidate, item in (("prose", "short-1"), ("blend", "short-4")):
        found, spec = measured(made, candidate, "short")
        remove(made.store, "scores", spec)
        facts = {"exclusions": [{"item": item, "reason": "too long"}], "notes": [], "flops": 1.0}
        with made.store.publish("scores", spec) as folder:
            kept = found.table[found.table["item"] != item]
            kept.to_parquet(folder / "scores.parquet", index=False)
            (folder / "facts.json").write_text(json.dumps(facts))
    scores = stage1(made)
    for metric in METRICS:
        table = scores.table(metric)["short"]
        assert list(table.index) == ["short-0", "short-2", "short-3", "short-5"]
        before = world.scores.table(metric)["short"]
        assert table.equals(before.loc[table.index])
        assert len(scores.table(metric)["long"]) == ITEMS
    assert [(e.item, e.reason) for e in scores.exclusions["short"]] == [
        ("short-1", "too long"),
        ("short-4", "too long"),
    ]
    assert scores.exclusions["long"] == ()


@pytest.mark.parametrize("missing", ["scores", "graded"])
def test_what_is_missing_is_measured_and_nothing_else_is_done_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    compute = Counted()
    made = experiment(world.folder, compute, world.copy(tmp_path))
    proxy = find_proxy(made.store, made.request(StageName.SCREEN, "blend"))
    assert proxy is not None
    evaluation, step = made.evaluations["long"], proxy.recipe.steps
    (spec,) = evaluation.specs(TrainedCheckpoint(proxy, step), missing)
    remove(made.store, missing, spec)
    before = len(made.store.ledger())
    monkeypatch.setattr("dataselect.proxies.train.train", refuse)
    other = {"scores": "generation.generate_answers", "graded": "likelihood.scorer.score"}[missing]
    monkeypatch.setattr(f"dataselect.scoring.{other}", refuse)
    scores = stage1(made)
    assert compute.names == ["stage1/blend"]
    for metric in (*METRICS, "accuracy"):
        remeasured, first = (s.table(metric)["long"]["blend"] for s in (scores, world.scores))
        assert list(remeasured) == pytest.approx(list(first), rel=1e-6)
    assert [record["kind"] for record in made.store.ledger()[before:]] == [missing]


def test_accuracy_is_measured_only_where_it_is_asked_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = experiment(world.folder, Counted(), world.copy(tmp_path))
    proxy = find_proxy(made.store, made.request(StageName.SCREEN, "worked"))
    assert proxy is not None
    for evaluation in made.evaluations.values():
        (spec,) = evaluation.specs(TrainedCheckpoint(proxy, proxy.recipe.steps), "graded")
        remove(made.store, "graded", spec)
    monkeypatch.setattr("dataselect.scoring.generation.generate_answers", refuse)
    with pytest.raises(IncompleteError, match="this was done already"):
        stage1(made, ["worked"])
    without = run_stage(
        made, StageName.SCREEN, made.plan.screen.model_copy(update={"accuracy": False}), ["worked"]
    )
    assert set(without.tables["short"]) == set(METRICS)


def test_a_longer_budget_leaves_proxies_of_a_shorter_one_as_they_are(
    world: World, tmp_path: Path
) -> None:
    write_world(tmp_path, tokens=9000, accuracy=True)
    longer = experiment(tmp_path, Counted(), world.copy(tmp_path))
    shorter = experiment(world.folder, Counted())
    assert longer.streams["worked"].tokens > shorter.streams["worked"].tokens
    recipes = {StageName.SCREEN: shorter.recipes[StageName.SCREEN]}
    same = replace(longer, recipes=recipes)
    for candidate in CANDIDATES:
        assert (
            same.request(StageName.SCREEN, candidate).spec
            == shorter.request(StageName.SCREEN, candidate).spec
        )
        assert (
            longer.request(StageName.SCREEN, candidate).spec
            != same.request(StageName.SCREEN, candidate).spec
        )


def test_tokens_prepared_cover_what_every_candidate_reads(world: World) -> None:
    from dataselect.corpus.packing import PackedData, Part

    made = experiment(world.folder, Counted())
    length = made.recipes[StageName.SCREEN].sequence_length
    for candidate in CANDIDATES:
        shares = made.request(StageName.SCREEN, candidate).shares
        data = PackedData(
            [Part(str(share.folder), share.tokens) for share in shares],
            length,
            seed=0,
            total_tokens=made.recipes[StageName.SCREEN].tokens,
        )
        starts = data._order.astype(int)
        for part, share in enumerate(shares):
            cuts = ((starts >= data._starts[part]) & (starts < data._ends[part])).sum()
            stream = next(s for s in made.streams.values() if s.key == share.stream)
            assert cuts * length + 1 <= stream.tokens
