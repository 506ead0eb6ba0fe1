"""Talks to the instance's supervisord over its unix socket (XML-RPC), with the standard library alone."""

from __future__ import annotations

import http.client
import socket
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from infrastructure.errors import HostProblem

FAILED_STATES = ("FATAL", "BACKOFF", "EXITED")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self.path, self.timeout = path, timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self.path, self.timeout)


class Supervisord:
    """Raises ``OSError`` when nobody listens."""

    def __init__(self, path: Path, timeout: float = 60.0) -> None:
        self._rpc: Any = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(path, timeout))

    def pid(self) -> int:
        return int(self._rpc.supervisor.getPID())

    def start(self, name: str) -> None:
        try:
            self._rpc.supervisor.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise HostProblem(
                    "quickstart.program-did-not-start",
                    f"{name} did not start: {fault.faultString}",
                    f"See logs/{name}.log.",
                ) from fault

    def stop(self, name: str) -> None:
        self._rpc.supervisor.stopProcess(name)

    def states(self) -> dict[str, str]:
        """Name of each program -> its state in supervisord's words."""
        return {str(row["name"]): str(row["statename"]) for row in self._rpc.supervisor.getAllProcessInfo()}

    def shutdown(self) -> None:
        self._rpc.supervisor.shutdown()


def wait_until_listening(path: Path, seconds: float = 15.0) -> Supervisord:
    deadline = time.monotonic() + seconds
    while True:
        try:
            control = Supervisord(path)
            control.pid()
            return control
        except OSError:
            if time.monotonic() > deadline:
                raise HostProblem(
                    "quickstart.supervisord-silent",
                    f"supervisord did not answer within {seconds:g} s.",
                    "Its log is logs/supervisord.log in the data directory.",
                ) from None
            time.sleep(0.05)
