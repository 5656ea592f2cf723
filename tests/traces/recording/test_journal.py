import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataselect.errors import IncompleteError, InputError
from dataselect.traces.alignment import ServerToken
from dataselect.traces.recording.journal import Journal
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import Usage

WORK = {"benchmark": "stories", "asked_model": "tiny"}
WORST = Usage(100, 1000)
REPLY = Reply(
    '{"reasoning": "é\ud83d"}',
    (
        ServerToken('{"reasoning": "', None, -0.5),
        ServerToken("é", "é".encode(), -1.25),
        ServerToken("\ufffd", b"\xed\xa0", None),
        ServerToken("\ud83d", "\ud83d".encode("utf-8", "surrogatepass"), -9999.0),
    ),
    "tiny-1",
    "fp_1",
    Usage(12, 34),
    "stop",
)
REFUSED = Reply("", (), "", None, Usage(0, 0), None, "the server refused the request")


def ask(journal: Journal, item: str | None, reply: Reply = REPLY) -> None:
    journal.answered(journal.begin(item, WORST), reply)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_replies_are_read_back_unchanged(path: Path) -> None:
    with Journal(path, WORK) as journal:
        ask(journal, None)
        ask(journal, "q1", REFUSED)
        ask(journal, "q1")
        ask(journal, "q2")
        before = journal.replies
    with Journal(path, WORK) as journal:
        assert journal.replies == before == {"q1": [REFUSED, REPLY], "q2": [REPLY]}
        assert (journal.model, journal.fingerprints) == ("tiny-1", {"fp_1"})
        assert journal.used == Usage(24, 68)
        assert journal.spent == Usage(36, 102)


def test_failures_count_with_what_they_used(path: Path) -> None:
    with Journal(path, WORK) as journal:
        journal.failed(journal.begin("q1", WORST), Usage(3, 0))
    with Journal(path, WORK) as journal:
        assert (journal.spent, journal.replies) == (Usage(3, 0), {})


def test_a_request_without_an_end_counts_with_all_it_can_use(path: Path) -> None:
    with Journal(path, WORK) as journal:
        journal.begin("q1", WORST)
    with Journal(path, WORK) as journal:
        assert journal.spent == WORST
        ask(journal, "q1")
    with Journal(path, WORK) as journal:
        assert journal.spent == WORST + Usage(12, 34)


def test_a_reply_without_usage_counts_with_all_it_can_use(path: Path) -> None:
    with Journal(path, WORK) as journal:
        ask(journal, "q1", Reply("x", (), "tiny-1", None, None, "stop"))
    with Journal(path, WORK) as journal:
        assert (journal.spent, journal.used) == (WORST, Usage(0, 0))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_a_file_cut_anywhere_keeps_every_whole_line(path: Path, data: st.DataObject) -> None:
    path.unlink(missing_ok=True)
    with Journal(path, WORK) as journal:
        ask(journal, "q1")
        ask(journal, "q2")
    whole = path.read_bytes()
    size = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:size])
    kept = whole[:size].rpartition(b"\n")[0].count(b'"answered"')
    with Journal(path, WORK) as journal:
        assert len(journal.replies) == kept
        ask(journal, "q3")
    with Journal(path, WORK) as journal:
        assert journal.replies["q3"] == [REPLY]


def test_a_last_line_of_zeros_is_dropped(path: Path) -> None:
    with Journal(path, WORK) as journal:
        ask(journal, "q1")
    with path.open("ab") as file:
        file.write(b"\0" * 40 + b"\n")
    with Journal(path, WORK) as journal:
        ask(journal, "q2")
    with Journal(path, WORK) as journal:
        assert set(journal.replies) == {"q1", "q2"}


@pytest.mark.parametrize("line", [b"{torn", b"[]", b'{"answered": 99}', b'{"failed": 1}'])
def test_damage_in_the_middle_costs_that_line_alone(
    path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with Journal(path, WORK) as journal:
        ask(journal, "q1")
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line, *lines[1:]]))
    with Journal(path, WORK) as journal:
        assert journal.replies == {"q1": [REPLY]}
    assert "journal.jsonl:2: the line" in caplog.text


def test_answers_to_other_work_are_neither_used_nor_lost(path: Path) -> None:
    with Journal(path, WORK) as journal:
        ask(journal, "q1")
    before = path.read_bytes()
    with pytest.raises(InputError, match="asked_model 'tiny', now 'large'"):
        Journal(path, {**WORK, "asked_model": "large"})
    assert path.read_bytes() == before


def test_a_journal_without_answers_begins_anew_for_other_work(path: Path) -> None:
    with Journal(path, WORK) as journal:
        ask(journal, None)
        journal.begin("q1", WORST)
    with Journal(path, {**WORK, "asked_model": "large"}) as journal:
        assert (journal.model, journal.spent) == (None, Usage(0, 0))
    with Journal(path, {**WORK, "asked_model": "large"}) as journal:
        assert journal.spent == Usage(0, 0)


def test_a_full_disk_stops_the_work_and_leaves_whole_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with Journal(path, WORK) as journal:
        ask(journal, "q1")
        number = journal.begin("q2", WORST)
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
        with pytest.raises(IncompleteError, match="cannot be written"):
            journal.answered(number, REPLY)
        monkeypatch.undo()
        journal.answered(number, REPLY)
    with Journal(path, WORK) as journal:
        assert set(journal.replies) == {"q1", "q2"}


def test_a_folder_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        Journal(tmp_path / "none" / "journal.jsonl", WORK)
