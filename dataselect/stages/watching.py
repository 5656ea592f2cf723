"""Who watches a recorded run: its record, whoever shows it, and its numbers for trackers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataselect.stages.metrics import LossAlarm, MetricsLog
from dataselect.stages.recording import Recorder
from dataselect.stages.watch import Watch, Watches


def watches_of(
    recorder: Recorder,
    shown: Iterable[Watch],
    config: Mapping[str, Any],
    trackers: Sequence[str] = (),
    *,
    trains: bool = False,
    more: Iterable[Watch] = (),
) -> tuple[Watches, MetricsLog]:
    """All that a run of `config` tells of itself to, and its numbers.

    `shown` show it and get the notes of the trackers too; a run that `trains` is told where a loss
    rises; `more` are told after all these.
    """
    first = Watches(recorder, *shown)
    metrics = MetricsLog(recorder, config, trackers, first.note)
    alarm = [LossAlarm(first.note)] if trains else []
    return Watches(first, metrics, *alarm, *more), metrics
