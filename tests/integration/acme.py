"""Let's Encrypt's own test server (Debian's ``pebble``) and its DNS, on ports of the test session's own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from cryptography import x509

from tests.integration.acme_listener import make_listener
from tests.integration.waiting import until
from tests.plan import free_port

PROGRAMS = ("pebble", "pebble-challtestsrv", "certbot")


def needs(*programs: str) -> None:
    """Skip the test on a machine that lacks one of them."""
    missing = [name for name in programs if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if missing:
        pytest.skip(f"there is no {', '.join(missing)} (infrastructure/scripts/test.sh installs them)")


@dataclass
class Pebble:
    """``http_port``: where it fetches its challenges. ``dns``: "host:port" of the server that it asks; else one of its
    own starts, which says 127.0.0.1 for every name until it is told otherwise. ``address``: where it listens; another
    host knows it as ``acme.test`` then."""

    root: Path
    http_port: int
    port: int = field(default_factory=free_port)
    address: str = "127.0.0.1"
    dns: str = ""
    ocsp: str = ""  # the responder that its certificates name
    management: int = field(default_factory=free_port)
    dns_management: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.port}/dir"

    @property
    def bundle(self) -> Path:
        """For REQUESTS_CA_BUNDLE."""
        return self.root / "bundle.pem"

    def start(self) -> Pebble:
        make_listener(self.root)
        if not self.dns:
            self.dns = f"127.0.0.1:{free_port()}"
            off = ("-http01", "", "-https01", "", "-tlsalpn01", "")
            own_dns = ("-dns01", self.dns, "-management", f"127.0.0.1:{self.dns_management}", "-defaultIPv6", "")
            self._run("pebble-challtestsrv", *own_dns, *off)
            until(lambda: _answers(f"http://127.0.0.1:{self.dns_management}/"))
        settings = {
            "listenAddress": f"{self.address}:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.root / "listener.pem"),
            "privateKey": str(self.root / "listener.key"),
            "httpPort": self.http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": self.ocsp,
            "externalAccountBindingRequired": False,
        }
        (self.root / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self._run("pebble", "-config", str(self.root / "pebble.json"), "-dnsserver", self.dns)
        until(lambda: _answers(self.directory, self.bundle))
        return self

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes requests, and answers them only afterwards."""
        self.processes[-1].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes[-1].send_signal(signal.SIGCONT)

    def tell_dns(self, verb: str, **record: object) -> None:
        """``set-default-ipv4``, ``add-a``, ``add-caa`` …: see pebble-challtestsrv."""
        answer = requests.post(f"http://127.0.0.1:{self.dns_management}/{verb}", json=record, timeout=60)
        answer.raise_for_status()

    def root_certificate(self) -> bytes:
        """Of what it issues; another one after each start."""
        return self._manage("roots/0").content

    def issuer(self) -> tuple[x509.Certificate, bytes]:
        """The intermediate certificate, and its key as PEM."""
        issuer = x509.load_pem_x509_certificate(self._manage("intermediates/0").content)
        return issuer, self._manage("intermediate-keys/0").content

    def _manage(self, path: str) -> requests.Response:
        answer = requests.get(f"https://localhost:{self.management}/{path}", verify=str(self.bundle), timeout=60)
        answer.raise_for_status()
        return answer

    def _run(self, *argv: str) -> None:
        log = (self.root / f"{argv[0]}.log").open("ab")
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_AUTHZREUSE": "0",  # each order is proven
            "PEBBLE_WFE_NONCEREJECT": "0",  # Certbot tries once more, and of 20 requests every 400th fails twice
        }
        self.processes.append(subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))


def _answers(url: str, bundle: Path | None = None) -> bool:
    try:
        requests.get(url, verify=str(bundle) if bundle else True, timeout=60)
    except requests.RequestException:
        return False
    return True
