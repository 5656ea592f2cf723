"""trackio: a local database that `trackio show` displays (`TRACKIO_DIR` says where it is)."""

import os
from collections.abc import Mapping
from typing import Any

from dataselect.trackers.tracker import Status, TrackedRun


class TrackioRun:
    """A `Tracker`; a resumed call goes on in the same run."""

    def start(self, run: TrackedRun) -> str | None:
        """Open the run."""
        import trackio

        project = os.environ.get("TRACKIO_PROJECT", "dataselect")
        self._run: Any = trackio.init(
            project=project,
            name=f"{run.name}-{run.id}",
            group=run.kind,
            config=dict(run.config),
            resume="allow",
            embed=False,
            # It would show this process, which only passes numbers on.
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        return f"trackio show --project {project}"

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log a row, with the tokens where it has any."""
        # Proxies train side by side, so their steps are no order of the run.
        self._run.log({**metrics, **({} if step is None else {"tokens": step})})

    def finish(self, status: Status) -> None:
        """Write the rest."""
        self._run.finish()
