"""The child's side of `processes`: take a job, do it, send what happened, wait for the next.

It outlives its jobs, because importing torch costs seconds, but never its parent: a thread
watches the parent and ends the process at once, in the middle of a job too. That is safe since
results appear by rename only. Ctrl-C reaches the whole foreground group; here it is ignored and
the parent decides.

Messages to the parent: ("begun", None), ("progress", fields) and ("end", Attempt), whose result
is pickled apart so that a result the parent cannot read costs that job only.
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

from dataselect.compute.attempt import attempt
from dataselect.compute.jobs import plain_fields


def main(connection_number: int, lifeline: int, parent: int) -> None:
    """Serve jobs until the parent closes the connection or ends.

    The numbers are inherited file descriptors; nobody writes to `lifeline`, its end of file
    means that the parent is gone. `parent` is the parent's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A native crash then leaves a stack in the output that the parent shows.
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
            _serve(connection, payload)


def _end_with(lifeline: int, parent: int) -> None:
    # A process that the parent forked may hold a copy of the lifeline's other end, so the
    # parent's id is looked at too.
    ended: list[int] = []
    while not ended and os.getppid() == parent:
        ended, _, _ = select.select([lifeline], [], [], 1.0)
    os._exit(1)


def _serve(connection: "Connection[Any, Any]", payload: bytes) -> None:
    sender = _Sender(connection)

    def work() -> bytes:
        function, arguments = pickle.loads(payload)  # noqa: S301 (from our parent)
        return pickle.dumps(function(progress=sender.progress, **arguments))

    made = attempt(work)
    sender.end(made)


class _Sender:
    """Sends for one job; a thread that the job left behind cannot speak after its end."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._open = True

    def progress(self, fields: Mapping[str, Any]) -> None:
        message = ("progress", plain_fields(fields))
        with self._lock:
            if self._open:
                self._connection.send(message)

    def end(self, made: object) -> None:
        with self._lock:
            self._open = False
            self._connection.send(("end", made))
