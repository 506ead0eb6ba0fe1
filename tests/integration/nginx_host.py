"""A real Nginx per test module, releases to route to, and raw requests that hide nothing."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path

from benchmarks.switching.host import PrivateNginx, Release
from infrastructure.routing import Route
from tests.integration.waiting import until

HOST = "shop.localhost"


@dataclass
class Edge:
    """Nginx with one deployment (id 1) whose blue slot serves release 10; green holds release 11."""

    nginx: PrivateNginx
    blue: Release
    green: Release
    route: Route
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def router(self):
        return self.nginx.router

    @property
    def access_log(self) -> Path:
        return self.nginx.root / "logs" / "access.json"

    def connect(self, timeout: float = 60) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.nginx.http_port), timeout=timeout)

    def open(
        self, path: str = "/", *, method: str = "GET", body: bytes = b"", host: str = HOST, **headers: str
    ) -> socket.socket:
        """Send a request and return without its answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in named.items())]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        connection = self.connect()
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return connection

    def ask(self, path: str = "/", **options) -> tuple[HTTPResponse, bytes]:
        connection = self.open(path, **{"Connection": "close", **options})
        return answer_on(connection)

    def log_lines(self, **wanted: str) -> list[dict[str, object]]:
        written = self.access_log.read_text(errors="replace")
        whole = written[: written.rfind("\n") + 1]  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if all(line[key] == value for key, value in wanted.items())]

    def wait_for_open(self, slot: str, count: int) -> None:
        until(lambda: self.router.connections(1, slot) == count)


def received(connection: socket.socket, wanted: bytes) -> bytes:
    """What came up to ``wanted``: an answer arrives in as many pieces as it likes."""
    got = b""
    while wanted not in got:
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    return got


def answer_on(connection: socket.socket) -> tuple[HTTPResponse, bytes]:
    response = HTTPResponse(connection)
    response.begin()
    body = response.read()
    connection.close()
    return response, body


@contextmanager
def running_edge(**changes: int) -> Iterator[Edge]:
    with tempfile.TemporaryDirectory(prefix="bakery-nginx-") as name:
        root = Path(name)
        root.chmod(0o711)
        nginx, blue, green = PrivateNginx(root), Release("blue-app"), Release("green-app")
        try:
            nginx.start()
            blue.start()
            green.start()
            route = nginx.route(blue, green, **changes)
            nginx.router.apply([route])
            nginx.router.switch(1, "blue", 10)
            nginx.router.set_state(1, "shop", "unavailable")
            yield Edge(nginx, blue, green, route)
        finally:
            for part in (nginx, blue, green):
                part.stop()
