"""Where a database is, as an application is told: its URL, libpq's variables."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from databases.models import Database
from databases.services.connection import USUAL_PORT, address_of, url_of
from infrastructure.errors import Problem
from infrastructure.postgres.server import Place
from infrastructure.secret import Secret


def injected_url(database: Database, *, in_container: bool = False) -> Secret:
    """The connection string. Inside a container the host's own address is the bridge's gateway, where a relay
    listens."""
    if not in_container:
        return url_of(database)
    if not database.is_managed:
        return Secret(_from_container(database))
    return url_of(database, host=gateway() if is_loopback(address_of(database)[0]) else "")


def libpq_variables(url: Secret) -> dict[str, Secret]:
    """PGHOST and the others, and what else the URL says that libpq has a variable for."""
    found = Place.of(url.reveal()).environment()
    return {name: value if isinstance(value, Secret) else Secret(value) for name, value in found.items()}


def gateway() -> str:
    """The host, as containers reach it: the first address of Bakery's bridge network."""
    return str(next(ipaddress.ip_network(settings.BAKERY.docker_subnet).hosts()))


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _from_container(database: Database) -> str:
    """An address on the loopback would be the container itself; the relay stands for the server of the port that it
    listens at."""
    url = database.url.reveal()
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return url
    host, port = address_of(database)
    if not is_loopback(host) or str(parts.port or USUAL_PORT) != port:
        raise Problem(
            "database.not-from-containers",
            f"The address of {database.name} is on this host's loopback, which a container does not reach.",
            "Register it with an address that containers reach, or let the app run with Bun.",
        )
    userinfo, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{userinfo}{at}{gateway()}:{port}"))
