"""A connection that may make roles and databases: what its server is, and whether it can be worked with at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from infrastructure.errors import HostProblem
from infrastructure.postgres.server import Place, in_words, trust_catalogues_alone

LOWEST = 14
FACTS = """
    SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), rolsuper, rolcreaterole, rolcreatedb,
           current_user
    FROM pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True)
class Administrator:
    """``version``: as 150004. ``role`` is a superuser, or has CREATEROLE and CREATEDB."""

    place: Place
    connection: psycopg.Connection
    version: int
    role: str
    is_superuser: bool

    @property
    def major(self) -> int:
        return self.version // 10_000

    def run(self, *statements: sql.SQL | sql.Composed) -> None:
        """One after the other; all or nothing where there are several."""
        with in_words():
            if len(statements) == 1:
                self.connection.execute(statements[0])
                return
            with self.connection.transaction():
                for statement in statements:
                    self.connection.execute(statement)

    def rows(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        with in_words():
            return self.connection.execute(query, parameters or None).fetchall()

    @contextmanager
    def inside(self, database: str) -> Iterator[Administrator]:
        """The same role in another database of the server."""
        with self.place.connect(database) as connection:
            trust_catalogues_alone(connection)
            yield Administrator(self.place, connection, self.version, self.role, self.is_superuser)


@contextmanager
def administering(place: Place) -> Iterator[Administrator]:
    """Refused where the server is too old, is a standby, or the role may not do what making a database takes."""
    with place.administer() as connection:
        with in_words():
            row = connection.execute(FACTS).fetchone()
        if row is None:
            raise HostProblem("postgres.failed", "PostgreSQL does not know the role that is signed in.")
        version, in_recovery, is_superuser, may_make_roles, may_make_databases, role = row
        if version < LOWEST * 10_000:
            raise HostProblem(
                "postgres.too-old",
                f"The server is PostgreSQL {version // 10_000}; databases are made on {LOWEST} and newer.",
                "Upgrade it (pg_upgradecluster), or name another one in BAKERY_POSTGRES_ADMIN_URL.",
            )
        if in_recovery:
            raise HostProblem(
                "postgres.in-recovery",
                "The server is in recovery: it is a standby, or still reading its log after a crash. "
                "Nothing can be written to it.",
                "Wait until it is up, or name the primary server in BAKERY_POSTGRES_ADMIN_URL.",
            )
        missing = [
            name for name, there in (("CREATEROLE", may_make_roles), ("CREATEDB", may_make_databases)) if not there
        ]
        if missing and not is_superuser:
            raise HostProblem(
                "postgres.no-createrole" if "CREATEROLE" in missing else "postgres.no-createdb",
                f"The role {role}, with which Bakery administers PostgreSQL, lacks {' and '.join(missing)}.",
                f'As a superuser of PostgreSQL: ALTER ROLE "{role}" {" ".join(missing)}; '
                "or name another role in BAKERY_POSTGRES_ADMIN_URL.",
            )
        yield Administrator(place, connection, version, role, is_superuser)
