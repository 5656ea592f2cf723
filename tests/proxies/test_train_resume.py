"""Training that is killed and goes on ends in the same bits as training that was not.

The kills are real: child processes die by SIGKILL at steps, and at moments within a step, that
are drawn at random, and in the middle of writing. The functions at the top run in the children,
which are forked from a server that has imported torch already.
"""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_training import FORKED, Rows, noise, tiny_tokenizer
from tiny_training import RECIPE as TINY
from transformers import PreTrainedTokenizerFast

from dataselect.proxies import saved_state
from dataselect.proxies import train as trainer
from dataselect.proxies.recipe import Recipe

STEPS = 60
RECIPE = replace(
    TINY,
    shape=replace(TINY.shape, kv_heads=1),
    steps=STEPS,
    batch_size=2,
    checkpoints=4,
    seed=3,
)
# 240 steps have a log entry for every two of them, so a kill can fall between two entries.
LONG = replace(RECIPE, steps=240, batch_size=1)


class Told(Rows):
    """Random tokens; every batch asked for is told to the other end."""

    def __init__(self, recipe: Recipe, told: Connection) -> None:
        super().__init__(noise(0, recipe).batch(0, recipe.steps * recipe.batch_size))
        self._told = told

    def batch(self, first: int, count: int) -> NDArray[np.int64]:
        self._told.send(first // count)
        return super().batch(first, count)


def train_in_child(recipe: Recipe, folder: Path, told: Connection, torn: str | None) -> None:
    """Train, saving as often as can be; `torn` is what to die in the middle of writing."""
    torch.set_num_threads(1)
    # What SIGKILL leaves does not depend on it, and a slow disk would leave no time to save.
    os.fsync = lambda descriptor: None
    if torn == "state":
        _die_in_save_file(after=1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    if torn == "checkpoint":
        tokenizer.save_pretrained = lambda path: os.kill(os.getpid(), signal.SIGKILL)
    done = trainer.train(
        recipe, Told(recipe, told), tokenizer, folder, lambda fields: None, save_seconds=0.0
    )
    text = json.dumps([done.losses, done.final_loss, done.steps, done.seconds])
    (folder / "training.json").write_text(text)
    told.send("end")


def _die_in_save_file(after: int) -> None:
    save, calls = saved_state.save_file, []

    def dying(tensors: Any, path: Path, header: Any) -> None:
        save(tensors, path, header)
        calls.append(path)
        if len(calls) > after:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    saved_state.save_file = dying


@contextmanager
def child(recipe: Recipe, folder: Path, torn: str | None = None) -> Iterator[tuple[Any, Any]]:
    """A training process and the connection on which it tells its steps."""
    hears, tells = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=train_in_child, args=(recipe, folder, tells, torn))
    process.start()
    tells.close()
    try:
        yield process, hears
    finally:
        process.kill()
        process.join()
        hears.close()


def hear(hears: Any, at_most: int | None = None) -> list[Any]:
    """What a child tells: its steps and "end"; all of it, or the first few."""
    heard: list[Any] = []
    with suppress(EOFError):
        while at_most is None or len(heard) < at_most:
            assert hears.poll(60), "the child is silent"
            heard.append(hears.recv())
    return heard


def finish(recipe: Recipe, folder: Path) -> list[int]:
    """Train to the end; the steps that were still to be done."""
    with child(recipe, folder) as (process, hears):
        *steps, end = hear(hears)
        process.join(60)
        assert (end, process.exitcode) == ("end", 0)
    return steps


def outcome(folder: Path) -> tuple[dict[str, bytes], list[Any]]:
    """The bytes of every checkpoint, and losses and steps."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("step-*/*")}
    *facts, seconds = json.loads((folder / "training.json").read_text())
    assert seconds > 0
    return files, facts


@pytest.fixture(scope="module")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    tokenizer = tiny_tokenizer()

    def make() -> Path:
        folder = tmp_path_factory.mktemp("training")
        tokenizer.save_pretrained(str(folder / "tokenizer"))
        return folder

    return make


@pytest.fixture(scope="module")
def uninterrupted(make_folder: Any) -> dict[int, Any]:
    """What comes of the recipes, by their number of steps, when nothing happens."""
    found = {}
    for recipe in (RECIPE, LONG):
        folder = make_folder()
        assert finish(recipe, folder) == list(range(recipe.steps))
        found[recipe.steps] = outcome(folder)
    return found


@pytest.mark.parametrize(("recipe", "seed"), [(RECIPE, 0), (RECIPE, 1), (LONG, 2)])
def test_training_killed_at_random_and_resumed_ends_in_the_same_bits(
    make_folder: Any, uninterrupted: dict[int, Any], recipe: Recipe, seed: int
) -> None:
    rng, folder = random.Random(seed), make_folder()
    resumed_at, exits = [], []
    for _ in range(4):
        with child(recipe, folder) as (process, hears):
            steps = hear(hears, at_most=rng.randint(1, recipe.steps // 6))
            time.sleep(rng.uniform(0, 0.005))
        resumed_at.append(steps[0])
        exits.append(process.exitcode)
    assert -signal.SIGKILL in exits
    rest = finish(recipe, folder)
    assert resumed_at[0] == 0
    assert len(rest) < recipe.steps
    assert outcome(folder) == uninterrupted[recipe.steps]


@pytest.mark.parametrize("torn", ["state", "checkpoint"])
def test_training_killed_while_it_writes_is_resumed_from_what_is_whole(
    make_folder: Any, uninterrupted: dict[int, Any], torn: str
) -> None:
    folder = make_folder()
    with child(RECIPE, folder, torn) as (process, _):
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    assert list(folder.glob("*.unfinished")), "it died in the middle of writing"
    assert finish(RECIPE, folder)[0] > 0
    assert outcome(folder) == uninterrupted[STEPS]
    assert not list(folder.glob("*.unfinished"))


def test_training_that_has_ended_is_not_repeated(
    make_folder: Any, uninterrupted: dict[int, Any]
) -> None:
    folder = make_folder()
    finish(RECIPE, folder)
    assert finish(RECIPE, folder) == []
    assert outcome(folder) == uninterrupted[STEPS]
