"""HTTPS on the edge of the tests: certificates in its store, and visitors who look closely at a handshake."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path

from cryptography import x509

from infrastructure.certificates.pem import read_pair
from infrastructure.routing import Host
from tests.certificates import Authority, Issued, pem
from tests.integration.nginx_host import Edge, answer_on


@dataclass
class Https:
    edge: Edge
    authority: Authority = field(default_factory=Authority)

    def install(self, *names: str, store_name: str = "deployment-1") -> Issued:
        issued = self.authority.issue(*names)
        self.edge.router.certificates.install(store_name, read_pair(issued.chain_pem, issued.key_pem))
        return issued

    def folder(self, store_name: str = "deployment-1") -> Path:
        return self.edge.router.certificates.root / store_name

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=pem(self.authority.root).decode())
        return context

    def connect(self, name: str, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Verified up to the tests' root, by name; "": without saying one."""
        plain = socket.create_connection(("127.0.0.1", self.edge.nginx.https_port), timeout=60)
        try:
            return (context or self.context()).wrap_socket(plain, server_hostname=name or None)
        except BaseException:
            plain.close()
            raise

    def served(self, name: str) -> x509.Certificate:
        with self.connect(name) as connection:
            return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")

    def ask(
        self, name: str, path: str = "/", *, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        connection = self.connect(name)
        port = self.edge.nginx.https_port
        named = {each.replace("_", "-"): value for each, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", f"Host: {name}:{port}", "Connection: close"]
        lines += [f"{each}: {value}" for each, value in named.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return answer_on(connection)

    def refuses(self, name: str, context: ssl.SSLContext | None = None) -> str:
        """Why a handshake with this name fails; "" when it does not."""
        try:
            self.connect(name, context).close()
        except (ssl.SSLError, ConnectionResetError) as error:
            return str(error)
        return ""


def hosts(*names: str, **settings: object) -> tuple[Host, ...]:
    return tuple(Host(name, https=True, **settings) for name in names)  # type: ignore[arg-type]
