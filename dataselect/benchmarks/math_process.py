"""The process in which math_verify compares answers; `math_answers` starts and replaces it.

It answers each line of JSON with one line. A comparison that takes too long ends the process by
an unhandled alarm, which also works inside a C library and after the parent has ended.
math_verify's own alarms are therefore off.
"""

import json
import logging
import os
import re
import resource
import signal
import sys
from contextlib import suppress

_START_SECONDS = 120.0
_MEMORY_BYTES = 4 << 30

# Plain-text forms of LaTeX commands, as models write them.
_PLAIN_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])")
_PLAIN_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+|[A-Za-z]))")
_DOLLARS = re.compile(r"^\s*(\$+|\\\(|\\\[)(.*?)(\$+|\\\)|\\\])\s*$", re.DOTALL)


def main(seconds: float) -> None:
    """Serve {"gold", "answer"} lines until stdin ends; first write {"ready"} or {"problem"}."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Output of the libraries must not mix with the replies.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)

    def reply(message: dict[str, object]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _START_SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    try:
        import math_verify  # noqa: F401
    except Exception as error:
        reply({"problem": f"{type(error).__name__}: {error}"})
        return
    logging.disable()
    signal.setitimer(signal.ITIMER_REAL, 0)
    reply({"ready": True})
    for line in sys.stdin:
        pair = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        same = same_answer(pair["gold"], pair["answer"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        reply({"same": same})


def same_answer(gold: str, answer: str) -> bool:
    """Whether two bare LaTeX answers are equal by math_verify; without a time limit."""
    from math_verify import parse, verify

    # math_verify reads bare LaTeX only in a box; in running text it finds only numbers.
    gold_parsed, answer_parsed = (
        parse(rf"\boxed{{{_as_latex(text)}}}", parsing_timeout=None) for text in (gold, answer)
    )
    return bool(verify(gold_parsed, answer_parsed, timeout_seconds=None))


def _as_latex(text: str) -> str:
    text = text.strip().removesuffix(".").strip()
    wrapped = _DOLLARS.match(text)
    if wrapped and "$" not in wrapped.group(2):
        text = wrapped.group(2).strip().removesuffix(".").strip()
    text = _PLAIN_PI.sub(r"\\pi", text)
    return _PLAIN_ROOT.sub(lambda match: rf"\sqrt{{{match.group(1) or match.group(2)}}}", text)
