"""Promises of SECURITY.md that no other test keeps."""

import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest
from local_server import LocalServer
from typer.testing import CliRunner

from dataselect.checkup.server import _probed
from dataselect.cli import app
from dataselect.traces.recording.endpoint import Endpoint

ROOT = Path(__file__).parents[1]


def test_a_manifest_is_looked_at_without_running_its_commands(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    train = f"{{train: {{command: 'touch {mark} {{output}}', tokens: 1k}}}}"
    proxies = f"{{screen: {train}, predict: {train}}}"
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "target: {size: 32B, tokens: 6T}\nplan: quickstart\ncandidates:\n"
        f"  - {{id: a, proxies: {proxies}}}\n  - {{id: b, proxies: {proxies}}}\n"
    )
    for command in ("validate", "plan"):
        done = CliRunner().invoke(app, [command, str(manifest)])
        assert done.exit_code == 0, done.output
    assert not mark.exists()


class Moved(BaseHTTPRequestHandler):
    """Sends whoever asks to another server."""

    to = ""
    keys: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.keys.append(self.headers["Authorization"])
        self.send_response(307)
        self.send_header("Location", f"{self.to}/chat/completions")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Elsewhere(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self.seen.append(f"{self.headers}{body}")
        self.send_error(400)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_cannot_send_the_key_on_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-a-planted-key-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with LocalServer(Elsewhere) as other, LocalServer(Moved) as first:
        Moved.to = other.url
        _probed(Endpoint("m", first.url, timeout_seconds=5, attempts=1))
    assert Moved.keys
    assert Moved.keys[0] == f"Bearer {key}"
    # It does get the question; who names a server trusts it with that.
    assert Elsewhere.seen
    assert not any(key in text for text in Elsewhere.seen)


def test_every_test_that_the_promises_name_is_there() -> None:
    named = set(re.findall(r"`(tests/\S+\.py|test_\w+)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 30
    sources = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    tests = {name for text in sources.values() for name in re.findall(r"def (test_\w+)\(", text)}
    files = {path.relative_to(ROOT).as_posix() for path in sources}
    assert named <= tests | files, named - tests - files
