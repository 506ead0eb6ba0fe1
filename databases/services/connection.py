"""How a database is reached: its connection string, and the same in parts."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings

from databases.models import Database
from databases.services import server
from infrastructure.errors import HostProblem
from infrastructure.postgres.server import Place
from infrastructure.secret import Secret

DEFAULT_PORT = "5432"


def url_of(database: Database, *, host: str = "") -> Secret:
    """What an application gets. ``host``: where the server is from inside a container; of a database elsewhere the
    address is what was registered."""
    if not database.is_managed:
        return Secret(database.url.reveal())
    return login_url(database, database.login_role(), database.password, host=host)


def login_url(database: Database, role: str, password: Secret, *, host: str = "") -> Secret:
    """The same for another role of it."""
    usual, port = address_of(database)
    place = host or usual
    place = f"[{place}]" if ":" in place else place
    return Secret(f"postgresql://{role}:{quote(password.reveal(), safe='')}@{place}:{port}/{database.database_name}")


def address_of(database: Database) -> tuple[str, str]:
    """Host and port of a managed database's server, seen from this machine."""
    try:
        parts = server.admin().parts
        host, port = parts.get("host", ""), parts.get("port", DEFAULT_PORT)
    except HostProblem:  # the web process may not know; a worker has written it down
        host, _, port = database.address.rpartition(":")
        if not port:
            parts = Place.of(settings.BAKERY.database_url).parts
            host, port = parts.get("host", ""), parts.get("port", DEFAULT_PORT)
    # A socket directory is of use to nobody who runs as another account, or in a container.
    return (host if host and not host.startswith("/") else "127.0.0.1"), port


def variables_of(database: Database, *, host: str = "") -> dict[str, Secret]:
    """libpq's variables: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE."""
    if not database.is_managed:
        return {
            name: value if isinstance(value, Secret) else Secret(value)
            for name, value in Place.of(database.url.reveal()).environment().items()
        }
    usual, port = address_of(database)
    return {
        "PGHOST": Secret(host or usual),
        "PGPORT": Secret(port),
        "PGUSER": Secret(database.login_role()),
        "PGPASSWORD": Secret(database.password.reveal()),
        "PGDATABASE": Secret(database.database_name),
    }
