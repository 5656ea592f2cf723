"""torchrun itself: what it trains, why it failed, and that nothing outlives who started it."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from tiny_training import RECIPE, tiny_tokenizer, write_stream

import dataselect
from dataselect.corpus.packing import PackedData, Part
from dataselect.errors import IncompleteError
from dataselect.proxies import distributed, processes
from dataselect.proxies.layout import Layout
from dataselect.proxies.processes import Spec, train_together
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import train

# Without an end, for those that are killed.
ENDLESS = replace(RECIPE, steps=10**5)
ROOT = Path(dataselect.__file__).parents[1]


def spec_in(folder: Path, recipe: Recipe) -> Spec:
    folder.mkdir()
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    parts = (Part(str(write_stream(folder / "stream", 9000)), recipe.tokens),)
    return Spec(recipe, folder / "tokenizer", parts, folder, "cpu", Layout(processes=2))


def processes_of(folder: Path) -> list[int]:
    """The processes that have the folder's description on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if entry.name.isdigit() and str(folder / "spec.json").encode() in line:
            found.append(int(entry.name))
    return found


def workers_of(folder: Path) -> list[int]:
    """Those of them that train: torchrun itself names `torch.distributed.run`."""
    return [
        number
        for number in processes_of(folder)
        if b"torch.distributed.run" not in Path(f"/proc/{number}/cmdline").read_bytes()
    ]


def test_torchrun_trains_what_one_process_trains(tmp_path: Path) -> None:
    spec = spec_in(tmp_path / "run", RECIPE)
    told: list[Mapping[str, float]] = []
    training = train_together(spec, told.append)
    assert told[-1]["tokens"] == told[-1]["total_tokens"] == RECIPE.tokens
    assert (spec.folder / "step-00000040" / "model.safetensors").exists()
    data = PackedData(spec.parts, RECIPE.sequence_length, RECIPE.seed, RECIPE.tokens)
    (tmp_path / "alone").mkdir()
    alone = train(RECIPE, data, tiny_tokenizer(), tmp_path / "alone", lambda fields: None)
    for (step, loss), (its_step, its) in zip(training.losses, alone.losses, strict=True):
        assert (step, loss) == (its_step, pytest.approx(its, abs=0.01))


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    spec = spec_in(tmp_path / "run", ENDLESS)
    spec.write(tmp_path / "parent.json")
    code = (
        "import sys; from pathlib import Path;"
        "from dataselect.proxies.processes import Spec, train_together;"
        "train_together(Spec.read(Path(sys.argv[1])), lambda fields: print('told', flush=True))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "parent.json")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"told\n"
        assert len(processes_of(spec.folder)) == 3
        parent.kill()
    deadline = time.monotonic() + 60
    while processes_of(spec.folder):
        assert time.monotonic() < deadline, "processes outlive their parent"
        time.sleep(0.05)


def test_a_killed_process_ends_the_others_and_is_the_reason(tmp_path: Path) -> None:
    spec = spec_in(tmp_path / "run", ENDLESS)
    killed: list[int] = []

    def kill_one(fields: Mapping[str, float]) -> None:
        if not killed:
            killed.append(max(workers_of(spec.folder)))
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(IncompleteError, match="2 processes: a process was killed by SIGKILL"):
        train_together(spec, kill_one)
    assert not processes_of(spec.folder)


def test_what_the_first_to_fail_says_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_in(tmp_path / "run", RECIPE)
    spec.write(tmp_path / "run" / "spec.json")
    errors = iter([ValueError("the disk\nis full"), RuntimeError("connection closed by peer")])

    def fail(given: Spec) -> NoReturn:
        raise next(errors)

    monkeypatch.setattr(distributed, "train_share", fail)
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit):
            distributed.main([str(tmp_path / "run" / "spec.json")])
    assert processes._reason(spec.folder, deque()) == "ValueError: the disk is full"


def test_a_process_that_cannot_even_begin_is_the_reason(tmp_path: Path) -> None:
    told = ["Traceback (most recent call last):", "NameError: name 'x' is not defined", "=" * 20]
    told += ["torch.distributed.elastic.ChildFailedError: FAILED", "  exitcode  : 1 (pid: 5)"]
    assert processes._reason(tmp_path, deque(told)) == "NameError: name 'x' is not defined"
    assert processes._reason(tmp_path, deque(["-" * 20])) == "they ended without an error message"
