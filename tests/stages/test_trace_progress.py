"""How the asking for traces goes."""

from dataclasses import replace

import pytest

from dataselect.stages.trace_progress import Pace, WatchedBuild, low_shares
from dataselect.stages.watch import SilentWatch
from dataselect.traces.recording.build import Progress
from dataselect.traces.recording.spending import Estimate, Usage

BEGUN = Progress(100, 10, 0, 0.5, 2.0, max_usd=3.0)


def test_there_is_no_time_left_before_there_is_a_speed() -> None:
    pace = Pace(100.0, 10)
    assert "seconds_left" not in pace.fields(BEGUN, 100.0)
    assert "seconds_left" not in pace.fields(replace(BEGUN, settled=12), 104.0)
    found = pace.fields(replace(BEGUN, settled=20), 120.0)
    assert found["items_per_second"] == pytest.approx(0.5)
    assert found["seconds_left"] == pytest.approx(160.0)
    assert (found["usd"], found["expected_usd"], found["max_usd"]) == (0.5, 2.0, 3.0)


def test_low_shares_are_said_where_enough_is_known() -> None:
    good = replace(BEGUN, settled=50, requests=60, failed=3, graded=40, correct=30)
    assert low_shares(good) == {}
    assert low_shares(replace(BEGUN, settled=5, graded=5, correct=0)) == {}
    bad = replace(good, correct=12, failed=30, excluded=20)
    assert list(low_shares(bad)) == ["correct", "failed", "left_out"]
    assert low_shares(bad)["correct"].startswith("only 12 of 40 answers are right so far")


def test_each_is_noted_once() -> None:
    notes: list[str] = []
    fields: list[object] = []

    class Watch(SilentWatch):
        def note(self, text: str) -> None:
            notes.append(text)

        def progress(self, work: str, told: object) -> None:
            fields.append(told)

    build = WatchedBuild(Watch(), "asking tiny about sums", lambda: 0.0)
    build.start(Estimate(90, Usage(1, 1), 1.5), BEGUN)
    for _ in range(3):
        build.advance(replace(BEGUN, settled=40, graded=30, correct=3))
    assert len(notes) == 1
    assert len(fields) == 4
