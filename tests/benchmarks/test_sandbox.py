import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataselect.benchmarks import sandbox
from dataselect.benchmarks.sandbox import Program, Verdict, isolation_problem, run_programs
from dataselect.errors import InputError

HUMANEVAL = Path(__file__).parents[3] / "shared" / "data" / "benchmarks" / "humaneval.test.jsonl"
CHECK = "def check(candidate):\n    assert candidate() == 1\n"
RIGHT = "def f():\n    return 1\n"

isolated = pytest.mark.skipif(
    isolation_problem() is not None, reason=f"no isolation here: {isolation_problem()}"
)


def judge(code: str, *, test: str = CHECK, seconds: float = 5.0, unsafe: bool = False) -> Verdict:
    [verdict] = run_programs([Program(code, test, "f")], seconds=seconds, unsafe=unsafe)
    return verdict


def processes_with(marker: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker in (folder / "comm").read_text():
                found.append(folder.name)
    return found


@pytest.fixture
def without_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "isolation_problem", lambda: "unshare: not permitted")


@isolated
@pytest.mark.skipif(not HUMANEVAL.exists(), reason="the benchmark file is not here")
def test_every_canonical_solution_of_humaneval_passes() -> None:
    records = [json.loads(line) for line in HUMANEVAL.read_text().splitlines()]
    programs = [
        Program(
            record["question"] + record["answer"],
            record["meta"]["test"],
            record["meta"]["entry_point"],
        )
        for record in records
    ]
    verdicts = run_programs(programs, seconds=30)
    failed = {
        record["id"]: verdict.reason
        for record, verdict in zip(records, verdicts, strict=True)
        if not verdict.passed
    }
    assert len(verdicts) == 164
    assert failed == {}


@isolated
def test_a_wrong_answer_fails_with_its_reason() -> None:
    assert judge(RIGHT) == Verdict(True)
    assert judge("def f():\n    return 2\n") == Verdict(False, "AssertionError")
    assert judge("def f(:\n").reason.startswith("SyntaxError")
    assert judge("g = 1\n").reason == "KeyError: 'f'"
    assert judge("x = '\ud800'\n").reason.startswith("UnicodeEncodeError")


@isolated
def test_verdicts_are_in_the_order_of_the_programs() -> None:
    codes = ["import time; time.sleep(0.3)\n" + RIGHT, "", RIGHT, "", RIGHT]
    verdicts = run_programs([Program(code, CHECK, "f") for code in codes])
    assert [verdict.passed for verdict in verdicts] == [True, False, True, False, True]


@isolated
@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit",
        "def f():\n    raise SystemExit(0)",
        "def f():\n    import os\n    os._exit(0)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal\nos.killpg(0, signal.SIGKILL)",
        "import os, signal\nos.kill(-1, signal.SIGKILL)\nos._exit(0)",
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(0)",
        "import os, signal\nos.kill(os.getppid(), signal.SIGINT)\nos._exit(0)",
        "import os\nos.closerange(0, 256)\ndef f(): return 1",
        "import os\nfor number in range(3, 64):\n"
        "    try: os.write(number, b'{\"passed\": true}')\n    except OSError: pass\nos._exit(0)",
        "import builtins\nbuiltins.AssertionError = SystemExit\ndef f(): return 2",
        "def check(candidate): pass\ndef f(): return 2",
        "import os\nif os.fork() == 0: raise ValueError\nos._exit(0)",
    ],
)
def test_ending_early_or_forging_a_pass_is_no_proof(code: str) -> None:
    assert not judge(code + "\n", seconds=2).passed


@isolated
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import signal\nfor s in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):\n"
        "    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
        "time.sleep(60)",
    ],
)
def test_an_endless_program_is_killed_at_its_time_limit(code: str) -> None:
    started = time.monotonic()
    assert judge(code + "\n", seconds=0.5) == Verdict(False, "it took longer than 0.5 s")
    assert time.monotonic() - started < 10


@isolated
def test_a_fork_bomb_ends_and_leaves_nothing_running() -> None:
    marker = "bomb" + secrets.token_hex(4)
    # A process's name cannot be longer than 15 letters; forked processes keep it.
    code = (
        "import ctypes, os\n"
        f"assert ctypes.CDLL(None).prctl(15, b'{marker}', 0, 0, 0) == 0\n"
        "if os.fork() == 0: os.setsid()\n"
        "while True:\n    try: os.fork()\n    except OSError: pass\n"
    )
    most = 0
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from dataselect.benchmarks.sandbox import *\n"
            f"print(run_programs([Program({code!r}, '', 'f')], seconds=1.5)[0].passed)",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    while child.poll() is None:
        most = max(most, len(processes_with(marker)))
        time.sleep(0.05)
    output, _ = child.communicate()
    assert output == "False\n"
    assert 1 < most <= 32
    assert processes_with(marker) == []


@isolated
def test_a_process_left_behind_is_gone_with_the_program() -> None:
    marker = "left" + secrets.token_hex(4)
    code = (
        "import ctypes, os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    ctypes.CDLL(None).prctl(15, b'{marker}', 0, 0, 0)\n"
        "    time.sleep(60)\n" + RIGHT
    )
    assert judge(code).passed
    assert processes_with(marker) == []


@isolated
def test_killing_the_parent_ends_the_program() -> None:
    marker = "gone" + secrets.token_hex(4)
    code = (
        f"import ctypes, time\nctypes.CDLL(None).prctl(15, b'{marker}', 0, 0, 0)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from dataselect.benchmarks.sandbox import *\n"
            f"run_programs([Program({code!r}, '', 'f')], seconds=60)",
        ],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    wait_for(lambda: len(processes_with(marker)) == 1)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: processes_with(marker) == [])


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def call(server: socket.socket) -> str:
    address = server.getsockname()
    return f"import socket\nsocket.create_connection({address!r}, 2).close()\n{RIGHT}"


@isolated
def test_there_is_no_network(server: socket.socket) -> None:
    verdict = judge(call(server))
    assert verdict.reason == "OSError: [Errno 101] Network is unreachable"
    with pytest.raises(BlockingIOError):
        server.accept()


@isolated
def test_the_users_files_cannot_be_seen_and_the_systems_not_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    folders = [str(Path.home()), str(tmp_path), "/etc", "/proc", "/root", "/home", "/var"]
    # A home that contains the Python installation shows nothing else.
    code = (
        "import os, sys\n"
        f"for folder in {folders!r}:\n"
        "    if os.path.isdir(folder) and not sys.base_prefix.startswith(folder):\n"
        "        raise ValueError(folder)\n"
        f"assert not os.path.exists({str(secret)!r})\n"
        "refused = 0\n"
        "for path in ('/usr/x', sys.base_prefix + '/x', '/x', '/dev/x', os.__file__):\n"
        "    try:\n        open(path, 'a')\n"
        "    except OSError:\n        refused += 1\n"
        "def f():\n    return refused\n"
    )
    assert judge(code, test="def check(f): assert f() == 5, f()\n") == Verdict(True)


@isolated
def test_the_environment_is_empty_and_the_scratch_folder_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    code = (
        "import os, tempfile\n"
        "with tempfile.NamedTemporaryFile('w+') as file:\n"
        "    file.write('a'); file.seek(0); read = file.read()\n"
        "def f():\n    return (dict(os.environ), os.listdir('.'), read)\n"
    )
    expected = "def check(f): assert f() == ({}, [], 'a'), f()\n"
    assert judge(code, test=expected) == Verdict(True)


@isolated
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = bytearray(2 << 30)", "MemoryError"),
        ("x = []\nwhile True: x.append(bytes(1 << 20))", "MemoryError"),
        ("with open('big', 'wb') as file: file.write(bytes(17 << 20))", "OSError: [Errno 27]"),
        (
            "for i in range(10):\n    with open(str(i), 'wb') as file: file.write(bytes(15 << 20))",
            "OSError: [Errno 28]",
        ),
        ("for i in range(2000): open(str(i), 'w').close()", "OSError: [Errno 28]"),
        ("files = [open('a', 'w') for _ in range(100)]", "OSError: [Errno 24]"),
        ("import os\nos.setuid(0)", "PermissionError"),
        ("import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0", "AssertionError"),
    ],
)
def test_limits_are_enforced_and_privileges_are_gone(code: str, reason: str) -> None:
    assert judge(code + "\n" + RIGHT).reason.startswith(reason)


@isolated
def test_the_host_is_out_of_reach_by_other_ways_too() -> None:
    """Abstract sockets, shared memory, signals, mounts, roots and names of the host."""
    libc = ctypes.CDLL(None)
    name, key = f"probe-{secrets.token_hex(8)}", secrets.randbelow(1 << 30) + 1
    memory = libc.shmget(key, 4096, 0o1666)
    assert memory >= 0
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        code = (
            "import ctypes, os, socket\n"
            "libc = ctypes.CDLL(None)\n"
            "reached = {'etc', 'proc', 'sys', 'tmp', 'run', 'var'} & set(os.listdir('/'))\n"
            "tries = [\n"
            f"    lambda: socket.socket(socket.AF_UNIX).connect('\\0{name}'),\n"
            f"    lambda: os.kill({os.getpid()}, 0) if {os.getpid()} > 3 else 1 / 0,\n"
            "    lambda: os.chroot('/usr'),\n"
            "    lambda: os.mknod('x', 0o20666, os.makedev(1, 1)),\n"
            "    lambda: os.open('/dev/mem', os.O_RDONLY),\n"
            "    lambda: socket.sethostname('x'),\n"
            "]\n"
            "for number, attempt in enumerate(tries):\n"
            "    try:\n        attempt()\n        reached.add(number)\n"
            "    except OSError:\n        pass\n"
            f"if libc.shmget({key}, 4096, 0) >= 0: reached.add('memory')\n"
            "if libc.mount(b'none', b'/scratch', b'tmpfs', 0, None) == 0: reached.add('mount')\n"
            f"if libc.ptrace(16, {os.getppid()}, 0, 0) == 0: reached.add('trace')\n"
            "def f():\n    return reached\n"
        )
        try:
            verdict = judge(code, test="def check(f): assert f() == set(), f()\n")
        finally:
            libc.shmctl(memory, 0, None)
    assert verdict == Verdict(True)


@isolated
def test_printing_without_end_costs_no_memory_and_no_pass() -> None:
    code = "import sys\nprint('x' * (50 << 20))\nprint('y', file=sys.stderr)\n"
    assert judge(code + RIGHT).passed
    assert not judge(code + "while True: print('x')\n", seconds=0.5).passed


@isolated
def test_sets_iterate_alike_in_every_run() -> None:
    codes = ["def f():\n    raise ValueError(list({'a', 'b', 'c', 'd', 'e'}))\n"] * 4
    verdicts = run_programs([Program(code, CHECK, "f") for code in codes])
    assert len({verdict.reason for verdict in verdicts}) == 1


def test_without_isolation_nothing_is_run(without_isolation: None, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    code = f"open({str(touched)!r}, 'w').close()\n" + RIGHT
    with pytest.raises(InputError, match=r"not permitted.*--confirm-run-unsafe-code"):
        judge(code)
    assert not touched.exists()


def test_without_isolation_the_risk_can_be_taken(without_isolation: None) -> None:
    assert judge(RIGHT, unsafe=True) == Verdict(True)
    assert judge("def f(): return 2\n", unsafe=True) == Verdict(False, "AssertionError")
    assert not judge("import os\nos._exit(0)\n", unsafe=True).passed
    assert not judge("import os, signal\nos.killpg(0, signal.SIGKILL)\n", unsafe=True).passed
    code = "import os\nfolder = os.getcwd()\ndef f(): return os.listdir('.') + list(os.environ)\n"
    assert judge(code, test="def check(f): assert f() == []\n", unsafe=True) == Verdict(True)


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_without_isolation_an_endless_program_and_its_children_are_killed(
    without_isolation: None,
) -> None:
    marker = "left" + secrets.token_hex(4)
    code = (
        "import ctypes, os\n"
        f"ctypes.CDLL(None).prctl(15, b'{marker}', 0, 0, 0)\n"
        "os.fork()\nwhile True: pass\n"
    )
    assert judge(code, seconds=0.5, unsafe=True).reason == "it took longer than 0.5 s"
    wait_for(lambda: processes_with(marker) == [])


def wait_for(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
