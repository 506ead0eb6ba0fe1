"""The PostgreSQL server on which databases are made, and what Bakery may do there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
    with ExitStack() as stack:
        try:
            found = stack.enter_context(administering(admin()))
        except HostProblem as problem:
            raise _older_server(problem) from problem
        yield found


def _older_server(problem: HostProblem) -> HostProblem:
    """An update makes no accounts: a server that was installed before there were databases has no role for them."""
    bakery = settings.BAKERY
    named = bakery.postgres_admin_url or bakery.postgres_admin_url_file
    if not bakery.install_dir or named or problem.id not in ("postgres.no-createrole", "postgres.no-createdb"):
        return problem
    return HostProblem(
        "database.no-admin",
        "This server was installed by a Bakery that made no databases: PostgreSQL has no role for it.",
        f"Run install.sh again, as root: {bakery.install_dir}/current/infrastructure/scripts/install.sh --yes. "
        "It makes one, and keeps data and secrets.",
    )


def names_of(database: Database) -> Names:
    return Names(database.database_name, database.owner_role, str(database.token))


def note_server(database: Database, found: Administrator) -> None:
    """Where the database is, for pages: the web process cannot ask."""
    info = found.connection.info
    database.server_version = found.version
    database.address = f"{info.host}:{info.port}"
    Database.objects.filter(pk=database.pk).update(server_version=database.server_version, address=database.address)
