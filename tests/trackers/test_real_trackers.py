"""The real libraries, where they are installed; benchmarks/trackers reads back what they keep."""

from pathlib import Path

import pytest

from dataselect.trackers.mlflow_run import flat
from dataselect.trackers.names import make_tracker
from dataselect.trackers.tracker import TrackedRun

CONFIG = {"plan": {"seed": 0, "benchmarks": [{"id": "easy"}]}, "target": {"size": 1}}


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "trackio", "mlflow"])
def test_a_run_is_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for call in (1, 2):
        tracker = make_tracker(name)
        run = TrackedRun("abc123", "mine", "run", call, tmp_path, CONFIG)
        assert tracker.start(run)
        tracker.log({"loss/stage1/web (a: b)": 2.5}, 100 * call)
        tracker.log({"cost/flops": 1e15}, None)
        tracker.finish("done")


def test_a_configuration_is_flat_for_mlflow() -> None:
    assert dict(flat(CONFIG)) == {
        "plan.seed": "0",
        "plan.benchmarks": '[{"id": "easy"}]',
        "target.size": "1",
    }
