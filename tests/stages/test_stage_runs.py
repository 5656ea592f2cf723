"""A stage with several runs per candidate, and with proxies from elsewhere."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from small_models import byte_tokenizer, save_model
from stage_world import ITEMS, Counted, experiment, write_world

from dataselect.config.manifest import load_manifest
from dataselect.cost import spent
from dataselect.errors import InputError
from dataselect.proxy_sources import ProxySource, TrainedHere
from dataselect.scoring.evaluation import METRICS
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName, check_origins, resolve_given
from dataselect.stages.scores import StageScores
from dataselect.stages.stage import run_stage
from dataselect.store import Store, content_key

NAMES = ("worked", "prose")
GOLDEN_KEY = "67481f5b2f03ce68d221c5ce51be83bc"


def stage(made: Experiment, **changes: Any) -> StageScores:
    chosen = made.plan.screen.model_copy(update={"accuracy": False, **changes})
    made = replace(made, plan=made.plan.model_copy(update={"screen": chosen}))
    return run_stage(made, StageName.SCREEN, chosen, NAMES)


def with_checkpoints(folder: Path, count: int, compute: Counted, store: Path) -> Experiment:
    plan = (folder / "plan.yaml").read_text()
    (folder / "more.yaml").write_text(
        plan.replace("batch_size: 4", f"batch_size: 4\n    checkpoints: {count}")
    )
    return experiment(folder, compute, store, plan="more.yaml")


@dataclass(frozen=True)
class World:
    folder: Path
    jobs: list[str]
    scores: StageScores
    """Of two seeds, the last two of three checkpoints each."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, tokens=1500)
    compute = Counted()
    made = with_checkpoints(folder, 3, compute, folder / "store")
    return World(folder, compute.names, stage(made, seeds=2, average=2))


def test_each_seed_is_a_job_and_every_late_checkpoint_a_run(world: World) -> None:
    assert world.jobs == [
        "stage1/worked seed 0",
        "stage1/worked seed 1",
        "stage1/prose seed 0",
        "stage1/prose seed 1",
    ]
    recipe = world.scores.recipe
    assert recipe is not None
    late = recipe.checkpoint_steps()[-2:]
    for runs in world.scores.runs.values():
        assert runs.index.names == ["candidate", "seed", "step"]
        assert list(runs.index) == [(n, s, t) for n in NAMES for s in (0, 1) for t in late]
        assert list(runs.columns) == list(METRICS)
        assert runs["rbridge"].is_unique
    facts = world.scores.proxies["worked"]
    assert (facts.origin, facts.seeds, len(facts.checkpoints)) == ("trained here", (0, 1), 4)
    assert [each.tokens for each in facts.checkpoints[:2]] == [t * 4 * 32 for t in late]


def test_a_table_is_the_mean_over_the_runs_item_by_item(world: World) -> None:
    for benchmark, runs in world.scores.runs.items():
        for metric in METRICS:
            table = world.scores.table(metric)[benchmark]
            for name in NAMES:
                assert table[name].mean() == pytest.approx(runs.loc[name][metric].mean())


def test_runs_of_the_default_are_the_proxies_of_the_default_and_found_again(world: World) -> None:
    compute = Counted()
    made = with_checkpoints(world.folder, 3, compute, world.folder / "store")
    one = stage(made)
    assert compute.names == []
    recipe = made.recipes[StageName.SCREEN]
    for benchmark, runs in one.runs.items():
        assert list(runs.index) == [(name, 0, recipe.steps) for name in NAMES]
        known = world.scores.runs[benchmark].loc[runs.index]
        assert (runs == known).all(axis=None)
    (source,) = made.sources(StageName.SCREEN, "worked")
    assert source.spec == made.request(StageName.SCREEN, "worked").spec


def test_the_key_of_a_proxy_is_what_it_was_before_there_were_seeds() -> None:
    from dataselect.config.proxy import Proxy
    from dataselect.corpus.prepare import Share
    from dataselect.proxies.make import ProxyRequest
    from dataselect.proxies.recipe import make_recipe

    recipe = make_recipe(Proxy(size="4M", tokens=10**6, kernels="torch"), 4096, "cpu", "test")
    request = ProxyRequest(recipe, Path("t"), "k" * 32, (Share("s" * 32, Path("s"), 10**6),))
    # The trainer may learn to train otherwise; nothing else may change the key.
    assert content_key("proxy", {**TrainedHere(request).spec, "trainer": 2}) == GOLDEN_KEY


def test_all_runs_count_in_cost_and_ledger(world: World) -> None:
    recipe = world.scores.recipe
    assert recipe is not None
    training = 6.0 * recipe.parameters * recipe.tokens
    assert world.scores.flops > 4 * training
    ledger = [r for r in Store(world.folder / "store").ledger() if r["kind"] == "proxy"]
    assert spent(ledger).flops == 4 * training
    assert {r["key"] for r in ledger} <= set(world.scores.keys)
    assert world.scores.flops_elsewhere == 0


@dataclass(frozen=True)
class Broken(Experiment):
    """An experiment in which some seeds of some candidates go wrong."""

    changes: Mapping[tuple[str, int], Callable[[TrainedHere], TrainedHere]] = field(
        default_factory=dict
    )

    def sources(self, stage: Any, candidate: str) -> tuple[ProxySource, ...]:
        made = super().sources(stage, candidate)
        return tuple(
            self.changes.get((candidate, each.seed), lambda same: same)(each)
            if isinstance(each, TrainedHere)
            else each
            for each in made
        )


def diverging(source: TrainedHere) -> TrainedHere:
    recipe = replace(source.request.recipe, learning_rate=1e20, embedding_learning_rate=1e20)
    return replace(source, request=replace(source.request, recipe=recipe))


def failing(source: TrainedHere) -> TrainedHere:
    shares = tuple(replace(each, folder=Path("gone"), stream="x") for each in source.request.shares)
    return replace(source, request=replace(source.request, shares=shares))


def test_a_candidate_is_scored_on_the_seeds_that_succeeded(world: World) -> None:
    made = with_checkpoints(world.folder, 3, Counted(), world.folder / "store")
    lost = {("worked", 1): diverging, ("prose", 0): failing}
    scores = stage(Broken(**vars(made), changes=lost), seeds=2, average=2)
    assert scores.status == {"worked": "scored", "prose": "scored"}
    notes = " ".join(scores.notes)
    assert "stage1/worked seed 1 diverged and is left out of the mean: the loss was" in notes
    assert "stage1/prose seed 0 failed and is left out of the mean: " in notes
    kept = scores.runs["short"]
    assert set(kept.index.droplevel("step")) == {("worked", 0), ("prose", 1)}
    assert (kept == world.scores.runs["short"].loc[kept.index]).all(axis=None)


def test_a_candidate_without_any_seed_left_is_left_out(world: World) -> None:
    made = with_checkpoints(world.folder, 3, Counted(), world.folder / "store")
    lost = {("prose", 0): diverging, ("prose", 1): failing}
    scores = stage(Broken(**vars(made), changes=lost), seeds=2, average=2)
    assert scores.status == {"worked": "scored", "prose": "failed"}
    assert "gone" in scores.reasons["prose"]
    both = {("prose", 0): diverging, ("prose", 1): diverging}
    scores = stage(Broken(**vars(made), changes=both), seeds=2, average=2)
    assert scores.status["prose"] == "diverged"


GIVEN = """
target: {size: 1M, tokens: 20M}
candidates:
  - id: worked
    proxies: {screen: {model: series/*/step*, tokens_per_step: 100}}
  - id: prose
    proxies: {screen: {train: {command: "PYTHON copy.py {output}", tokens: 5k}}}
"""


def elsewhere(folder: Path, positions: int = 1024) -> Experiment:
    """Checkpoints by a pattern for one candidate, a command for the other."""
    for step in (1, 2, 10):
        save_model(folder / "series" / "worked" / f"step{step}", seed=step)
    save_model(folder / "made", seed=99, positions=positions)
    (folder / "copy.py").write_text(
        "import shutil, sys; shutil.copytree('made', sys.argv[1], dirs_exist_ok=True)"
    )
    (folder / "given.yaml").write_text(GIVEN.replace("PYTHON", sys.executable))
    write_world(folder)
    manifest = load_manifest(folder / "given.yaml")
    made = experiment(folder, Counted(), folder / "store")
    check_origins(manifest, made.plan)
    return replace(
        made,
        manifest=manifest,
        corpus=None,
        recipes={},
        given=resolve_given(manifest, made.plan),
    )


def test_checkpoints_and_a_command_are_scored_as_proxies_trained_here(tmp_path: Path) -> None:
    made = elsewhere(tmp_path)
    scores = stage(made)
    assert scores.status == {"worked": "scored", "prose": "scored"}
    assert scores.recipe is None
    given, commanded = scores.proxies["worked"], scores.proxies["prose"]
    assert (given.origin, given.tokens) == ("checkpoints", 1000)
    assert [each.label.endswith("step10") for each in given.checkpoints] == [True]
    assert (commanded.origin, commanded.tokens) == ("command", 5000)
    assert scores.flops_elsewhere == 6 * given.parameters * 1000
    assert scores.flops > scores.flops_elsewhere + 6 * commanded.parameters * 5000
    assert scores.parameters == given.parameters == commanded.parameters
    assert scores.tokens is None, "they were trained on different numbers"
    assert any("STAGE 1 COMPARES PROXIES THAT DIFFER IN TRAINING TOKENS" in n for n in scores.notes)
    spent_here = spent(r for r in made.store.ledger() if r["key"] in set(scores.keys))
    assert spent_here.flops == pytest.approx(scores.flops - scores.flops_elsewhere)

    again = stage(made)
    assert made.runtime.compute.names == ["stage1/worked", "stage1/prose"]  # type: ignore[attr-defined]
    assert again.table("rbridge")["short"].equals(scores.table("rbridge")["short"])


def test_a_command_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    made = elsewhere(tmp_path)
    (tmp_path / "copy.py").write_text("raise SystemExit('no space left')")
    scores = stage(made)
    assert scores.status == {"worked": "scored", "prose": "failed"}
    assert "exit code 1" in scores.reasons["prose"]
    assert "no space left" in scores.reasons["prose"]


def test_proxies_of_different_tokenizers_are_not_compared(tmp_path: Path) -> None:
    made = elsewhere(tmp_path)
    tokenizer = byte_tokenizer().backend_tokenizer.to_str()
    assert '"normalizer":null' in tokenizer
    (tmp_path / "made" / "tokenizer.json").write_text(
        tokenizer.replace('"normalizer":null', '"normalizer":{"type":"Lowercase"}')
    )
    with pytest.raises(InputError, match=r"given.yaml:6:.*another tokenizer than that of 'worked'"):
        stage(made)


def test_a_candidate_whose_checkpoint_has_a_nan_fails_and_the_others_go_on(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    made = elsewhere(tmp_path)
    weights = tmp_path / "series" / "worked" / "step10" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"][0] = torch.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    made = replace(made, given=resolve_given(made.manifest, made.plan))
    scores = stage(made)
    assert scores.status == {"worked": "failed", "prose": "scored"}
    expected = "step10: its values are not finite numbers on 6 of 6 items of "
    assert expected in scores.reasons["worked"]
    # Its items stay with the others.
    assert scores.exclusions == {"short": (), "long": ()}
    assert {len(table) for table in scores.table("rbridge").values()} == {ITEMS}
