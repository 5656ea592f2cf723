"""TensorBoard: event files in the folder of the run, written without TensorFlow or torch."""

import json
import time
from collections.abc import Mapping
from typing import Any

from dataselect.trackers.tracker import Status, TrackedRun


class TensorBoardRun:
    """A `Tracker`; the x axis is tokens, or the order of the numbers that have none."""

    def start(self, run: TrackedRun) -> str | None:
        """Open an event file in `FOLDER/tensorboard`; each call adds one."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = run.folder / "tensorboard"
        self._writer: Any = EventFileWriter(str(folder))
        self._count = 0
        self._text("config", f"```\n{json.dumps(run.config, indent=1)}\n```")
        return f"tensorboard --logdir {folder}"

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Add scalars."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        if step is None:
            self._count += 1
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(Summary(value=values), self._count if step is None else step)

    def finish(self, status: Status) -> None:
        """Close the file."""
        self._text("status", status)
        self._writer.close()

    def _text(self, tag: str, text: str) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        plugin = SummaryMetadata.PluginData(plugin_name="text")
        value = Summary.Value(
            tag=tag,
            metadata=SummaryMetadata(plugin_data=plugin),
            tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()]),
        )
        self._add(Summary(value=[value]), 0)

    def _add(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()
