"""Three ways to replace a release behind Nginx, in the same few steps: start the new one, switch, end the old one."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.switching.host import PrivateNginx, Release
from infrastructure.nginx.prefix import SLOTS
from infrastructure.routing import Host, Route

HOST = "shop.localhost"
DRAIN_SECONDS = 60.0
LOOK_EVERY = 0.02

# The usual vhost: one hop, the upstream in the file.
DIRECT = """upstream app {{ server {upstream}; keepalive 32; }}
server {{
    include listen.conf;
    server_name {host};
    set $bakery_deployment 1;
    access_log {log} bakery;
    location / {{
        proxy_pass http://app;
        proxy_set_header Host $http_host;
        proxy_set_header Connection $bakery_slot_connection;
        proxy_set_header Upgrade $bakery_upgrade;
    }}
}}
"""


class Way(Protocol):
    name: str

    def begin(self, release: Release) -> None: ...

    def switch(self, old: Release, new: Release) -> None:
        """Send new requests to ``new``; returns when the way says that ``old`` may be ended."""


@dataclass
class Naive:
    """Write the file, ``nginx -s reload``, end the old release when the command returns."""

    nginx: PrivateNginx
    name: str = "reload, stop at once"

    def begin(self, release: Release) -> None:
        _apply_direct(self.nginx, release)

    def switch(self, old: Release, new: Release) -> None:
        prefix = self.nginx.router.prefix
        prefix.site(1).write_text(_direct(self.nginx, new))
        argv = [self.nginx.binary, "-p", f"{prefix.root}/", "-c", str(prefix.configuration), "-s", "reload"]
        subprocess.run(argv, check=True, capture_output=True)


@dataclass
class ReloadAndWait:
    """Reload; wait until the new generation answers, no old worker accepts, and nothing is open to the old release."""

    nginx: PrivateNginx
    name: str = "reload and wait"

    def begin(self, release: Release) -> None:
        _apply_direct(self.nginx, release)

    def switch(self, old: Release, new: Release) -> None:
        _apply_direct(self.nginx, new)
        deadline = time.monotonic() + DRAIN_SECONDS
        while _tcp_connections(old.port) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY)


@dataclass
class Renamed:
    """Bakery's: one rename(2) of a link, no reload. The slots' ports are their own for life."""

    nginx: PrivateNginx
    ports: tuple[int, int]
    name: str = "Bakery: rename a link"
    switches: int = 0

    def begin(self, release: Release) -> None:
        blue, green = (f"127.0.0.1:{port}" for port in self.ports)
        self.nginx.router.apply([Route(1, "shop", (Host(HOST),), blue, green)])
        self.nginx.router.switch(1, self._slot(release), 1)

    def switch(self, old: Release, new: Release) -> None:
        self.switches += 1
        self.nginx.router.switch(1, self._slot(new), self.switches + 1)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self.nginx.router.connections(1, self._slot(old)) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY)

    def _slot(self, release: Release) -> str:
        return SLOTS[self.ports.index(release.port)]


def _direct(nginx: PrivateNginx, release: Release) -> str:
    log = nginx.router.logs_dir / "access.json"
    return DIRECT.format(upstream=release.upstream, host=HOST, log=log)


def _apply_direct(nginx: PrivateNginx, release: Release) -> None:
    with nginx.router.applier.lock():
        nginx.router.applier.replace({nginx.router.prefix.site(1): _direct(nginx, release)})


def _tcp_connections(port: int) -> int:
    """Connections that are established to a loopback port, seen from the side that opened them (proc(5))."""
    wanted = f":{port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(1 for fields in lines if fields[2].endswith(wanted) and fields[3] == "01")
