"""A server that speaks S3 (moto's), in this process, with one bucket; it can be taken away and brought back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from werkzeug.serving import make_server

from tests.plan import free_port

ACCESS_KEY, SECRET_KEY, BUCKET = "the-tests-own-key", "the-tests-own-secret-key", "cakes"


class S3Server:
    def __init__(self) -> None:
        self.port = free_port()
        self._server: Any = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", self.port, app, threaded=True)
        threading.Thread(target=self._server.serve_forever, name="s3", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def objects(self, bucket: str = BUCKET) -> dict[str, bytes]:
        from moto.s3.models import s3_backends

        (account,) = (backend for backend in s3_backends.values())
        kept = account["aws"].buckets[bucket].keys
        return {name: key.value for name, key in kept.items()}

    def take_away(self, bucket: str) -> None:
        answer = requests.delete(f"{self.endpoint}/{bucket}", timeout=30)
        assert answer.status_code == 204, answer.text

    def unfinished_uploads(self, bucket: str = BUCKET) -> list[str]:
        from moto.s3.models import s3_backends

        (account,) = (backend for backend in s3_backends.values())
        return sorted(upload.key_name for upload in account["aws"].buckets[bucket].multiparts.values())

    def begin_upload(self, key: str, bucket: str = BUCKET) -> None:
        """One in parts that nobody ends."""
        answer = requests.post(f"{self.endpoint}/{bucket}/{key}?uploads", timeout=30)
        assert answer.status_code == 200, answer.text


@contextmanager
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    try:
        requests.post(f"{server.endpoint}/moto-api/reset", timeout=30)
        answer = requests.put(f"{server.endpoint}/{BUCKET}", timeout=30)
        assert answer.status_code == 200, answer.text
        yield server
    finally:
        server.stop()
