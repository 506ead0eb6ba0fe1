"""Where a database is, as an application is told: its URL, libpq's variables."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit, urlunsplit

from django.conf import settings

from databases.models import Database
from infrastructure.errors import Problem
from infrastructure.postgres.server import Place
from infrastructure.secret import Secret

USUAL_PORT = 5432
LOOPBACK = "127.0.0.1"


def url_of(database: Database, *, in_container: bool = False) -> Secret:
    """The connection string. Inside a container the host's own address is the bridge's gateway, where a relay
    listens."""
    if not database.is_managed:
        return Secret(_from_container(database) if in_container else database.url.reveal())
    host, port = server_address()
    if in_container and is_loopback(host):
        host = gateway()
    userinfo = f"{database.login_role()}:{quote(database.password.reveal(), safe='')}"
    query = _query() if not is_loopback(server_address()[0]) else ""
    return Secret(f"postgresql://{userinfo}@{_bracketed(host)}:{port}/{database.database_name}{query}")


def libpq_variables(url: Secret) -> dict[str, Secret]:
    """PGHOST and the others, and what else the URL says that libpq has a variable for."""
    found = Place.of(url.reveal()).environment()
    return {name: value if isinstance(value, Secret) else Secret(value) for name, value in found.items()}


def server_address() -> tuple[str, int]:
    """Of the server on which databases are made. A socket in the file system is no address for an application: it
    is not told of Bakery's, and PostgreSQL would compare its account's name."""
    parts = _server()
    host = parts.get("hostaddr") or parts.get("host") or LOOPBACK
    return (LOOPBACK if host.startswith(("/", "@")) else host), int(parts.get("port") or USUAL_PORT)


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


def _server() -> dict[str, str]:
    bakery = settings.BAKERY
    if file := bakery.postgres_admin_url_file:
        return Place.of(file.read_text().strip()).parts
    return Place.of(bakery.postgres_admin_url or bakery.database_url).parts


def _query() -> str:
    mode = _server().get("sslmode")
    return f"?sslmode={mode}" if mode else ""


def _from_container(database: Database) -> str:
    """An address on the loopback would be the container itself; the relay stands for the server of the port that it
    listens at."""
    url = database.url.reveal()
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return url
    host, port = server_address()
    if not is_loopback(host) or (parts.port or USUAL_PORT) != port:
        raise Problem(
            "database.not-from-containers",
            f"The address of {database.name} is on this host's loopback, which a container does not reach.",
            "Register it with an address that containers reach, or let the app run with Bun.",
        )
    userinfo, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{userinfo}{at}{gateway()}:{port}"))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
