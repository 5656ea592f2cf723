"""The child's side of `processes`: receive a job, run it, send the result, wait for the next.

It outlives its jobs, because importing torch takes seconds, but never its parent: a thread watches
the parent and ends the process with it, even during a job. That is safe because results are
published by rename. Ctrl-C reaches the whole foreground group; the worker ignores it and the parent
decides.

Messages to the parent: ("begun", None), ("progress", fields), every few seconds of a job ("alive",
None), and ("end", Attempt). The result in the attempt is pickled separately, so that a result that
the parent cannot unpickle fails only that job.
"""

import faulthandler
import os
import pickle
import select
import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from dataselect.compute.attempt import Attempt, attempt
from dataselect.compute.jobs import plain_fields


def main(connection_number: int, lifeline: int, parent: int, beat: float) -> None:
    """Serve jobs until the parent closes the connection or ends.

    `connection_number` and `lifeline` are inherited file descriptors; nobody writes to `lifeline`,
    and its end of file means that the parent has ended. `parent` is the parent's process id, and
    `beat` the seconds between two signs of life.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A native crash then prints a stack to the output, which the parent shows.
    faulthandler.enable()
    for descriptor in (connection_number, lifeline):
        os.set_inheritable(descriptor, False)
    threading.Thread(target=_end_with, args=(lifeline, parent), daemon=True).start()
    with Connection(connection_number) as connection:
        while True:
            try:
                payload = connection.recv_bytes()
            except (EOFError, ConnectionError):
                return
            connection.send(("begun", None))
            _serve(connection, payload, beat)


def _end_with(lifeline: int, parent: int) -> None:
    # A process that the parent forked may hold a copy of the lifeline's other end, so check the
    # parent's id as well.
    ended: list[int] = []
    while not ended and os.getppid() == parent:
        ended, _, _ = select.select([lifeline], [], [], 1.0)
    os._exit(1)


def _serve(connection: "Connection[Any, Any]", payload: bytes, beat: float) -> None:
    sender = _Sender(connection)

    def work() -> bytes:
        function, arguments = pickle.loads(payload)  # noqa: S301 (from our parent)
        return pickle.dumps(function(progress=sender.progress, **arguments))

    over = threading.Event()
    threading.Thread(target=_beat, args=(sender, over, beat), daemon=True).start()
    try:
        ended = attempt(work)
    finally:
        over.set()
    sender.end(ended)


def _beat(sender: "_Sender", over: threading.Event, seconds: float) -> None:
    while not over.wait(seconds):
        try:
            sender.alive()
        except OSError:
            return  # the parent has ended


class _Sender:
    """Sends the messages of one job; a thread that outlives the job can send none after its end."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._open = True

    def progress(self, fields: Mapping[str, Any]) -> None:
        message = ("progress", plain_fields(fields))
        with self._lock:
            if self._open:
                self._connection.send(message)

    def alive(self) -> None:
        with self._lock:
            if self._open:
                self._connection.send(("alive", None))

    def end(self, result: Attempt) -> None:
        with self._lock:
            self._open = False
            self._connection.send(("end", result))
