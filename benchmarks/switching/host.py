"""A private Nginx and releases for it to send requests to, started and ended by whoever measures or tests."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.nginx.router import NginxRouter
from infrastructure.routing import Host, Route

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
PORTS = range(24_000, 32_000)
_given: set[int] = set()  # also those where nobody listens yet


def free_port() -> int:
    """A port below those that the kernel gives to outgoing connections: between two releases nobody listens on a
    slot's port, and one of our own clients would take it."""
    for port in random.sample(sorted(set(PORTS) - _given), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise RuntimeError("Of a hundred ports none is free.")


def nginx_binary() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass
class Release:
    """An app in a process of its own."""

    name: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def upstream(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Release:
        argv = [sys.executable, "-m", "benchmarks.switching.app", str(self.port), self.name]
        self.process = subprocess.Popen(argv, cwd=ROOT)
        deadline = time.monotonic() + START_SECONDS
        while not accepts(self.port) or self.process.poll() is not None:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"The release {self.name} did not start on port {self.port}.")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class PrivateNginx:
    """Nginx with a prefix of its own, started with Bakery's own configuration and launcher."""

    root: Path
    http_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.binary = nginx_binary() or "nginx"
        self.router = NginxRouter(
            prefix=self.root / "nginx",
            nginx_binary=self.binary,
            http_port=self.http_port,
            https_port=self.https_port,
            logs_dir=self.root / "logs",
        )

    def start(self) -> PrivateNginx:
        self.router.prepare("nobody" if os.geteuid() == 0 else None)
        prefix = self.router.prefix
        argv = [
            sys.executable,
            "-m",
            "infrastructure.nginx.start",
            self.binary,
            str(prefix.root),
            str(prefix.configuration),
        ]
        self.process = subprocess.Popen(argv, cwd=ROOT)
        self.router.master.wait_until_running()
        return self

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def route(self, blue: Release, green: Release, **changes: int) -> Route:
        return Route(1, "shop", (Host("shop.localhost"),), blue.upstream, green.upstream, **changes)
