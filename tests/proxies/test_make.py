"""Proxies as artifacts: made once, found ever after, and whole or not there."""

import math
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import FORKED, tiny_tokenizer, write_stream
from tiny_training import RECIPE as TINY

import dataselect
from dataselect.compute.machine import UNKNOWN, this_machine
from dataselect.corpus.packing import PackedData, Part
from dataselect.corpus.prepare import Share
from dataselect.corpus.tokenizer import tokenizer_hash
from dataselect.cost import spent
from dataselect.errors import IncompleteError, InputError
from dataselect.proxies import make as maker
from dataselect.proxies import train as trainer
from dataselect.proxies.layout import Layout
from dataselect.proxies.make import (
    Proxy,
    ProxyRequest,
    find_proxy,
    make_proxies,
    make_proxy,
)
from dataselect.proxies.processes import Spec
from dataselect.proxies.recipe import Recipe
from dataselect.store import Store
from dataselect.store import store as stores

RECIPE = replace(TINY, shape=replace(TINY.shape, layers=1), steps=20, batch_size=2, checkpoints=2)
ABSURD = replace(RECIPE, learning_rate=1e20, embedding_learning_rate=1e20)
ROOT = Path(dataselect.__file__).parents[1]


@pytest.fixture(scope="module")
def request_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], ProxyRequest]:
    base = tmp_path_factory.mktemp("inputs")
    tiny_tokenizer().save_pretrained(str(base / "tokenizer"))
    share = Share("stream", write_stream(base / "stream", 2000), 640)

    def request(recipe: Recipe) -> ProxyRequest:
        name = tokenizer_hash(base / "tokenizer")
        return ProxyRequest(recipe, base / "tokenizer", name, (share,))

    return request


def make(store: Store, request: ProxyRequest, name: str = "stage1/web") -> Proxy:
    return make_proxy(store, request, name, "cpu", lambda fields: None)


def weights(proxy: Proxy) -> dict[int, bytes]:
    return {
        step: (proxy.checkpoint(step) / "model.safetensors").read_bytes()
        for step in proxy.recipe.checkpoint_steps()
    }


def refuse(*arguments: Any, **options: Any) -> NoReturn:
    raise AssertionError("nothing is left to train")


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, request_for: Callable[[Recipe], ProxyRequest]
) -> Proxy:
    return make(Store(tmp_path_factory.mktemp("reference")), request_for(RECIPE))


def test_a_proxy_holds_its_checkpoints_and_what_its_training_was(
    tmp_path: Path, request_for: Callable[[Recipe], ProxyRequest]
) -> None:
    store, request = Store(tmp_path), request_for(RECIPE)
    assert find_proxy(store, request) is None
    proxy = make(store, request)
    assert not proxy.diverged
    folders = {name.partition("/")[0] for name in proxy.artifact.files}
    assert folders == {"step-00000010", "step-00000020", "training.json"}
    facts = proxy.facts
    assert (facts["steps"], facts["tokens"]) == (20, 640)
    assert facts["flops"] == 6 * RECIPE.parameters * 640
    assert 0 < facts["final_loss"] < 2 * math.log(300)
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == 1
    assert not list((tmp_path / "work").iterdir())
    (record,) = store.ledger()
    assert (record["name"], record["status"]) == ("stage1/web", "done")
    assert record["key"] == proxy.artifact.key
    assert record["flops"] == facts["flops"]
    assert record["wall_seconds"] > 0


def test_what_trained_a_proxy_is_in_it_and_not_in_its_key(
    uninterrupted: Proxy,
    tmp_path: Path,
    request_for: Callable[[Recipe], ProxyRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert uninterrupted.trained_on == (this_machine("cpu"),)
    other = replace(this_machine("cpu"), instructions="another set")
    monkeypatch.setattr(maker, "this_machine", lambda device: other)
    there = make(Store(tmp_path), request_for(RECIPE))
    assert there.trained_on == (other,)
    assert there.artifact.key == uninterrupted.artifact.key


def test_a_machine_that_goes_on_with_the_work_of_another_is_told_beside_it(
    tmp_path: Path,
    request_for: Callable[[Recipe], ProxyRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, request = Store(tmp_path), request_for(RECIPE)
    kinds = [replace(this_machine("cpu"), instructions=name) for name in ("one", "two")]

    def stopped(fields: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(maker, "this_machine", lambda device: kinds[0])
    # Stopped before anything was saved: nothing of this attempt is left.
    with pytest.raises(KeyboardInterrupt):
        make_proxy(store, request, "web", "cpu", stopped)
    work = store.workspace("proxy", request.spec)
    assert not (work / trainer.STATE).exists()
    with monkeypatch.context() as changed:
        changed.setattr(maker, "this_machine", lambda device: kinds[1])
        changed.setattr(Store, "publish", refuse)
        with pytest.raises(AssertionError):
            make(store, request)
    assert (work / trainer.STATE).exists()
    monkeypatch.setattr(maker, "this_machine", lambda device: kinds[0])
    assert make(store, request).trained_on == (kinds[1], kinds[0])


def test_of_a_proxy_of_an_older_version_the_grouping_and_torch_are_known(
    uninterrupted: Proxy,
) -> None:
    facts = {k: v for k, v in uninterrupted.facts.items() if k != "machines"}
    (machine,) = replace(uninterrupted, facts=facts).trained_on
    assert (machine.torch, machine.grouping) == (torch.__version__, "alone")
    assert machine.instructions == UNKNOWN
    for known, grouping in (({"population": 4}, "population of 4"), ({"processes": 2}, "2 proc")):
        (machine,) = replace(uninterrupted, facts={**facts, **known}).trained_on
        assert machine.grouping.startswith(grouping)


def test_on_a_cpu_those_that_are_asked_for_together_have_the_bits_of_each_alone(
    tmp_path: Path, uninterrupted: Proxy, request_for: Callable[[Recipe], ProxyRequest]
) -> None:
    requests = {f"seed {n}": request_for(replace(RECIPE, seed=n)) for n in (1, RECIPE.seed, 2)}
    made = make_proxies(Store(tmp_path), requests, "cpu", lambda fields: None)
    assert [proxy.recipe.seed for proxy in made] == [1, RECIPE.seed, 2]
    assert weights(made[1]) == weights(uninterrupted)
    assert {proxy.trained_on for proxy in made} == {uninterrupted.trained_on}


def test_a_proxy_is_made_once_whatever_the_candidate_is_called(
    tmp_path: Path,
    request_for: Callable[[Recipe], ProxyRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, request = Store(tmp_path), request_for(RECIPE)
    first = make(store, request)
    monkeypatch.setattr(trainer, "train", refuse)
    # A longer budget elsewhere gives a longer stream of the same beginning, in another folder.
    longer = write_stream(tmp_path / "longer", 5000)
    moved = replace(request, shares=(replace(request.shares[0], folder=longer),))
    assert make(store, moved, "stage2/renamed").artifact == first.artifact
    assert len(store.ledger()) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda request: replace(request, recipe=replace(RECIPE, seed=1)),
        lambda request: replace(request, recipe=replace(RECIPE, learning_rate=2e-2)),
        lambda request: replace(request, tokenizer_hash="other"),
        lambda request: replace(request, shares=(replace(request.shares[0], stream="other"),)),
        lambda request: replace(request, shares=(replace(request.shares[0], tokens=639),)),
        lambda request: replace(request, shares=request.shares * 2),
    ],
    ids=["seed", "learning-rate", "tokenizer", "stream", "tokens", "shares"],
)
def test_a_proxy_of_another_request_is_not_taken_for_it(
    uninterrupted: Proxy,
    request_for: Callable[[Recipe], ProxyRequest],
    change: Callable[[ProxyRequest], ProxyRequest],
) -> None:
    store = Store(uninterrupted.artifact.path.parents[2])
    assert find_proxy(store, request_for(RECIPE)) is not None
    assert find_proxy(store, change(request_for(RECIPE))) is None


def test_the_stream_s_length_does_not_change_the_proxy(
    tmp_path: Path, uninterrupted: Proxy, request_for: Callable[[Recipe], ProxyRequest]
) -> None:
    request = request_for(RECIPE)
    longer = write_stream(tmp_path / "longer", 5000)
    moved = replace(request, shares=(replace(request.shares[0], folder=longer),))
    assert weights(make(Store(tmp_path / "store"), moved)) == weights(uninterrupted)


def test_a_proxy_is_found_without_importing_torch(
    tmp_path: Path, uninterrupted: Proxy, request_for: Callable[[Recipe], ProxyRequest]
) -> None:
    (tmp_path / "request").write_bytes(pickle.dumps(request_for(RECIPE)))
    script = """
import pickle, sys
from pathlib import Path
from dataselect.proxies.make import make_proxy
from dataselect.store import Store
request = pickle.loads(Path(sys.argv[1]).read_bytes())
proxy = make_proxy(Store(Path(sys.argv[2])), request, "name", "cpu", print)
heavy = {"torch", "transformers", "pandas", "datasets"} & set(sys.modules)
print(proxy.checkpoint(20), proxy.facts["steps"], sorted(heavy))
"""
    root = uninterrupted.artifact.path.parents[2]
    shown = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "request"), str(root)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == f"{uninterrupted.artifact.path / 'step-00000020'} 20 []\n"


def test_a_diverged_run_is_kept_without_a_last_checkpoint_and_not_tried_again(
    tmp_path: Path,
    request_for: Callable[[Recipe], ProxyRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, request = Store(tmp_path), request_for(ABSURD)
    proxy = make(store, request)
    assert proxy.diverged
    assert proxy.facts["final_loss"] is None
    assert proxy.facts["steps"] < 20
    assert list(proxy.artifact.files) == ["training.json"]
    (record,) = store.ledger()
    assert record["status"] == "done"
    assert record["flops"] == 6 * ABSURD.parameters * proxy.facts["tokens"] > 0
    monkeypatch.setattr(trainer, "train", refuse)
    assert make(store, request).diverged


def test_checkpoints_before_a_divergence_are_kept(
    tmp_path: Path,
    request_for: Callable[[Recipe], ProxyRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = []

    def overflow(parameters: Any, limit: float) -> None:
        steps.append(limit)
        if len(steps) == 15:
            next(iter(parameters)).grad.fill_(math.nan)

    monkeypatch.setattr(trainer, "clip", overflow)
    proxy = make(Store(tmp_path), request_for(RECIPE))
    assert proxy.diverged
    assert {name.partition("/")[0] for name in proxy.artifact.files} == {
        "step-00000010",
        "training.json",
    }
    tensors = load_file(proxy.checkpoint(10) / "model.safetensors").values()
    assert all(bool(tensor.isfinite().all()) for tensor in tensors)


def test_failed_training_is_raised_and_its_time_is_in_the_ledger(
    tmp_path: Path, uninterrupted: Proxy, request_for: Callable[[Recipe], ProxyRequest]
) -> None:
    store, request = Store(tmp_path), request_for(RECIPE)

    def full(fields: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        make_proxy(store, request, "stage1/web", "cpu", full)
    assert find_proxy(store, request) is None
    assert weights(make(store, request)) == weights(uninterrupted)
    assert [record["status"] for record in store.ledger()] == ["failed", "done"]
    costs = spent(store.ledger())
    assert (costs.jobs, costs.failed_jobs) == (2, 1)
    assert costs.wall_seconds > uninterrupted.facts["seconds"] / 100
    assert costs.flops == 6 * RECIPE.parameters * 640


def die_in_child(root: Path, request: ProxyRequest, moment: str) -> None:
    """Make the proxy, but die by SIGKILL at a moment between training and its end."""

    def die(*arguments: Any, **options: Any) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    torch.set_num_threads(1)
    match moment:
        case "trained":
            Store.publish = die
        case "copying":
            link, links = os.link, []

            def linked(*arguments: Any, **options: Any) -> None:
                link(*arguments, **options)
                links.append(arguments)
                if len(links) == 2:
                    die()

            os.link = linked
        case "sealed":
            vars(stores)["reveal"] = die
        case "published":
            reveal = vars(stores)["reveal"]
            vars(stores)["reveal"] = lambda *paths: (reveal(*paths), die())
    make_proxy(Store(root), request, "stage1/web", "cpu", lambda fields: None)


@pytest.mark.parametrize("moment", ["trained", "copying", "sealed", "published"])
def test_a_kill_between_training_and_the_end_of_publishing_loses_nothing(
    tmp_path: Path,
    uninterrupted: Proxy,
    request_for: Callable[[Recipe], ProxyRequest],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    store, request = Store(tmp_path), request_for(RECIPE)
    process = FORKED.Process(target=die_in_child, args=(tmp_path, request, moment))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (find_proxy(store, request) is not None) == (moment == "published")
    store.clean()
    assert not list((tmp_path / "tmp").glob("*"))

    monkeypatch.setattr(trainer.Run, "take_step", refuse)
    proxy = make(store, request)
    assert weights(proxy) == weights(uninterrupted)
    assert proxy.facts["losses"] == uninterrupted.facts["losses"]
    assert proxy.facts["final_loss"] == uninterrupted.facts["final_loss"]
    assert proxy.facts["seconds"] > 0
    # The work was done once, so it is never in the ledger twice: the lost attempt lost the moment
    # between its last saved state and its death.
    expected = [] if moment == "published" else ["failed", "done"]
    ledger = store.ledger()
    assert [record["status"] for record in ledger] == expected
    assert sum(r["wall_seconds"] for r in ledger if r["status"] == "failed") < 5


def test_a_damaged_checkpoint_is_refused_and_made_anew_to_the_same_bits(
    tmp_path: Path, uninterrupted: Proxy, request_for: Callable[[Recipe], ProxyRequest]
) -> None:
    store, request = Store(tmp_path), request_for(RECIPE)
    proxy = make(store, request)
    file = proxy.artifact.path / "step-00000020" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    os.utime(file, ns=(1, 1))
    with pytest.raises(IncompleteError, match="run the same command again"):
        proxy.checkpoint(20)
    assert find_proxy(store, request) is None
    assert weights(make(store, request)) == weights(uninterrupted)


def test_names_of_checkpoints_are_those_that_training_writes(uninterrupted: Proxy) -> None:
    assert maker.checkpoint_name(20) == "step-00000020"
    assert (uninterrupted.checkpoint(20) / "config.json").is_file()


def test_a_proxy_trained_by_several_processes_is_that_of_one(
    tmp_path: Path,
    request_for: Callable[[Recipe], ProxyRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Spec] = []

    def train_together(spec: Spec, progress: Any) -> trainer.Training:
        given.append(spec)
        data = PackedData(spec.parts, 16, spec.recipe.seed, spec.recipe.tokens)
        return trainer.train(spec.recipe, data, tiny_tokenizer(), spec.folder, progress)

    monkeypatch.setattr("dataselect.proxies.processes.train_together", train_together)
    store, layout = Store(tmp_path), Layout(processes=4, shard="fsdp")
    requests = {name: request_for(replace(RECIPE, seed=n)) for n, name in enumerate("ab")}
    made = make_proxies(store, requests, "cpu", lambda fields: None, layout)
    assert [(spec.layout, spec.recipe.seed) for spec in given] == [(layout, 0), (layout, 1)]
    assert given[0].parts == (Part(str(requests["a"].shares[0].folder), 640),)
    assert [proxy.facts["processes"] for proxy in made] == [4, 4]
    # One process finds what four have made.
    assert find_proxy(store, requests["b"]) == made[1]
    assert [make(store, each) for each in requests.values()] == made
    assert len(given) == 2
    (record, _) = store.ledger()
    assert record["cpu_seconds"] == pytest.approx(made[0].facts["cpu_seconds"])


def test_shards_of_a_model_are_refused_for_the_fused_step(
    tmp_path: Path, request_for: Callable[[Recipe], ProxyRequest]
) -> None:
    request = request_for(replace(RECIPE, kernels="fused"))
    with pytest.raises(InputError, match="shard: ddp"):
        make_proxy(
            Store(tmp_path / "store"), request, "a", "cpu", lambda fields: None, Layout(2, "fsdp")
        )
