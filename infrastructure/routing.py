"""What the release engine asks of the web server, so that how a switch is done stays in one place.

``infrastructure/nginx`` implements ``Router``. Facts behind the shape: docs/architecture.md, “Routing”.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from infrastructure.certificates.store import CertificateStore


@dataclass(frozen=True)
class Host:
    """One name of a deployment, and what is asked for at it besides being routed."""

    name: str  # A-labels; a wildcard as *.example.com
    redirect_to: str = ""  # the name that visitors are sent to (301) instead of being served
    https: bool = False  # the route's certificate covers it
    hsts_seconds: int = 0  # 0: no Strict-Transport-Security
    max_body_mb: int = 0  # 0: the route's
    auth: tuple[str, str] | None = None  # user, and the password as crypt(3) has it
    allowed: tuple[str, ...] = ()  # networks that may come; (): everybody
    maintenance: bool = False
    headers: tuple[tuple[str, str], ...] = ()  # added to every response


@dataclass(frozen=True)
class Route:
    """Everything that Nginx has to know of one deployment, apart from which slot is live."""

    deployment_id: int
    name: str  # for Bakery's own error pages
    hosts: tuple[Host, ...]
    blue_upstream: str  # "host:port"; "": nothing has run there yet
    green_upstream: str
    request_timeout: int = 60  # seconds
    max_body_mb: int = 64
    certificate: str = ""  # its name in the certificate store


class Router(Protocol):
    """Every method may be called again after a kill -9, and leaves all other deployments' sites as they were."""

    @property
    def certificates(self) -> CertificateStore:
        """What Nginx reads at each TLS handshake: what is installed there needs no reload."""

    @property
    def acme_root(self) -> Path:
        """Below it lies what ``http://<any name>/.well-known/acme-challenge/`` answers with, as files of that path."""

    def apply(self, routes: list[Route]) -> None:
        """Write the given deployments' vhosts; when a file changed: test, reload, wait until the new generation answers
        and the old workers have stopped accepting. Raises ``HostProblem`` (``nginx.refused``, ``nginx.not-applied``)
        after putting every file back. No change, no reload."""

    def apply_panel(self, names: tuple[str, ...], certificate: str = "") -> None:
        """The names that Bakery's own pages answer to; with ``certificate`` (its name in the store) over HTTPS alone.
        Raises as ``apply`` does."""

    def remove(self, deployment_id: int) -> None: ...

    def switch(self, deployment_id: int, slot: str, release_id: int) -> None:
        """Send new requests to ``slot``: one rename(2), no reload."""

    def live_slot(self, deployment_id: int) -> str | None:
        """Where the host sends requests now: "blue", "green" or None (Bakery's own page)."""

    def unroute(self, deployment_id: int) -> None:
        """Send requests to Bakery's own page (stopped, never deployed)."""

    def confirm(self, route: Route, release_id: int, path: str) -> bool:
        """Whether a fresh connection through Nginx is answered by ``release_id`` (whatever its HTTP status)."""

    def connections(self, deployment_id: int, slot: str) -> int:
        """Requests and websockets that Nginx still has open to ``slot``."""

    def rotate_logs(self) -> list[Path]:
        """Begin new log files where the old ones have grown large; returns those. No line is lost."""

    def set_state(self, deployment_id: int, name: str, state: str) -> None:
        """What the deployment's 502/503 page says: a key of nginx.pages.STATES."""
