"""What a database measures: size, tables, connections, cache, bloat, slow queries. As the role of its own address, so
that nothing which an application has put into its database can act with Bakery's rights.

Everything is read in one transaction that may not write, with time limits that stand in it alone (a pooler may share
the session with others), and names that ``pg_catalog`` resolves, not the application. What a server refuses or has not
got is left out; it does not spoil the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from infrastructure.errors import HostProblem
from infrastructure.postgres.patience import silent_for
from infrastructure.postgres.server import Place, in_words

STATEMENT_SECONDS, LOCK_SECONDS = 10, 2
LARGEST, SLOWEST = 20, 20
QUERY_LENGTH = 600
LIMITS = (
    "SET TRANSACTION READ ONLY",
    f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'",
    f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'",
    "SET LOCAL search_path = pg_catalog",
)
T = TypeVar("T")

SIZE = "SELECT /* Bakery measures */ pg_database_size(current_database())"
TABLES = """
SELECT /* Bakery measures */ count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""
CONNECTIONS = """
SELECT /* Bakery measures */ count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(backend_type, 'client backend') = 'client backend'
"""
# Of the application's own tables: reading catalogues, as we do here, would make every cache look good.
BLOCKS = """
SELECT /* Bakery measures */ coalesce(sum(coalesce(heap_blks_hit, 0) + coalesce(idx_blks_hit, 0)
                  + coalesce(toast_blks_hit, 0) + coalesce(tidx_blks_hit, 0)), 0)::bigint,
       coalesce(sum(coalesce(heap_blks_read, 0) + coalesce(idx_blks_read, 0)
                  + coalesce(toast_blks_read, 0) + coalesce(tidx_blks_read, 0)), 0)::bigint
FROM pg_statio_user_tables
"""
# How many pages the rows would take that a table had when it was analysed last, against how many it had then: a header
# of 24 bytes and a line pointer of 4 for each row, on pages with a header of 24 (postgresql.org/docs/current/
# storage-page-layout.html). What was never analysed has no estimate. The size of the thousand that are largest by the
# statistics is asked for, as each is a look at the disk.
LARGEST_TABLES = """
WITH /* Bakery measures */ candidates AS (
  SELECT c.oid, n.nspname, c.relname, c.relpages, c.reltuples,
         coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions)
                   WHERE option_name = 'fillfactor'), 100) AS filled
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
  WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
  ORDER BY c.relpages + coalesce(t.relpages, 0) DESC, c.oid DESC LIMIT 1000
), widths AS (
  SELECT schemaname, tablename, sum((1 - null_frac) * avg_width) AS width FROM pg_stats GROUP BY 1, 2
), pages AS (
  SELECT c.*, current_setting('block_size')::int AS page,
         CASE WHEN c.reltuples >= 0 AND c.relpages > 0 AND w.width IS NOT NULL
              THEN ceil(c.reltuples * (28 + ceil(w.width / 8) * 8)
                        / ((current_setting('block_size')::int - 24) * c.filled / 100.0)) END AS wanted
  FROM candidates AS c LEFT JOIN widths AS w ON w.schemaname = c.nspname AND w.tablename = c.relname
)
SELECT nspname, relname, pg_total_relation_size(oid) AS bytes, greatest(reltuples, -1)::bigint,
       (greatest(relpages - wanted, 0) * page)::bigint
FROM pages ORDER BY bytes DESC NULLS LAST, nspname, relname
"""
EXTENSION = """
SELECT /* Bakery measures */ n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
# Statements that set a password were not stripped of it before 16. Our own ones and those of transactions are left out.
SLOW = r"""
SELECT /* Bakery measures */ left(query, {length}), calls, mean_exec_time, total_exec_time FROM {view}
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = {database})
  AND query !~* 'password' AND query NOT IN ('<insufficient privilege>', '') AND query NOT LIKE '%Bakery measures%'
  AND query !~* '^\s*(begin|start|commit|rollback|savepoint|release|set|show|discard|deallocate)\M'
ORDER BY total_exec_time DESC LIMIT {most}
"""


@dataclass(frozen=True)
class Table:
    table: str  # "schema.table"
    bytes: int
    rows: int | None  # the server's own estimate; None: never analysed
    bloat_bytes: int | None


@dataclass(frozen=True)
class SlowQuery:
    query: str
    calls: int
    mean_ms: float
    total_ms: float


@dataclass(frozen=True)
class Measured:
    version: int  # as 150004
    size_bytes: int
    tables: int
    connections: int  # but for ours
    blocks_hit: int  # since the server's counters were reset
    blocks_read: int
    bloat_bytes: int | None  # of all tables that have an estimate
    largest: list[Table] = field(default_factory=list)
    slow: list[SlowQuery] | None = None  # None: pg_stat_statements is not there


def answers(place: Place) -> int:
    """Whether somebody can sign in there; the server's version."""
    with in_words(), place.connect() as connection, silent_for(connection):
        connection.execute("SELECT 1")
        return connection.info.server_version


def measure(place: Place, admin: Place | None = None) -> Measured:
    """``admin``: asked for the slow queries where the database itself has no pg_stat_statements."""
    with in_words(), place.connect() as connection, silent_for(connection), connection.transaction():
        for statement in LIMITS:
            connection.execute(statement)
        measured = _measure(connection)
    if measured.slow is None and admin is not None:
        return replace(measured, slow=_slow_on_server(admin, place.name))
    return measured


def _measure(connection: psycopg.Connection) -> Measured:
    size = _row(connection, SIZE)[0]
    hit, read = _row(connection, BLOCKS)
    tables = _optional(connection, lambda: _tables(connection)) or []
    estimates = [table.bloat_bytes for table in tables if table.bloat_bytes is not None]
    return Measured(
        version=connection.info.server_version,
        size_bytes=size,
        tables=_row(connection, TABLES)[0],
        connections=_row(connection, CONNECTIONS)[0],
        blocks_hit=hit,
        blocks_read=read,
        bloat_bytes=sum(estimates) if estimates else None,
        largest=tables[:LARGEST],
        slow=_optional(connection, lambda: _slow(connection)),
    )


def _tables(connection: psycopg.Connection) -> list[Table]:
    return [
        Table(f"{schema}.{name}", size, rows if rows >= 0 else None, bloat)
        for schema, name, size, rows, bloat in connection.execute(LARGEST_TABLES)
        if size is not None  # dropped just now
    ]


def _slow(connection: psycopg.Connection, database: str | None = None) -> list[SlowQuery] | None:
    """From the extension's own view, found by its schema: a view of that name somewhere else is the application's.
    ``database``: another one than where we are."""
    found = connection.execute(EXTENSION).fetchone()
    if found is None:
        return None
    query = sql.SQL(SLOW).format(
        length=sql.Literal(QUERY_LENGTH),
        view=sql.Identifier(found[0], "pg_stat_statements"),
        database=sql.Literal(database) if database else sql.SQL("current_database()"),
        most=sql.Literal(SLOWEST),
    )
    return [SlowQuery(str(text), calls, mean, total) for text, calls, mean, total in connection.execute(query)]


def _slow_on_server(admin: Place, database: str) -> list[SlowQuery] | None:
    """The extension in the administrator's own database lists the queries of all."""
    try:
        with in_words(), admin.administer() as connection, connection.transaction():
            for statement in LIMITS:
                connection.execute(statement)
            return _slow(connection, database)
    except HostProblem:  # they are no reason to have no figures
        return None


def _optional(connection: psycopg.Connection, ask: Callable[[], T]) -> T | None:
    """What may be refused, in a savepoint; ``None`` when it is."""
    try:
        with connection.transaction():
            return ask()
    except psycopg.OperationalError:
        if connection.broken:
            raise
        return None
    except psycopg.Error:
        return None


def _row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has one
    return row
