import logging

from dataselect.scoring.remarks import Remarks, not_among

LOG = logging.getLogger("dataselect")


def test_what_is_said_and_warned_of_inside_is_kept_once() -> None:
    shown: list[str] = []
    with Remarks(shown.append) as remarks:
        remarks.add("sums: no examples")
        LOG.warning("%s: 2 items have no trace", "t.jsonl")
        LOG.warning("%s: 2 items have no trace", "t.jsonl")
        LOG.info("nothing of note")
    LOG.warning("afterwards")
    assert remarks.all == ("sums: no examples", "t.jsonl: 2 items have no trace")
    assert remarks.of("sums") == ("no examples", "t.jsonl: 2 items have no trace")
    # Warnings are shown by whoever shows logs.
    assert shown == ["sums: no examples"]


def test_contexts_within_each_other_both_keep_a_warning() -> None:
    with Remarks() as outer, Remarks() as inner:
        LOG.warning("lost")
    assert outer.all == inner.all == ("lost",)
    assert not_among(outer.all, ["sums: lost and found"]) == []
    assert not_among(outer.all, ["sums: found"]) == ["lost"]
