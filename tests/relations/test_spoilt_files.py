"""Each kind of file that is read back, spoilt in six ways: found, or nothing is different.

What the package made itself never blocks a run: it is left out or made again, with the same content
as before. What a user gives is refused in one line. benchmarks/reliability/spoilt_files.py does the
same with many more drawn bits.
"""

import random
import shutil
from pathlib import Path

import pytest
from spoilt_files import (
    DAMAGES,
    FOUND,
    KINDS,
    UNCHANGED,
    WORK,
    Kind,
    Whole,
    judge,
    make_whole,
    spoil,
)

from dataselect.traces.recording.journal import Journal


@pytest.fixture(name="whole", scope="module")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Whole]":
    return {kind.name: make_whole(kind, tmp_path_factory.mktemp("whole")) for kind in KINDS}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_spoilt_is_found_and_nothing_of_ours_blocks(
    kind: Kind, how: str, whole: "dict[str, Whole]", tmp_path: Path
) -> None:
    made = whole[kind.name]
    folder = shutil.copytree(made.folder, tmp_path / "copy")
    spoil(folder / made.path, how, random.Random(f"{kind.name} {how}"))
    outcome = judge(kind, folder, folder / made.path, made.read)
    assert outcome.kind in (FOUND, UNCHANGED), outcome.text


@pytest.mark.parametrize("line", range(2, 14))
def test_a_spoilt_line_of_the_paid_journal_costs_one_reply_at_most(
    line: int, whole: "dict[str, Whole]", tmp_path: Path
) -> None:
    made = whole["journal of paid replies"]
    path = tmp_path / "journal.jsonl"
    lines = (made.folder / made.path).read_bytes().split(b"\n")
    assert b'"request"' in lines[2]
    spoilt = bytearray(lines[line])
    spoilt[len(spoilt) // 3] ^= 1
    path.write_bytes(b"\n".join([*lines[:line], bytes(spoilt), *lines[line + 1 :]]))
    with Journal(path, WORK) as journal:
        lost = b'"answered"' in lines[line]
        assert len(journal.replies) == (5 if lost else 6)
        # A reply that is lost has been paid for, and counts with the most that it can have cost.
        assert journal.spent.completion_tokens >= sum(range(20, 26))


def test_either_copy_of_the_first_line_is_enough(whole: "dict[str, Whole]", tmp_path: Path) -> None:
    made = whole["journal of paid replies"]
    data = (made.folder / made.path).read_bytes()
    first, second, rest = data.split(b"\n", 2)
    for number, lines in enumerate(([b"\0" * len(first), second], [first, b"x"])):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(b"\n".join([*lines, rest]))
        with Journal(path, WORK) as journal:
            assert len(journal.replies) == 6
