"""An ACME server that goes as far as a new order, and then does what it was told to: a limit, an error, silence."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.integration.acme_listener import make_listener
from tests.plan import free_port

ERROR = "urn:ietf:params:acme:error:"


@dataclass
class BadAuthority:
    """``kind``: of the error that it answers orders with (RFC 8555, 6.7); "" keeps silent until it is stopped."""

    root: Path
    kind: str = "serverInternal"
    status: int = 500
    detail: str = "Something went wrong."
    headers: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    orders: int = 0  # how often it was asked for a certificate
    let_go: threading.Event = field(default_factory=threading.Event)
    server: ThreadingHTTPServer | None = None

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.port}/dir"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle.pem"

    def start(self) -> BadAuthority:
        make_listener(self.root)
        authority = self

        class Handler(_Handler):
            bad = authority

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.root / "listener.pem", self.root / "listener.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        self.let_go.set()
        if self.server:
            self.server.shutdown()
            self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    bad: BadAuthority
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        base = f"https://localhost:{self.bad.port}"
        names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order", "revokeCert": "r", "keyChange": "k"}
        self._answer(200, {name: f"{base}/{path}" for name, path in names.items()})

    def do_HEAD(self) -> None:
        self._answer(200, None)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/account":
            where = {"Location": f"https://localhost:{self.bad.port}/account/1"}
            self._answer(201, {"status": "valid"}, where)
            return
        self.bad.orders += 1
        if not self.bad.kind:
            self.bad.let_go.wait(120)
            return
        told = {"type": f"{ERROR}{self.bad.kind}", "detail": self.bad.detail, "status": self.bad.status}
        self._answer(self.bad.status, told, self.bad.headers, "application/problem+json")

    def _answer(
        self, status: int, body: object, headers: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Replay-Nonce", "bm9uY2U")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass
