"""The PostgreSQL server on which databases are made, and what Bakery may do there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from databases.models import Database
from infrastructure.errors import HostProblem
from infrastructure.postgres.administrator import Administrator, administering
from infrastructure.postgres.managed import Names
from infrastructure.postgres.server import Place

WHERE = "BAKERY_POSTGRES_ADMIN_URL"


def admin() -> Place:
    """As who makes and drops databases. On a server the file that says so can be read by the workers alone."""
    bakery = settings.BAKERY
    url = bakery.postgres_admin_url
    if not url and bakery.postgres_admin_url_file:
        try:
            url = bakery.postgres_admin_url_file.read_text().strip()
        except OSError as error:
            raise HostProblem(
                "postgres.admin-file",
                f"{bakery.postgres_admin_url_file} cannot be read: {error.strerror}.",
                f"It holds the address with which Bakery makes databases ({WHERE}_FILE). See manage.py doctor.",
            ) from error
    return Place.of(url, called=WHERE, database="postgres") if url else Place.of(bakery.database_url)


@contextmanager
def administrator() -> Iterator[Administrator]:
    with administering(admin()) as found:
        yield found


def names_of(database: Database) -> Names:
    return Names(database.database_name, database.owner_role, str(database.token))


def note_server(database: Database, found: Administrator) -> None:
    """Where the database is, for pages: the web process cannot ask."""
    info = found.connection.info
    database.server_version = found.version
    database.address = f"{info.host}:{info.port}"
    Database.objects.filter(pk=database.pk).update(server_version=database.server_version, address=database.address)
