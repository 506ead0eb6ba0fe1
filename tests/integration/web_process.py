"""Daphne as its own process on the database of the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.models import User
from tests.plan import free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Web:
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cookie_of(self, user: User) -> str:
        client = Client()
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
        return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def database_url() -> str:
    place = connection.get_connection_params()
    password = f":{place['password']}" if place.get("password") else ""
    host = str(place.get("host", "")).replace("/", "%2F")
    return f"postgres://{place.get('user', '')}{password}@{host}:{place.get('port', 5432)}/{place['dbname']}"


def environment(data_dir: Path) -> dict[str, str]:
    """What a process of Bakery needs to work on the database of the tests."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.BAKERY.redis_url,
        "SESSION_SECRET": settings.BAKERY.session_secret,
        "ENCRYPTION_KEY": ",".join(settings.BAKERY.encryption_keys),
        "BAKERY_DATA_DIR": str(data_dir),
        "BAKERY_PORT": str(settings.BAKERY.port),  # the cookie's name has it
    }


@contextlib.contextmanager
def daphne(data_dir: Path, *, pages: bool = False, **variables: str) -> Iterator[Web]:
    """``pages``: with the static files, which take some seconds to prepare. ``variables``: more of its environment."""
    env = {**environment(data_dir), **variables}
    if pages:
        argv = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"]
        subprocess.run(argv, cwd=ROOT, env=env, check=True, timeout=300)
    port = free_port()
    argv = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "bakery.asgi:application"]
    process = subprocess.Popen(argv, cwd=ROOT, env=env)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/streams/0/", timeout=60, allow_redirects=False)
                break
            except (requests.ConnectionError, requests.Timeout):
                assert process.poll() is None, "daphne ended"
                assert time.monotonic() < deadline, "daphne does not answer"
                time.sleep(0.1)
        yield Web(port, process)
    finally:
        process.terminate()
        process.wait(60)
