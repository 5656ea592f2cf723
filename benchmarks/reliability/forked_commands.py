"""Commands of dataselect as forks of this process, which has imported what they need.

A fork is a process of its own with files, signals and descriptors as any, so that a kill ends it
as it would end the command. It saves the seconds of imports of each trial.
"""

import ast
import hashlib
import importlib
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

SIGNALS: tuple[Any, ...] = (
    ("SIGTERM", False),
    ("SIGHUP", False),
    ("SIGINT as by a terminal", True),
    ("SIGINT as by a terminal, twice", True, 0.05),
)
"""Name, whether the whole group of processes gets it, and the pause before a second one."""
_PATIENCE = 900.0
"""Seconds until a command counts as hung."""


class Running:
    """A command that runs in `folder`."""

    def __init__(
        self, command: Any, folder: Path, url: str = "", modules: Path | None = None
    ) -> None:
        self.log = folder / "log.txt"
        self._marks, theirs = os.pipe()
        self._seen: list[tuple[int, float]] = []
        self._code: int | None = None
        self.seconds = 0.0
        self.began = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.close(self._marks)
                os.chdir(folder)
                _to_log(self.log)
                words = [url if word == "URL" else word for word in command.words]
                _remember(command.pure, folder.with_name("remembered"))
                _command(words, list(command.phases.values()), theirs, modules)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)
        os.close(theirs)

    @staticmethod
    def call(work: Callable[[], object]) -> int:
        """The exit code of a fork that does this alone."""
        pid = os.fork()
        if pid == 0:
            try:
                work()
                os._exit(0)
            finally:
                os._exit(70)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def kill(self, phase: int, delay: float, choice: float) -> str | None:
        """Kill so many seconds after the phase began; whom, or None if it had ended before.

        `choice` in 0..1 draws whom.
        """
        if not self._wait(phase, delay):
            return None
        jobs = _children(self.pid)
        if jobs and choice < 1 / 4:
            with suppress(ProcessLookupError):
                os.kill(jobs[0], signal.SIGKILL)
            return "a job's process"
        whole = choice < 1 / 2
        with suppress(ProcessLookupError):
            if whole:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)
        self.wait()
        return "all processes" if whole else "the command"

    def end(self, phase: int, delay: float, choice: float) -> str | None:
        """Send a signal that a command can handle, as `kill`; which."""
        # A process that has hardly started ends by a signal as any does.
        if not self._wait_for_phase(0, started=True) or not self._wait(phase, delay):
            return None
        name, whole, *again = SIGNALS[int(choice * len(SIGNALS))]
        for pause in (0.0, *again):
            time.sleep(pause)
            with suppress(ProcessLookupError):
                (os.killpg if whole else os.kill)(self.pid, signal.Signals[name.split()[0]])
        return name

    def _wait(self, phase: int, delay: float) -> bool:
        """Wait so many seconds after the phase began; whether the command still runs then."""
        if not self._wait_for_phase(phase):
            return False
        until = time.monotonic() + delay
        while time.monotonic() < until:
            time.sleep(min(0.002, max(0.0, until - time.monotonic())))
        return not self._ended()

    def wait(self) -> int:
        """The exit code; that of SIGKILL where it is."""
        end = time.monotonic() + _PATIENCE
        while not self._ended():
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                raise RuntimeError(f"it hangs: {self.output()[-2000:]}")
            if not self._read_marks(0.02):
                time.sleep(0.01)  # also where the marks have come to their end
        self._read_marks(0.0)
        assert self._code is not None
        return self._code

    def output(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def phase_times(self) -> list[float]:
        """When each phase began, in seconds from the start. Call it after the end."""
        return [0.0, *(at for number, at in self._seen if number)]

    def _ended(self) -> bool:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
                self.seconds = time.monotonic() - self.began
        return self._code is not None

    def _wait_for_phase(self, phase: int, started: bool = False) -> bool:
        while (phase or started) and not any(number == phase for number, _ in self._seen):
            if not self._read_marks(0.5) and self._ended():
                return any(number == phase for number, _ in self._seen)
        return True

    def _read_marks(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._marks], [], [], seconds)
        data = os.read(self._marks, 100) if ready else b""
        self._seen += [(number, time.monotonic() - self.began) for number in data]
        return bool(data)


class Server:
    """The server that `traces build` asks, in a process of its own; `with` gives its address."""

    def __init__(self, needed: bool) -> None:
        self._needed, self._pid = needed, 0

    def __enter__(self) -> str:
        if not self._needed:
            return ""
        ours, theirs = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                from completions_server import CompletionsServer

                with CompletionsServer(lambda q: (f"We add: {q}", "it"), delay=0.03) as server:
                    os.write(theirs, server.url.encode())
                    os.close(theirs)
                    time.sleep(1e6)
            finally:
                os._exit(70)
        os.close(theirs)
        return os.read(ours, 1000).decode()

    def __exit__(self, *error: object) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def preload(command: Any, inputs: Path, url: str) -> None:
    """Import here all that the command imports."""
    import shutil

    folder = inputs.with_name("preload")
    shutil.copytree(inputs, folder)
    listed = folder.with_suffix(".modules")
    running = Running(command, folder, url, listed)
    if running.wait() != 0:
        raise RuntimeError(f"{command.name}: {running.output()[-3000:]}")
    for name in dict.fromkeys(listed.read_text().split()):
        with suppress(Exception):
            importlib.import_module(name)
    shutil.rmtree(folder)


def _command(words: list[str], phases: list[str], marks: int, modules: Path | None) -> None:
    """In the fork: run the command and exit; tell by `marks` when a phase begins."""
    os.environ |= {"OPENAI_API_KEY": "sk-none", "NO_PROXY": "127.0.0.1"}
    for number, place in enumerate(phases):
        if place:
            _mark(place, number, marks)
    _fork_workers(modules)
    _one_day()
    # A process in the background of a shell script ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["dataselect", *words]
    from dataselect import cli

    real = cli.end_as_by_ctrl_c

    def handled() -> None:
        real()
        os.write(marks, bytes([0]))

    cli.end_as_by_ctrl_c = handled
    from dataselect.cli import main

    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    _list_modules(modules)
    # Not by `sys.exit`: what this process would clean up is its parent's.
    os._exit(code if isinstance(code, int) else 1)


def _mark(place: str, number: int, marks: int) -> None:
    module, _, path = place.partition(":")
    *outer, name = path.split(".")
    holder: Any = importlib.import_module(module)
    for each in outer:
        holder = getattr(holder, each)
    real, told = getattr(holder, name), []

    def told_first(*given: Any, **named: Any) -> Any:
        if not told:
            told.append(True)
            os.write(marks, bytes([number]))
        return real(*given, **named)

    setattr(holder, name, told_first)


def _list_modules(path: Path | None) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n".join(sys.modules) + "\n")


def _fork_workers(modules: Path | None) -> None:
    """Let the processes of jobs be forks too, in place of new interpreters."""
    from dataselect.compute import worker_process

    class Forked:
        def __init__(
            self, words: list[str], *, env: Any, stdout: Any, pass_fds: Any, **_: Any
        ) -> None:
            self.returncode: int | None = None
            self.pid = os.fork()
            if self.pid == 0:
                try:
                    os.dup2(stdout.fileno(), 1)
                    os.dup2(stdout.fileno(), 2)
                    kept = sorted(pass_fds)
                    for low, high in zip([2, *kept], [*kept, 4096], strict=True):
                        os.closerange(low + 1, high)
                    os.environ.update(env)
                    from dataselect.compute import worker

                    serve = worker._serve

                    def listing(*given: Any) -> None:
                        serve(*given)
                        _list_modules(modules)

                    worker._serve = listing
                    worker.main(*ast.literal_eval("(" + words[-1].rpartition("main(")[2]))
                    os._exit(0)
                finally:
                    os._exit(70)

        def kill(self) -> None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    class Module:
        Popen, DEVNULL, STDOUT = Forked, -3, -2

    worker_process.subprocess = Module  # type: ignore[attr-defined]


def _remember(places: Sequence[str], folder: Path) -> None:
    """Let functions, "module:name", compute the same once for all forks: pure ones that take long.

    They write nothing, so a kill within them tells least.
    """
    for place in places:
        module, _, name = place.partition(":")
        holder = importlib.import_module(module)
        setattr(holder, name, partial(_remembered, folder, getattr(holder, name)))


def _remembered(folder: Path, real: Callable[..., Any], *given: Any, **named: Any) -> Any:
    asked = pickle.dumps((real.__qualname__, given, named))
    path = folder / hashlib.sha256(asked).hexdigest()
    if path.exists():
        return pickle.loads(path.read_bytes())
    found = real(*given, **named)
    folder.mkdir(exist_ok=True)
    temporary = path.with_name(f"{path.name}-{os.getpid()}")
    temporary.write_bytes(pickle.dumps(found))
    temporary.replace(path)
    return found


def _one_day() -> None:
    """Traces have the day of their making: let midnight not come."""
    from datetime import UTC, datetime

    from dataselect.cli import traces

    class Fixed(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "datetime":
            return datetime(2026, 1, 2, 12, tzinfo=tz or UTC)

    traces.datetime = Fixed  # type: ignore[misc]


def _to_log(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
