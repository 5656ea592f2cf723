r"""Whether two mathematical answers are equal: "\frac{1}{2}" and "0.5" are.

math_verify (github.com/huggingface/Math-Verify) decides in a separate process, because a short
answer such as 9^{9^{9^{9}}} can exhaust time and memory. One process serves many pairs; a pair
that makes it hang or crash has no result, and the next pair gets a new process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from dataselect.errors import InputError

_LONGEST = 1000


def same_answers(pairs: Sequence[tuple[str, str]], *, seconds: float = 5.0) -> list[bool | None]:
    """Whether gold and answer are equal, for each (gold, answer) pair of bare LaTeX.

    None means unknown: an answer has more than 1,000 characters, or the comparison took more than
    `seconds` or crashed. Raises InputError when math_verify cannot be loaded.
    """
    results: list[bool | None] = []
    process: _Process | None = None
    try:
        for gold, answer in pairs:
            if max(len(gold), len(answer)) > _LONGEST:
                results.append(None)
                continue
            process = process or _Process(seconds)
            result = process.ask(gold, answer)
            if result is None:
                process.close()
                process = None
            results.append(result)
    finally:
        if process is not None:
            process.close()
    return results


class _Process:
    """One running `math_process`."""

    def __init__(self, seconds: float) -> None:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from dataselect.benchmarks.math_process import main; main({seconds!r})"
        )
        # A fixed seed, since sympy's simplifications can depend on the order of its sets.
        kept = {
            name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
        }
        self._process = subprocess.Popen(  # noqa: S603 (this same interpreter)
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, "PYTHONHASHSEED": "0"},
            # Ctrl-C goes to the parent only, which then ends this process.
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        try:
            first = self._reply() or {"problem": "its process ended at once"}
        except BaseException:
            self.close()
            raise
        if "problem" in first:
            self.close()
            raise InputError(
                "mathematical answers",
                f"math_verify cannot be loaded ({first['problem']})",
                "pip install 'math-verify[antlr4_13_2]'",
            )

    def ask(self, gold: str, answer: str) -> bool | None:
        """Whether they are equal; None when the process has died of the pair."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"gold": gold, "answer": answer}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        reply = self._reply()
        return None if reply is None else bool(reply["same"])

    def close(self) -> None:
        self._process.kill()
        # Closing stdin flushes a pair that the dead process did not read.
        with suppress(BrokenPipeError), self._process:
            pass

    def _reply(self) -> dict[str, object] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return dict(json.loads(line)) if line.endswith("\n") else None
