import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from dataselect.benchmarks import math_answers
from dataselect.benchmarks.math_answers import same_answers
from dataselect.errors import InputError

MATH500 = Path(__file__).parents[3] / "shared" / "data" / "benchmarks" / "math500.test.jsonl"


@pytest.mark.skipif(not MATH500.exists(), reason="the benchmark file is not here")
def test_every_answer_of_math500_is_the_same_as_itself() -> None:
    answers = [json.loads(line)["answer"] for line in MATH500.read_text().splitlines()]
    assert len(answers) == 500
    results = same_answers([(answer, answer) for answer in answers], seconds=60)
    assert [answer for answer, same in zip(answers, results, strict=True) if not same] == []


def test_answers_are_compared_by_value(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    write = f"open({str(mark)!r}, 'w')"
    same = [
        (r"\frac{1}{2}", "0.5"),
        (r"\frac{1}{2}", "1/2"),
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt 2}"),
        (r"\left( 3, \frac{\pi}{2} \right)", "(3, pi/2)"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"$(3, \tfrac{\pi}{2})$."),
        (r"3\sqrt{13}", "3√13"),
        (r"\text{Evelyn}", "Evelyn"),
        ("p - q", "-q + p"),
        ("6 + 9i", "9i+6"),
        ("2, 3", "3,2"),
        ("5", "x = 5"),
        ("5", r"\(5\)"),
        ("10080", "10,080"),
        ("70", r"70^\circ"),
    ]
    different = [
        ("p - q", "q - p"),
        ("(1, 2)", "(2, 1)"),
        (r"\frac{1}{2}", "2"),
        ("5", ""),
        ("5", "pin"),
        ("5", "{5"),
        ("5", "}{"),
        ("5", "\\"),
        ("5", "\x00\ud800\n"),
        ("1", '__import__("os").getpid()'),
        # sympy's parser evaluates what it is given; an answer reaches it as digits alone.
        *(("x^9", text) for text in (write, f"2 + {write}", f"answer: 1+{write}", f"${write}$")),
    ]
    results = same_answers([*same, *different], seconds=60)
    assert results == [True] * len(same) + [False] * len(different)
    assert not mark.exists()


def test_a_comparison_that_hangs_times_out_and_the_next_one_works() -> None:
    started = time.monotonic()
    pairs = [("9^{9^{9^{9}}}", "9^{9^{9^{8}}}"), ("2", "2"), ("5", "9" * 100_000), ("2", "3")]
    assert same_answers(pairs, seconds=1.0) == [None, True, None, False]
    assert time.monotonic() - started < 60


def test_a_process_that_crashes_costs_its_pair_only(monkeypatch: pytest.MonkeyPatch) -> None:
    original = math_answers._Process.ask

    def ask(process: math_answers._Process, gold: str, answer: str) -> bool | None:
        if answer == "crash":
            os.kill(process._process.pid, signal.SIGKILL)
            # Dead before the question is sent: the pipe is broken then, every time.
            process._process.wait()
        return original(process, gold, answer)

    monkeypatch.setattr(math_answers._Process, "ask", ask)
    assert same_answers([("1", "crash"), ("1", "1")]) == [None, True]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('it is broken')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(InputError, match=r"it is broken.*pip install"):
        same_answers([("1", "1")])


def test_no_process_is_started_without_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert same_answers([]) == []
