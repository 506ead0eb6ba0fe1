"""What the release engine asks of the web server, so that how a switch is done stays in one place.

``infrastructure/nginx`` implements ``Router``. Facts behind the shape: docs/architecture.md, “Routing”.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Route:
    """Everything that Nginx has to know of one deployment, apart from which slot is live."""

    deployment_id: int
    name: str  # for Bakery's own error pages
    hostnames: tuple[str, ...]
    blue_upstream: str  # "host:port"; "": nothing has run there yet
    green_upstream: str
    request_timeout: int = 60  # seconds
    max_body_mb: int = 64


class Router(Protocol):
    """Every method may be called again after a kill -9, and leaves all other deployments' sites as they were."""

    def apply(self, routes: list[Route]) -> None:
        """Write the given deployments' vhosts; when a file changed: test, reload, wait until the new generation answers
        and the old workers have stopped accepting. Raises ``HostProblem`` (``nginx.refused``, ``nginx.not-applied``)
        after putting every file back. No change, no reload."""

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
