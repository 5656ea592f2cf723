"""A server that is not ours, in an environment of its own, on loopback.

None of the servers is among our dependencies: they are large or compiled on installation, and only
these checks need them.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_START_SECONDS = 600.0


@dataclass(frozen=True)
class Server:
    """How a kind of server is installed and started."""

    name: str
    """Its name in file names."""

    packages: tuple[str, ...]
    """What pip installs, with versions."""

    shown: tuple[str, ...]
    """The distributions whose versions are recorded."""

    removed: tuple[str, ...] = ()
    """What is taken out again."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for installing and running it."""

    ready: str = "/v1/models"
    """The path that answers as soon as the server works."""


def environment(server: Server, work: Path) -> Path:
    """The interpreter of the server's virtual environment, made if it is not there."""
    folder = (work / f"{server.name}-environment").resolve()
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", *server.packages]
        subprocess.run(command, check=True, env=os.environ | dict(server.variables))
        if server.removed:
            command = [str(python), "-m", "pip", "uninstall", "-y", *server.removed]
            subprocess.run(command, check=True)
        (folder / "done").touch()
    return python


def versions(server: Server, python: Path) -> dict[str, str]:
    """Versions of the server and of what matters beside it."""
    code = (
        "import json, sys, importlib.metadata as m;"
        "print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    )
    command = [str(python), "-c", code, *server.shown]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(output.stdout)
    return found


@contextmanager
def serving(server: Server, python: Path, arguments: Sequence[str], log: Path) -> Iterator[str]:
    """Run the server on loopback; gives its address, and ends it afterwards.

    `arguments` follow the interpreter; PORT in them is the port. Raises RuntimeError when it does
    not answer within ten minutes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # Servers read settings from the environment too, by names as common as MODEL and SEED.
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    variables = {**kept, "HF_HUB_OFFLINE": "1", **server.variables}
    variables["PATH"] = f"{python.parent}:{variables.get('PATH', '')}"
    command = [str(python), *(each.replace("PORT", port) for each in arguments)]
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=variables, start_new_session=True
        )
    try:
        _wait_for(f"{address}{server.ready}", process, log)
        yield address
    finally:
        process.terminate()
        process.wait()


def call(url: str, body: Any = None) -> Any:
    """The JSON that a server answers, to a POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            call(url)
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"the server does not start; see {log}")
