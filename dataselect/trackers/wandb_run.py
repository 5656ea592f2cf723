"""Weights & Biases. `WANDB_PROJECT`, `WANDB_MODE=offline` and the like are the library's own."""

import os
from collections.abc import Mapping
from typing import Any

from dataselect.trackers.tracker import Status, TrackedRun


class WandbRun:
    """A `Tracker`; a resumed call goes on in the same W&B run."""

    def start(self, run: TrackedRun) -> str | None:
        """Open the run; what is about this machine or its code is not sent."""
        import wandb

        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "dataselect"),
            name=run.name,
            id=run.id,
            job_type=run.kind,
            resume="allow",
            config=dict(run.config),
            dir=os.environ.get("WANDB_DIR", str(run.folder)),
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                save_code=False,
                # They would be those of this process, which only passes numbers on.
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )
        # Proxies train side by side, so their steps are no order of the run.
        self._run.define_metric("tokens", hidden=True)
        self._known: set[str] = set()
        if self._run.offline:
            return f"offline; to send it: wandb sync {self._run.settings.sync_dir}"
        return str(self._run.url)

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log a row; its x axis is `tokens` where there is a step."""
        if step is None:
            self._run.log(dict(metrics))
            return
        for name in metrics:
            if name not in self._known:
                self._known.add(name)
                self._run.define_metric(name, step_metric="tokens")
        self._run.log({**metrics, "tokens": step})

    def finish(self, status: Status) -> None:
        """Send the rest."""
        self._run.finish(exit_code=0 if status in ("done", "incomplete") else 1)
