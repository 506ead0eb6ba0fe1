"""The server behind a database URL: how its programs are told where it is, and what it refuses, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.errors import HostProblem
from infrastructure.secret import Secret

# libpq's names for the parts of a URL (postgresql.org/docs/current/libpq-envars.html).
VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


@dataclass(frozen=True)
class Place:
    """A database URL, taken apart."""

    parts: dict[str, str]

    @classmethod
    def of(cls, database_url: str, *, called: str = "DATABASE_URL", database: str = "") -> Place:
        """``called``: the setting that it is. ``database``: the one that is meant where it names none."""
        try:
            parts = {name: str(value) for name, value in conninfo_to_dict(database_url).items() if value is not None}
        except psycopg.ProgrammingError as error:
            raise HostProblem(
                "postgres.url",
                f"{called} is not an address that PostgreSQL's programs understand.",
                first_line(error).partition('"')[0].strip(": "),  # what it quotes may be the password
            ) from None
        if not parts.get("dbname") and database:
            parts["dbname"] = database
        if not parts.get("dbname"):
            raise HostProblem("postgres.url", f"{called} names no database.", "Put its name behind the last slash.")
        return cls(parts)

    @property
    def name(self) -> str:
        return self.parts["dbname"]

    def environment(self) -> dict[str, str | Secret]:
        env: dict[str, str | Secret] = {VARIABLES[key]: value for key, value in self.parts.items() if key in VARIABLES}
        if "PGPASSWORD" in env:
            env["PGPASSWORD"] = Secret(self.parts["password"])
        return env

    def connect(self, database: str | None = None) -> psycopg.Connection:
        with in_words():
            conninfo = make_conninfo(**{**self.parts, "dbname": database or self.name, "connect_timeout": "10"})
            return psycopg.connect(conninfo, autocommit=True)

    def administer(self) -> psycopg.Connection:
        """A connection that is in none of the databases that are swapped."""
        try:
            connection = self.connect("postgres")
        except HostProblem:
            connection = self.connect("template1")
        trust_catalogues_alone(connection)
        return connection


def trust_catalogues_alone(connection: psycopg.Connection) -> None:
    """What an application has made in a database, an operator or a function of a common name, is never taken for
    PostgreSQL's own: it would run with our rights. Up to 14 everybody may make such things in every database."""
    with in_words():
        connection.execute("SET search_path = pg_catalog, pg_temp")


@contextmanager
def in_words() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise HostProblem("postgres.disk-full", "PostgreSQL found the disk full.", "Make room.") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise HostProblem(
            "postgres.refused",
            f"PostgreSQL refused: {first_line(error)}",
            "The role of DATABASE_URL needs CREATEDB, and has to own its database (ALTER DATABASE … OWNER TO …); "
            "that of BAKERY_POSTGRES_ADMIN_URL needs CREATEROLE and CREATEDB.",
        ) from error
    except psycopg.errors.ObjectInUse as error:
        raise HostProblem(
            "postgres.in-use",
            f"The database is in use by another role, whose connections Bakery may not end: {first_line(error)}",
            "End those sessions (pg_stat_activity lists them), then try again.",
        ) from error
    except psycopg.OperationalError as error:
        raise HostProblem(
            "postgres.silent", f"PostgreSQL does not answer: {first_line(error)}", "See manage.py doctor."
        ) from error
    except psycopg.Error as error:
        raise HostProblem("postgres.failed", f"PostgreSQL refused: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
