"""What Certbot is asked to do, as commands. Works with Certbot 1.21 (Ubuntu 22.04) and what came after it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infrastructure.certbot.dns_plugins import DnsPlugin
from infrastructure.certbot.place import Place
from infrastructure.runner import SAFE_PATH, Command

ISSUING_SECONDS = 600.0  # for one certificate: each name is looked at by the authority, from several places
QUICK_SECONDS = 60.0
# The machine's own way out: its certificate authorities and its proxy.
PASSED_ON = (
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


@dataclass(frozen=True)
class Authority:
    """Who issues. ``server``: its ACME directory, "" is Let's Encrypt's; ``staging`` its one for trying."""

    email: str = ""
    server: str = ""
    staging: bool = False

    def arguments(self) -> list[str]:
        argv = ["--email", self.email] if self.email else ["--register-unsafely-without-email"]
        if self.server:
            argv += ["--server", self.server]
        elif self.staging:
            argv += ["--staging"]
        return argv


class Proof(Protocol):
    """How it is shown that the names are ours."""

    def arguments(self) -> list[str]: ...

    def variables(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Webroot:
    """Nginx serves what Certbot writes to this directory: no reload, so no connection is cut."""

    root: Path

    def arguments(self) -> list[str]:
        return ["--authenticator", "webroot", "--webroot-path", str(self.root)]

    def variables(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class NginxPlugin:
    """Certbot's own way with the machine's Nginx: it reloads it, twice."""

    def arguments(self) -> list[str]:
        return ["--authenticator", "nginx"]

    def variables(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class DnsRecord:
    plugin: DnsPlugin
    credentials: Path
    propagation: int | None = None  # seconds, where the plugin's own are too few or too many

    def arguments(self) -> list[str]:
        return self.plugin.arguments(self.credentials, self.propagation)

    def variables(self) -> dict[str, str]:
        return self.plugin.variables(self.credentials)


@dataclass(frozen=True)
class Order:
    """A certificate that is wanted. ``force``: also when the one that there is would be good for long."""

    lineage: str
    names: tuple[str, ...]
    proof: Proof
    force: bool = False


@dataclass(frozen=True)
class Plans:
    """``program`` is Certbot's, by name or path; ``store`` and ``group`` are those of Nginx's certificates."""

    program: str
    place: Place
    authority: Authority
    store: Path
    group: int | None = None
    seconds: float = ISSUING_SECONDS

    def certonly(self, order: Order) -> Command:
        argv = [
            *self._beginning("certonly", order.lineage),
            "--agree-tos",
            *self.authority.arguments(),
            *order.proof.arguments(),
            "--key-type",
            "ecdsa",
            # One lineage, whatever its names are today.
            "--renew-with-new-domains",
            "--force-renewal" if order.force else "--keep-until-expiring",
            "--deploy-hook",
            self.hook(),
        ]
        for name in order.names:
            argv += ["--domain", name]
        return Command(tuple(argv), env=self.environment(order.proof.variables()), timeout=self.seconds)

    def delete(self, lineage: str) -> Command:
        return Command(tuple(self._beginning("delete", lineage)), env=self.environment(), timeout=QUICK_SECONDS)

    def hook(self) -> str:
        """One string, which Certbot hands to a shell. By the host's Python: that of Bakery's checkout comes and goes
        with updates, and the timer's renewals must not."""
        python = shutil.which("python3", path=SAFE_PATH) or sys.executable
        words = [python, str(self.place.hook), "--store", str(self.store)]
        if self.group is not None:
            words += ["--group", str(self.group)]
        return shlex.join(words)

    def environment(self, variables: dict[str, str] | None = None) -> dict[str, str]:
        return {"PYTHONUNBUFFERED": "1", "HOME": str(self.place.work), **self.passed_on(), **(variables or {})}

    def passed_on(self) -> dict[str, str]:
        return {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}

    def _beginning(self, verb: str, lineage: str) -> list[str]:
        place = self.place
        return [
            self.program,
            verb,
            "--non-interactive",
            "--config-dir",
            str(place.config),
            "--work-dir",
            str(place.work),
            "--logs-dir",
            str(place.logs(lineage)),
            "--max-log-backups",
            "5",
            "--cert-name",
            lineage,
        ]
