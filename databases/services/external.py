"""Databases elsewhere: whether what was typed is an address of one, and whether it answers."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from databases.models import Database, DatabaseState
from databases.services.job import DatabaseJob
from infrastructure.errors import HostProblem, Refused
from infrastructure.postgres.patience import silent_for
from infrastructure.postgres.server import first_line
from infrastructure.secret import Secret

SCHEMES = ("postgres", "postgresql")
LONGEST = 2000
# Of the parameters that are in the address those that the look needs; an application's own (Prisma's “schema”) are
# left to it. None of them names a file of this machine.
LOOKED_AT = ("sslmode", "channel_binding", "target_session_attrs", "gssencmode")


def checked_url(text: str) -> Secret:
    """The address of a database on a server that is reached by network. Raises ``Refused``."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError as error:
        raise _refused("its port or host cannot be read") from error
    if len(text) > LONGEST or any(ord(letter) < 33 for letter in text):
        raise _refused(f"it has blanks or more than {LONGEST} characters")
    if parts.scheme not in SCHEMES:
        raise _refused("it does not begin with postgresql://")
    if not host or "/" in host or "," in host or host.startswith("@") or port == 0:
        raise _refused("it names no server, or several, or a socket of this machine")
    if "#" in text:
        raise _refused("a # in it has to be written as %23")  # libpq reads on behind it
    if not parts.username or not parts.path.strip("/"):
        raise _refused("it lacks the role or the name of the database")
    if forbidden := {"host", "hostaddr", "service", "passfile"} & {name for name, _ in parse_qsl(parts.query)}:
        raise _refused(f"{', '.join(sorted(forbidden))} cannot be a parameter")
    return Secret(text)


def conninfo_of(url: Secret) -> str:
    """With what Bakery itself looks at it: no file of this machine takes part."""
    parts = urlsplit(url.reveal())
    given = {name: value for name, value in parse_qsl(parts.query) if name in LOOKED_AT}
    return make_conninfo(
        **given,
        host=unquote(parts.hostname or ""),
        port=parts.port or 5432,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        dbname=unquote(parts.path.strip("/")),
        passfile="/dev/null",
        connect_timeout=10,
        application_name="bakery",
    )


def look(job: DatabaseJob) -> None:
    """Whether it answers; what was found is in the row."""
    database = job.database
    with job.phase("connect"):
        try:
            with psycopg.connect(conninfo_of(database.url), autocommit=True) as connection, silent_for(connection):
                row = connection.execute("SELECT current_user, current_database()").fetchone()
                version = connection.info.server_version
        except psycopg.Error as error:
            said = job.masker.mask(first_line(error))
            raise HostProblem(
                "database.external-silent",
                f"The database does not answer: {said}",
                "Check the address, and that its server lets this host in; then have it looked at again.",
            ) from error
    role, name = row or ("", "")
    job.say(f"PostgreSQL {version // 10_000} answers: {role} in {name}")
    Database.objects.filter(pk=database.pk).update(
        state=DatabaseState.READY, problem="", checked_at=timezone.now(), server_version=version
    )


def _refused(why: str) -> Refused:
    return Refused(
        "database.url",
        f"That is not the address of a database: {why}.",
        "Write postgresql://role:password@host:5432/name; letters such as @ in the password as %40.",
    )
