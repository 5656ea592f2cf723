"""The numbers of a run in metrics.jsonl, and a training that goes badly."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataselect.compute import Event
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.stages.losses import Losses
from dataselect.stages.metrics import LossAlarm, MetricsLog
from dataselect.stages.recording import About, recorded
from dataselect.stages.tracking import run_config
from dataselect.stages.work import RankedRow, Scored, StageRanking

ABOUT = About("run", "mine", "dataselect run m.yaml", "m.yaml", "plan", None, "cpu")


class Clock:
    """A clock that advances only on request."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def told(tokens: int, loss: float = 2.0) -> dict[str, float | int | str]:
    return {"tokens": tokens, "total_tokens": 1000, "tokens_per_second": 10.0, "loss": loss}


def lines(store: Path) -> list[dict[str, Any]]:
    (path,) = (store / "runs").glob("*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_number_has_its_job_its_step_and_its_call(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(2):
        with recorded(tmp_path, ABOUT) as recorder:
            log = MetricsLog(recorder, {}, (), pytest.fail, clock)
            log.step("Stage 1: screen")
            log.event(Event("stage1/a", "started", {}))
            for tokens in (0, 1, 500, 1000, 1000):
                clock.now += 2
                log.event(Event("stage1/a", "progress", told(tokens)))
            log.event(Event("stage1/a", "retried", {"reason": "died"}))
            log.event(Event("stage1/a", "started", {}))
            log.event(Event("stage1/a", "progress", told(500, float("nan"))))
            log.tell(Scored("stage1/a", 1000, {"easy/rbridge": 1.5}))
            row = RankedRow("a", 1, -0.5, -1.0, 0.0, 0.75, True)
            log.tell(StageRanking("stage1", "Stage 1", 1, (row,)))
            log.cost({"stage1/flops": 1e12})
            recorder.close("done")
    found = lines(tmp_path)
    assert [each["call"] for each in found] == [1] * 9 + [2] * 9
    first = found[:9]
    assert [each["kind"] for each in first] == [
        *("start", "training", "training", "training"),
        *("training", "scores", "ranking", "cost", "end"),
    ]
    training = [each for each in first if each["kind"] == "training"]
    assert [(each["step"], each["attempt"]) for each in training] == [
        *((0, 1), (500, 1), (1000, 1), (500, 2)),
    ]
    assert training[0]["metrics"] == {"loss": 2.0, "tokens_per_second": 10.0}
    assert training[-1]["metrics"] == {"tokens_per_second": 10.0}, "finite numbers alone"
    assert first[5]["job"] == "stage1/a"
    assert first[6]["metrics"] == {"stage1/rank": 1, "stage1/score": -0.5, "stage1/p_top_k": 0.75}
    assert first[-1]["status"] == "done"
    assert first[0]["run"]["id"] == found[9]["run"]["id"]


def test_half_a_line_of_a_killed_call_is_closed_by_the_next(tmp_path: Path) -> None:
    with recorded(tmp_path, ABOUT) as recorder:
        MetricsLog(recorder, {}, (), pytest.fail)
        recorder.close("done")
    (path,) = (tmp_path / "runs").glob("*/metrics.jsonl")
    path.write_bytes(path.read_bytes() + b'{"kind": "trai')
    with recorded(tmp_path, ABOUT) as recorder:
        MetricsLog(recorder, {}, (), pytest.fail)
        recorder.close("done")
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert [json.loads(line)["kind"] for line in whole] == ["start", "end"] * 2


def test_a_rising_loss_is_said_once(tmp_path: Path) -> None:
    notes: list[str] = []
    alarm = LossAlarm(notes.append)
    alarm.step("Stage 1: screen")
    alarm.event(Event("stage1/a", "started", {}))
    losses = [4.0, 3.0, 2.5, 2.0, 2.2, 2.9, 2.0, 2.1, 3.5, 4.5, 5.0, 6.0]
    for number, loss in enumerate(losses):
        alarm.event(Event("stage1/a", "progress", told(50 * number, loss)))
        if number < 8:
            assert notes == [], "one hard batch is no rise"
    assert notes == [
        "stage1/a: its loss has risen to 4.50 from 2.10, at 45% of its tokens; it may diverge"
        " (a lower learning rate helps)"
    ]


def test_peers_are_others_that_came_as_far() -> None:
    losses = Losses()
    for name, level in (("a", 1.0), ("b", 2.0), ("c", 4.0)):
        losses.add(name, 1, 0.2, level + 1)
        losses.add(name, 1, 0.4, level)
    losses.add("d", 1, 0.1, 9.0)
    assert losses.of_peers("a", 0.3) == pytest.approx((2.5 + 4.5) / 2)
    assert losses.of_peers("d", 0.2) == pytest.approx(3.0)
    assert losses.of_peers("a", 0.5) is None
    losses.add("b", 2, 0.1, 7.0)  # begun anew
    assert losses.of_peers("a", 0.3) is None


def test_no_secret_is_in_what_trackers_are_told(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "target: {size: 1M, tokens: 20M}\ncandidates:\n"
        "  - {id: a, path: dataselect/desk, name: worked}\n"
        "  - {id: b, path: dataselect/desk, name: narrative}\n"
    )
    (tmp_path / "p.yaml").write_text(
        "tokenizer: {train: {vocab_size: 300}}\n"
        "benchmarks: [{id: gsm8k, folder: 'https://me:pass1@host/x?sig=pass2'}]\n"
        "screen: {keep: 1, train: {command: 'go --key pass3 {data} {output}'}}\n"
        "mix: {storage: 'mysql://me:pass4@host/db'}\n"
        "compute: {on: ray, ray: {runtime_env: {env_vars: {KEY: pass5}}}}\n"
        "track: [wandb]\n"
    )
    config = run_config(load_manifest(tmp_path / "m.yaml"), load_plan("p.yaml", tmp_path))
    assert "pass" not in json.dumps(config)
    assert config["candidates"] == ["a", "b"]
    assert config["plan"]["benchmarks"][0]["folder"] == "https://host/x"
    assert config["plan"]["track"] == ["wandb"]
