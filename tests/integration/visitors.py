"""Visitors of a deployment who count every answer that they did not get."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from types import TracebackType


class Visitors:
    """Ask without a pause, on several connections each: with keep-alive, without, and by POST.

    ``answers`` counts the versions that were seen; ``lost`` says what went wrong, once per request. With ``tls`` they
    come over HTTPS, and a certificate that it does not trust for ``host`` is a loss as well.
    """

    def __init__(
        self,
        http_port: int,
        host: str,
        of_each: int = 2,
        address: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.http_port, self.host, self.address, self.tls = http_port, host, address, tls
        self.answers: Counter[str] = Counter()
        self.lost: list[str] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        kinds = [self._keep_alive, self._without, self._post] * of_each
        self._threads = [threading.Thread(target=kind, daemon=True) for kind in kinds]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def seen(self, version: str) -> int:
        with self._lock:
            return self.answers[version]

    def _keep_alive(self) -> None:
        connection = self._connection()
        while not self._ended.is_set():
            if not self._ask(connection, "keep-alive", "GET"):
                connection.close()
                connection = self._connection()
        connection.close()

    def _without(self) -> None:
        while not self._ended.is_set():
            connection = self._connection()
            self._ask(connection, "no keep-alive", "GET", headers={"Connection": "close"})
            connection.close()

    def _post(self) -> None:
        connection = self._connection()
        while not self._ended.is_set():
            if not self._ask(connection, "POST", "POST", body="x" * 100):
                connection.close()
                connection = self._connection()
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls:
            return Secure(self.host, self.http_port, self.tls, self.address)
        return http.client.HTTPConnection(self.address, self.http_port, timeout=30)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        kind: str,
        method: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> bool:
        try:
            connection.request(method, "/", body, {"Host": self.host, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._lose(f"{kind}: {error!r}")
            return False
        if not 200 <= answer.status < 300:
            self._lose(f"{kind}: {answer.status} {text[:80]!r}")
            return False
        with self._lock:
            self.answers[json.loads(text)["version"]] += 1
        time.sleep(0.002)  # the app, Nginx and we share few cores
        return True

    def _lose(self, why: str) -> None:
        with self._lock:
            self.lost.append(f"{time.strftime('%X')} {why}")


class Secure(http.client.HTTPSConnection):
    """To an address, under a name that no DNS has."""

    def __init__(self, name: str, port: int, context: ssl.SSLContext, address: str = "127.0.0.1") -> None:
        super().__init__(name, port, timeout=30, context=context)
        self.address, self.tls = address, context

    def connect(self) -> None:
        plain = socket.create_connection((self.address, self.port), timeout=self.timeout)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
