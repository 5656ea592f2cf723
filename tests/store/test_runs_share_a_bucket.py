"""Two hosts with local folders of their own and one object store: whole runs."""

import logging
from pathlib import Path

import pytest
from stage_world import write_world

import dataselect as ds
from dataselect.compute import InlineCompute
from dataselect.store import Store
from dataselect.store.opened import STORE_FOLDER_VARIABLE


def test_the_second_host_trains_nothing_and_ranks_alike_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Starting workers would cost more than all that they do here.
    monkeypatch.setattr(
        "dataselect.stages.engine.default_compute", lambda *_, **__: InlineCompute()
    )
    write_world(tmp_path, tokens=1000)
    plan = (tmp_path / "plan.yaml").read_text()
    lines = [line for line in plan.splitlines() if "long" not in line and "accuracy" not in line]
    (tmp_path / "plan.yaml").write_text("\n".join(lines))
    rankings = []
    for host in ("a", "b"):
        monkeypatch.setenv(STORE_FOLDER_VARIABLE, str(tmp_path / host))
        chosen = ds.run(
            tmp_path / "manifest.yaml",
            tmp_path / "plan.yaml",
            store=f"file://{tmp_path}/bucket",
        )
        rankings.append(chosen.ranking.to_csv())
    assert rankings[0] == rankings[1]
    trained = [record["kind"] for record in Store(tmp_path / "a").ledger()]
    assert trained.count("proxy") == 3
    assert Store(tmp_path / "b").ledger() == []
    assert max((record.levelno for record in caplog.records), default=0) < logging.WARNING
