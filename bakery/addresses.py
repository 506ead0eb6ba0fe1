"""Where browsers reach Bakery's own pages: the names of the environment, and the panel's domains in the database.

The environment's (the machine's address, above all) need no database and are always good, so whatever becomes of a
domain, its DNS or its certificate, nobody is locked out. A domain counts within a second of being added, without a
restart: the database is asked at most once a second for names that nobody has, else every five.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings

REMEMBERED, AT_ONCE = 5.0, 1.0  # seconds
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """``base_url``: "" while no certificate covers the panel's primary name."""

    names: frozenset[str] = frozenset()
    base_url: str = ""


class PanelDomains:
    """What the database says of the panel's names, remembered by each process for itself."""

    def __init__(self) -> None:
        self._known = Known()
        self._read_at = float("-inf")

    def known(self, seconds: float = REMEMBERED) -> Known:
        """As it was at most so many seconds ago; when the database does not answer, as it was last."""
        if time.monotonic() - self._read_at >= seconds:
            self._read_at = time.monotonic()  # first: one thread asks, the others go on with what is known
            try:
                self._known = _read()
            except Exception as error:  # noqa: BLE001 - a page under the machine's address must not fail for it
                logger.warning("The panel's domains could not be read: %s", error)
        return self._known

    def forget(self) -> None:
        """For whoever has just changed them in this process."""
        self._read_at = float("-inf")


panel_domains = PanelDomains()


class AllowedHosts(list[str]):
    """``ALLOWED_HOSTS``: the fixed names, and behind them the panel's domains. A name that stands in front costs no
    query, as Django stops at the first that matches."""

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        known = panel_domains.known().names
        yield from known
        yield from panel_domains.known(AT_ONCE).names - known


def base_url() -> str:
    """Where links to Bakery's pages lead: to its own domain once that is on https, else where the environment says."""
    found: str = panel_domains.known().base_url or settings.BAKERY.base_url
    return found


def _read() -> Known:
    from domains.models import Certificate, Domain

    domains = list(Domain.objects.filter(deployment=None).order_by("-primary", "pk"))
    certificate = Certificate.objects.filter(deployment=None).exclude(fingerprint="").first()
    covered = set(certificate.names) if certificate and not certificate.revoked_at else set()
    secure = [domain.hostname for domain in domains if not domain.redirects and domain.hostname in covered]
    port = "" if settings.BAKERY.https_port == 443 else f":{settings.BAKERY.https_port}"
    return Known(
        frozenset(domain.hostname for domain in domains if not domain.is_wildcard),
        f"https://{secure[0]}{port}" if secure else "",
    )
