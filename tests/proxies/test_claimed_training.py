"""Several processes that want one proxy: it is trained once, by whoever lives, to the same bits."""

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import FORKED, tiny_tokenizer, write_stream
from tiny_training import RECIPE as TINY

from dataselect.corpus.prepare import Share
from dataselect.corpus.tokenizer import tokenizer_hash
from dataselect.proxies import train as trainer
from dataselect.proxies.make import Proxy, ProxyRequest, find_proxy, make_proxies, make_proxy
from dataselect.proxies.recipe import Recipe
from dataselect.store import Lease, Store

RECIPE = replace(TINY, shape=replace(TINY.shape, layers=1), steps=60, batch_size=2, checkpoints=2)
LEASE = Lease(heartbeat_seconds=0.1, expiry_seconds=0.6, poll_seconds=0.05)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ProxyRequest]:
    base = tmp_path_factory.mktemp("inputs")
    tiny_tokenizer().save_pretrained(str(base / "tokenizer"))
    share = Share("stream", write_stream(base / "stream", 4000), RECIPE.tokens)

    def request(recipe: Recipe = RECIPE) -> ProxyRequest:
        name = tokenizer_hash(base / "tokenizer")
        return ProxyRequest(recipe, base / "tokenizer", name, (share,))

    return request


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory, inputs: Callable[..., ProxyRequest]
) -> dict[int, bytes]:
    """The checkpoints of an undisturbed training."""
    store = Store(tmp_path_factory.mktemp("reference"))
    return weights(make_proxy(store, inputs(), "alone", "cpu", lambda fields: None))


def weights(proxy: Proxy) -> dict[int, bytes]:
    return {
        step: (proxy.checkpoint(step) / "model.safetensors").read_bytes()
        for step in proxy.recipe.checkpoint_steps()
    }


def train_in_child(
    root: Path, requests: dict[str, ProxyRequest], pause: float, says: Any, device: str = "cpu"
) -> None:
    """Make the proxies with a pause after each step and a saved state as often as allowed."""
    torch.set_num_threads(1)
    # What a signal leaves does not depend on it, and a slow disk would leave no time to save.
    os.fsync = lambda fd: None
    to_end, take_step = trainer.run_to_end, trainer.Run.take_step

    def saving(run: Any, tokenizer: Any, progress: Any, save_seconds: float) -> None:
        says.put(("from", run.step))
        to_end(run, tokenizer, progress, 0.0)

    def slow(run: Any) -> None:
        take_step(run)
        time.sleep(pause)
        says.put(("step", run.step))

    trainer.run_to_end = saving
    trainer.Run.take_step = slow  # type: ignore[assignment, method-assign]
    store = Store(root, lambda work, holder: says.put(("waits", holder)), LEASE)
    made = make_proxies(store, requests, device, lambda fields: None)
    says.put(("made", [proxy.artifact.key for proxy in made]))


class Child:
    """A process that trains, and what it says."""

    def __init__(self, root: Path, requests: dict[str, ProxyRequest], pause: float) -> None:
        self.says = FORKED.Queue()
        arguments = (root, requests, pause, self.says)
        self.process = FORKED.Process(target=train_in_child, args=arguments)
        self.process.start()

    def until(self, what: str, least: int = 0) -> Any:
        """What it says of this kind, once a number has reached `least`."""
        while True:
            try:
                kind, value = self.says.get(timeout=60)
            except queue.Empty:
                raise AssertionError(f"it never says {what!r}") from None
            if kind == what and (not least or value >= least):
                return value

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


@contextmanager
def child(
    root: Path, request: ProxyRequest, pause: float = 0.0, name: str = "web", **more: ProxyRequest
) -> Iterator[Child]:
    made = Child(root, {name: request, **more}, pause)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.join()


def test_two_attempts_at_one_proxy_train_it_once(
    tmp_path: Path, inputs: Callable[..., ProxyRequest], alone: dict[int, bytes]
) -> None:
    request, store = inputs(), Store(tmp_path)
    with child(tmp_path, request, 0.01) as first, child(tmp_path, request, 0.01) as second:
        assert first.until("made") == second.until("made")
    found = find_proxy(store, request)
    assert found is not None
    assert weights(found) == alone
    assert [record["status"] for record in store.ledger()] == ["done"]
    assert not list((tmp_path / "work").iterdir())


def test_a_killed_training_goes_on_elsewhere_from_its_saved_state_to_the_same_bits(
    tmp_path: Path, inputs: Callable[..., ProxyRequest], alone: dict[int, bytes]
) -> None:
    request, store = inputs(), Store(tmp_path)
    with child(tmp_path, request, 0.05) as first:
        first.until("step", 20)
        with child(tmp_path, request, name="same") as second:
            assert f"process {first.process.pid} on " in second.until("waits")
            first.signal(signal.SIGKILL)
            assert second.until("from") > 0, "it began anew"
            second.until("made")
    found = find_proxy(store, request)
    assert found is not None
    assert weights(found) == alone
    lost, done = store.ledger()
    assert (lost["name"], lost["status"], lost["attempts"]) == ("web", "failed", 1)
    # What was saved is in the record of the one who went on.
    assert lost["wall_seconds"] < done["wall_seconds"]
    assert (done["name"], done["status"]) == ("same", "done")


def test_a_stopped_training_that_wakes_after_it_was_taken_over_writes_nothing(
    tmp_path: Path, inputs: Callable[..., ProxyRequest], alone: dict[int, bytes]
) -> None:
    request, store = inputs(), Store(tmp_path)
    with child(tmp_path, request, 0.05) as first:
        first.until("step", 20)
        first.signal(signal.SIGSTOP)
        with child(tmp_path, request, 0.05, name="same") as second:
            assert second.until("from") > 0
            first.signal(signal.SIGCONT)
            # It loses its folder and its claim, waits, and gets what the other has made.
            assert f"process {second.process.pid} on " in first.until("waits")
            assert first.until("made") == second.until("made")
    found = find_proxy(store, request)
    assert found is not None
    assert weights(found) == alone
    assert [record["status"] for record in store.ledger()] == ["failed", "done"]
    assert not list((tmp_path / "work").iterdir())
    assert not list((tmp_path / "tmp").iterdir())


def test_of_several_proxies_each_process_trains_those_that_are_free(
    tmp_path: Path, inputs: Callable[..., ProxyRequest]
) -> None:
    a, b, store = inputs(), inputs(replace(RECIPE, seed=1)), Store(tmp_path)
    with child(tmp_path, a, 0.02, name="a", b=b) as first:
        first.until("step", 1)
        with child(tmp_path, a, 0.02, name="a", b=b) as second:
            assert first.until("made") == second.until("made")
    done = {record["name"] for record in store.ledger()}
    assert done == {"a", "b"}
    assert len(store.ledger()) == 2


def test_ctrl_c_while_waiting_costs_nothing_and_leaves_the_other_alone(
    tmp_path: Path, inputs: Callable[..., ProxyRequest]
) -> None:
    def press(work: str, holder: str) -> None:
        raise KeyboardInterrupt

    request = inputs()
    with child(tmp_path, request, 0.05) as first:
        first.until("step", 5)
        store = Store(tmp_path, press, LEASE)
        with pytest.raises(KeyboardInterrupt):
            make_proxy(store, request, "web", "cpu", lambda fields: None)
        assert store.ledger() == []
        first.until("made")
    assert [record["status"] for record in store.ledger()] == ["done"]
