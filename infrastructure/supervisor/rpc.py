"""supervisord's XML-RPC over its unix socket, with a time limit (supervisor's own transport has none)."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from typing import Any

from infrastructure.errors import HostProblem

# Fault codes: supervisor/xmlrpc.py, class Faults
SHUTDOWN_STATE, BAD_NAME, ALREADY_STARTED, NOT_RUNNING, ALREADY_ADDED, STILL_RUNNING = 6, 10, 60, 70, 90, 91
SECONDS = 10.0
PREFIX = "unix://"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


class Supervisor:
    """Calls ``supervisor.<method>``. A connection per call: calls come from several threads."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, *arguments: object, ignore: tuple[int, ...] = ()) -> Any:
        """The answer; None for a fault in ``ignore``. Raises ``xmlrpc.client.Fault`` or ``HostProblem``."""
        transport = _UnixTransport(self.url.removeprefix(PREFIX)) if self.url.startswith(PREFIX) else None
        address = "http://localhost" if transport else self.url
        try:
            with xmlrpc.client.ServerProxy(address, transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in ignore:
                return None
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise HostProblem(
                "supervisor.unreachable",
                f"supervisord does not answer at {self.url} ({error}).",
                "Start Bakery again; its log is supervisord.log in the logs directory.",
            ) from error
