"""How a database is reached from this machine: its connection string."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings

from databases.models import Database
from databases.services import server
from infrastructure.errors import HostProblem
from infrastructure.postgres.server import Place
from infrastructure.secret import Secret

USUAL_PORT = 5432
LOOPBACK = "127.0.0.1"


def url_of(database: Database, *, host: str = "") -> Secret:
    """``host``: another name of the server. Of a database elsewhere it is the address that was registered."""
    if not database.is_managed:
        return Secret(database.url.reveal())
    return login_url(database, database.login_role(), database.password, host=host)


def login_url(database: Database, role: str, password: Secret, *, host: str = "") -> Secret:
    """The same for another role of it."""
    usual, port, query = _place_of(database)
    place = host or usual
    place = f"[{place}]" if ":" in place else place
    userinfo = f"{role}:{quote(password.reveal(), safe='')}"
    return Secret(f"postgresql://{userinfo}@{place}:{port}/{database.database_name}{query}")


def address_of(database: Database) -> tuple[str, str]:
    """Host and port of the server on which databases are made."""
    host, port, _ = _place_of(database)
    return host, str(port)


def _place_of(database: Database) -> tuple[str, int, str]:
    """Host, port, and what applications have to say of TLS."""
    try:
        parts = server.admin().parts
    except HostProblem:  # the web process may not know; a worker has written it down
        host, _, port = database.address.rpartition(":")
        parts = {"host": host, "port": port} if port else Place.of(settings.BAKERY.database_url).parts
    host = parts.get("host") or parts.get("hostaddr") or LOOPBACK
    # A socket is no address for an application: it is in a directory that it may not see, and PostgreSQL would compare
    # its account's name.
    host = LOOPBACK if host.startswith(("/", "@")) else host
    mode = parts.get("sslmode")
    return host, int(parts.get("port") or USUAL_PORT), f"?sslmode={mode}" if mode and host != LOOPBACK else ""
