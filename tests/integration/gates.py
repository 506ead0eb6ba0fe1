"""Holds a build, a pre-deploy command or an app at an exact place, until the test lets it go on."""

from __future__ import annotations

import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.integration.waiting import until


class Gates:
    """An HTTP server. ``url("build")`` answers when ``open("build")`` was called; ``arrived("build")`` counts."""

    def __init__(self) -> None:
        self._arrived: dict[str, int] = {}
        self._opened: set[str] = set()
        self._left: dict[str, int] = {}
        self._changed = threading.Condition()
        gates = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gates._pass(self.path.strip("/"), self.connection)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def arrived(self, name: str) -> int:
        with self._changed:
            return self._arrived.get(name, 0)

    def wait_for(self, name: str, times: int = 1, timeout: float = 60.0) -> None:
        until(lambda: self.arrived(name) >= times, timeout)

    def open(self, name: str) -> None:
        with self._changed:
            self._opened.add(name)
            self._changed.notify_all()

    def shut(self, name: str) -> None:
        """Who comes from now on waits again."""
        with self._changed:
            self._opened.discard(name)

    def close(self) -> None:
        with self._changed:
            self._opened |= set(self._arrived)
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def wait_until_left(self, name: str, timeout: float = 60.0) -> None:
        """Until everybody who waited at the gate has gone away without passing: it was ended."""
        until(lambda: self._left.get(name, 0) >= self.arrived(name), timeout)

    def _pass(self, name: str, connection: socket.socket) -> None:
        with self._changed:
            self._arrived[name] = self._arrived.get(name, 0) + 1
            self._changed.notify_all()
        while name not in self._opened:
            readable, _, _ = select.select([connection], [], [], 0.1)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                with self._changed:
                    self._left[name] = self._left.get(name, 0) + 1
                return
