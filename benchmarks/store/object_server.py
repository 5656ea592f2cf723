"""An S3 server on this machine (moto), and a line to it that can be cut."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

BUCKET = "bucket"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key-that-must-not-appear",
    "AWS_SECRET_ACCESS_KEY": "secret-that-must-not-appear",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Line:
    """Forwards connections to a port, until it is cut."""

    def __init__(self, to: int) -> None:
        self._to, self._open = to, True
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Refuse connections and end those that there are."""
        self._open = False
        for each in self._connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def mend(self) -> None:
        """Forward again."""
        self._open = True

    def _accept(self) -> None:
        while True:
            here, _ = self._listener.accept()
            if not self._open:
                here.close()
                continue
            there = socket.create_connection(("127.0.0.1", self._to))
            self._connections += [here, there]
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def served() -> Iterator[tuple[Line, Any]]:
    """The line to a running server, and a boto3 client that does not use the line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ |= CREDENTIALS
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.2)
        import boto3

        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        client.create_bucket(Bucket=BUCKET)
        line = Line(port)
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{line.port}"
        yield line, client
    finally:
        server.kill()
        server.wait()
