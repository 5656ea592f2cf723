"""MLflow, at `MLFLOW_TRACKING_URI`, in the experiment `MLFLOW_EXPERIMENT_NAME`."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dataselect.trackers.tracker import Status, TrackedRun

_TAG = "dataselect.run"
_LONGEST = 500
"""Characters of a parameter that every server takes."""
_ENDS = {"done": "FINISHED", "incomplete": "FINISHED", "failed": "FAILED"}


class MlflowRun:
    """A `Tracker`; a resumed call goes on in the same MLflow run, which is found by a tag."""

    def start(self, run: TrackedRun) -> str | None:
        """Open the run."""
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", "dataselect")
        experiment = self._client.get_experiment_by_name(title)
        within = (
            self._client.create_experiment(title)
            if experiment is None
            else experiment.experiment_id
        )
        before = self._client.search_runs([within], f"tags.`{_TAG}` = '{run.id}'", max_results=1)
        self._count = 0
        if before:
            self._id = before[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            made = self._client.create_run(within, run_name=run.name, tags={_TAG: run.id})
            self._id = made.info.run_id
        known = {} if not before else before[0].data.params
        for name, value in flat(run.config):
            if _name(name) not in known:
                self._client.log_param(self._id, _name(name), value[:_LONGEST])
        self._client.set_tag(self._id, "dataselect.kind", run.kind)
        return f"run {self._id} of the experiment {title}"

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log each number; without a step in the order of the calls."""
        if step is None:
            self._count += 1
        for name, value in metrics.items():
            at = self._count if step is None else step
            self._client.log_metric(self._id, _name(name), value, step=at)

    def finish(self, status: Status) -> None:
        """Say how it ended."""
        self._client.set_terminated(self._id, _ENDS.get(status, "KILLED"))


def flat(config: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """The values of nested mappings by dotted names; a list is one value."""
    for key, value in config.items():
        name = f"{at}{key}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value)


def _name(text: str) -> str:
    """A name of the characters that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", text)
