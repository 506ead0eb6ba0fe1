"""A dump that goes through Bakery's hands on its way to the disk: read from ``pg_dump`` piece by piece, never whole in
memory, together with how many rows each table had at the dump's own moment.

The transaction that counts exports its snapshot, and ``pg_dump`` dumps that very snapshot, so a restore of the dump
has exactly these rows whatever is written meanwhile (postgresql.org/docs/current/functions-admin.html, “Snapshot
Synchronization Functions”). Both work at the same time, on connections of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.errors import HostProblem
from infrastructure.postgres.dumps import DUMP_SECONDS, LOCK_WAIT, RESTORE_SECONDS, explained, reader_of
from infrastructure.postgres.patience import silent_for
from infrastructure.postgres.server import Place, first_line, in_words
from infrastructure.postgres.tools import ClientTools, find_tools, fitting
from infrastructure.runner import Command, CommandFailed, LogSink, Runner

# zlib, which every pg_restore reads. The level that pg_dump takes by itself, 6, costs twice the time for files that are
# smaller by a tenth (benchmarks.databases).
COMPRESSION = 3
LIST_SECONDS = 600.0
LOOK_SECONDS = 0.2
CANCEL_SECONDS = 5.0  # for a server to do what it is told
# The application's own limits are not those of a dump. 17 has one more.
WITHOUT_LIMITS = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = 0"
# Tables whose rows a dump holds: no views, no foreign tables, nothing that comes with an extension.
TABLES = """
SELECT n.nspname, c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
   AND NOT EXISTS (SELECT 1 FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Dumped:
    """What is known of a dump when it is made. ``rows``: of each table, by “schema.table”."""

    server_version: int
    tools: ClientTools
    rows: dict[str, int] = field(repr=False)


def stream_dump(
    place: Place,
    into: LogSink,
    runner: Runner,
    *,
    on_output: LogSink | None = None,
    watch: Callable[[], None] | None = None,
    private_tools: Path | None = None,
) -> Dumped:
    """Give the whole dump to ``into``. What ``watch`` raises, every fifth of a second, ends it."""
    with _counting(place) as counter:
        version = counter.connection.info.server_version
        tools = fitting(find_tools(private_tools), version // 10_000)[0]
        command = stream_command(tools, place, counter.snapshot, watch)
        try:
            runner.run(command, on_output, into=into)
        except CommandFailed as failure:
            counter.refuse_failed()  # which ends the transaction, and with it the snapshot
            raise explained(failure.result.output, command) from failure
        return Dumped(version, tools, counter.result(watch or (lambda: None)))


def stream_command(tools: ClientTools, place: Place, snapshot: str, watch: Callable[[], None] | None = None) -> Command:
    options = ("--format=custom", f"--compress={COMPRESSION}", "--no-password", f"--lock-wait-timeout={LOCK_WAIT}")
    return Command(
        tools.argv("pg_dump", *options, f"--snapshot={snapshot}"),
        cwd=Path("/"),
        env={**place.environment(), **tools.environment()},
        timeout=DUMP_SECONDS,
        watch=watch,
        merge_stderr=False,
    )


def count_entries(source: Iterable[bytes], tools: ClientTools, runner: Runner) -> int:
    """How many entries ``pg_restore --list`` finds in a dump; raises ``HostProblem`` where it cannot read it."""
    counter = _Lines()
    argv = (str(tools.bin / "pg_restore"), "--list")
    command = Command(argv, cwd=Path("/"), env=tools.environment(), timeout=LIST_SECONDS, merge_stderr=False)
    try:
        runner.run(command, into=counter.add, source=source)
    except CommandFailed as failure:
        said = (failure.result.output.strip().splitlines() or ["nothing"])[-1]
        raise HostProblem(
            "postgres.not-a-dump", f"pg_restore cannot read the dump: {said[:300]}", "Make another backup."
        ) from failure
    return counter.entries()


def restore_into(
    place: Place,
    file: Path,
    runner: Runner,
    *,
    on_output: LogSink | None = None,
    watch: Callable[[], None] | None = None,
    private_tools: Path | None = None,
) -> None:
    """Fill an empty database with what is in the dump, all of it the role's of ``place``."""
    with place.connect() as connection:
        version = connection.info.server_version
    tools = reader_of(file, fitting(find_tools(private_tools), version // 10_000), runner)
    command = restore_command(tools, place, file, watch)
    try:
        runner.run(command, on_output)
    except CommandFailed as failure:
        raise explained(failure.result.output, command) from failure


def restore_command(tools: ClientTools, place: Place, file: Path, watch: Callable[[], None] | None = None) -> Command:
    # Comments on extensions are their owner's, who may be somebody else; what publishes to other servers stays away.
    without = ("owner", "privileges", "comments", "publications", "subscriptions", "security-labels")
    options = ("--exit-on-error", *(f"--no-{what}" for what in without), "--no-password")
    argv = tools.argv("pg_restore", *options, f"--dbname={make_conninfo(dbname=place.name)}", "--", str(file))
    env = {**place.environment(), **tools.environment()}
    return Command(argv, cwd=Path("/"), env=env, timeout=RESTORE_SECONDS, watch=watch)


def rows_of(place: Place) -> dict[str, int]:
    """Rows of each table now."""
    with _counting(place) as counter:
        return counter.result()


class _Lines:
    """Counts the lines of a list that are no comments."""

    def __init__(self) -> None:
        self._found = 0
        self._rest = b""

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._found += sum(1 for line in lines if line.strip() and not line.startswith(b";"))

    def entries(self) -> int:
        self.add(b"\n")
        return self._found


class _Counter(threading.Thread):
    def __init__(self, connection: psycopg.Connection) -> None:
        super().__init__(name="counting-rows", daemon=True)
        self.connection = connection
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        self.snapshot = str(row[0]) if row else ""
        self._rows: dict[str, int] = {}
        self._failure: Exception | None = None
        self.unwanted = threading.Event()

    def run(self) -> None:
        try:
            for schema, table in self.connection.execute(TABLES).fetchall():
                if self.unwanted.is_set():
                    return
                query = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(schema, table))
                row = self.connection.execute(query).fetchone()
                self._rows[f"{schema}.{table}"] = int(row[0]) if row else 0
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            self._failure = error

    def refuse_failed(self) -> None:
        if isinstance(self._failure, psycopg.errors.InsufficientPrivilege):
            raise HostProblem(
                "postgres.unreadable",
                f"Not everything in the database can be read: {first_line(self._failure)}.",
                "What belongs to another role than the database's owner has to be given to that one "
                "(ALTER TABLE … OWNER TO …), or it has to be let in (GRANT SELECT, policies of row security).",
            ) from self._failure
        with in_words():
            if self._failure:
                raise self._failure

    def result(self, look: Callable[[], None] = lambda: None) -> dict[str, int]:
        until = time.monotonic() + DUMP_SECONDS
        while self.is_alive():
            self.join(LOOK_SECONDS)
            look()
            if time.monotonic() > until:
                raise HostProblem("postgres.silent", "PostgreSQL does not end counting rows.", "Try again later.")
        self.refuse_failed()
        return self._rows


@contextmanager
def _counting(place: Place) -> Iterator[_Counter]:
    """Counting, in a transaction that ends with the block."""
    with place.connect() as connection:
        with in_words(), silent_for(connection):
            connection.execute(WITHOUT_LIMITS)
            if connection.info.server_version >= 170_000:
                connection.execute("SET transaction_timeout = 0")
            # Rows that a policy hides would be missing without a word; so it is an error, as it is for pg_dump.
            connection.execute("SET row_security = off")
            # Several processes of the server's would take the processor from the dump that runs beside.
            connection.execute("SET max_parallel_workers_per_gather = 0")
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            counter = _Counter(connection)
        counter.start()
        try:
            yield counter
        finally:
            counter.unwanted.set()
            with silent_for(connection, CANCEL_SECONDS):
                with suppress(psycopg.Error):
                    if counter.is_alive():
                        connection.cancel_safe(timeout=CANCEL_SECONDS)
                counter.join()
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
