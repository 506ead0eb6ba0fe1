"""A web server where requests for a name arrive: it has the files that Bakery's Nginx has, or behaves badly."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class ArrivalServer:
    """``does``: "serve", "other" (another site answers), "redirect" (to ``target``), "drip" (a byte now and then)."""

    def __init__(self, root: Path, tls: ssl.SSLContext | None = None) -> None:
        self.root, self.does, self.target = root, "serve", ""
        self.hosts: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.hosts.append(self.headers["Host"])
                if owner.does == "drip":
                    owner.drip(self)
                    return
                file = owner.root / self.path.lstrip("/")
                body = file.read_bytes() if owner.does == "serve" and file.is_file() else b"another site"
                self.send_response({"serve": 200 if file.is_file() else 404, "redirect": 301}.get(owner.does, 200))
                if owner.does == "redirect":
                    self.send_header("Location", owner.target.replace("{path}", self.path))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @staticmethod
    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            while True:
                handler.wfile.write(b"X")
                time.sleep(0.05)
        except OSError:
            pass  # it was cut off


@contextmanager
def arrival_server(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[ArrivalServer]:
    running = ArrivalServer(root, tls)
    try:
        yield running
    finally:
        running.server.shutdown()
        running.server.server_close()
