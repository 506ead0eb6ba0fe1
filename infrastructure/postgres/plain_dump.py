"""A plain SQL dump, carried out statement by statement over a connection: the role of that connection bounds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import IO

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus, TransactionStatus

from infrastructure.errors import HostProblem, Problem, Refused
from infrastructure.postgres.plain_rules import left_out
from infrastructure.postgres.server import first_line
from infrastructure.postgres.statements import Statement, Statements

# In these a byte of a letter may look like a quote or a backslash (postgresql.org/docs/current/multibyte.html).
AMBIGUOUS = frozenset({"BIG5", "GB18030", "GBK", "JOHAB", "SJIS", "SHIFT_JIS_2004", "UHC"})
LOOK_EVERY = 64  # statements, or pieces of a table's rows
PART_OF_POSTGRES = "plpgsql"


def no_extension(name: str) -> None:
    """What a database has that has none of its own."""
    if name != PART_OF_POSTGRES:
        raise Refused(
            "dump.extension",
            f"The dump needs the extension {name}, which this database does not have.",
            "Add it to the database's extensions, where it is one of those that there are; else make the dump without.",
        )


def load(
    source: IO[bytes],
    connection: psycopg.Connection,
    *,
    need_extension: Callable[[str], None] = no_extension,
    look: Callable[[], None] = lambda: None,
) -> Counter[str]:
    """Carry out all of it, or raise at the first statement that fails. Returns what was left out, and how often.

    ``connection`` is in autocommit mode and signed in as nobody but the application. ``need_extension`` sees to it that
    there is an extension, or raises. ``look`` is called again and again; what it raises ends the work.
    """
    statements = Statements(source)
    skipped: Counter[str] = Counter()
    number = 0
    while (statement := statements.next()) is not None:
        if number % LOOK_EVERY == 0:
            look()
        number += 1
        try:
            if why := left_out(statement.text, need_extension):
                skipped[why] += 1
            elif statement.text[:4].upper() == b"COPY":
                _copy(connection, statement, statements, look)
            elif not _execute(connection, statement):
                skipped["settings that this server does not know"] += 1
        except psycopg.Error as error:
            raise _in_words(error, statement) from error
        except Refused as problem:
            raise Refused(problem.id, f"Line {statement.line}: {problem.message}", problem.hint) from problem
        _follow_settings(connection, statements)
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise Refused("dump.cut-off", "The dump ends inside a transaction.", "Take another copy of it.")
    return skipped


def _execute(connection: psycopg.Connection, statement: Statement) -> bool:
    """False: it is a setting of another version of PostgreSQL, without which the rest works."""
    try:
        with connection.cursor() as cursor:
            for _ in cursor.stream(statement.text):  # a result is of no interest, and may be larger than the memory
                pass
    except psycopg.ProgrammingError as error:
        if error.sqlstate is None:  # psycopg's own, after the statement was carried out: it had no rows
            return True
        if not isinstance(error, errors.UndefinedObject):
            raise
        if statement.text[:4].upper() != b"SET " or connection.info.transaction_status != TransactionStatus.IDLE:
            raise
        return False
    return True


def _copy(
    connection: psycopg.Connection, statement: Statement, statements: Statements, look: Callable[[], None]
) -> None:
    with connection.cursor() as cursor:
        try:
            with cursor.copy(statement.text) as copy:
                if cursor.pgresult is None or cursor.pgresult.status != ExecStatus.COPY_IN:
                    raise Refused(
                        "dump.copy-out", "The dump asks for rows (COPY … TO).", "Only what pg_dump writes is restored."
                    )
                for number, piece in enumerate(statements.data()):
                    if number % LOOK_EVERY == 0:
                        look()
                    copy.write(piece)
        except psycopg.ProgrammingError as error:
            if error.sqlstate is None:  # psycopg's own: the server asked for no data
                raise Refused(
                    "dump.copy-out", "A COPY of the dump takes no rows.", "Only what pg_dump writes is restored."
                ) from error
            raise


def _follow_settings(connection: psycopg.Connection, statements: Statements) -> None:
    statements.standard_strings = connection.info.parameter_status("standard_conforming_strings") != "off"
    if (encoding := connection.info.parameter_status("client_encoding") or "") in AMBIGUOUS:
        raise Refused(
            "dump.encoding",
            f"The dump is written in {encoding}, in which letters look like quotes.",
            "Make it anew in UTF-8: pg_dump --encoding=UTF8, or in the custom format.",
        )


def _in_words(error: psycopg.Error, statement: Statement) -> Problem:
    said = first_line(error)
    where = f"line {statement.line} of the dump"
    if isinstance(error, errors.DiskFull):
        return HostProblem("postgres.disk-full", f"PostgreSQL found the disk full at {where}.", "Make room.")
    if isinstance(error, errors.InsufficientPrivilege):
        return not_allowed(f"PostgreSQL refused {where}: {said}")
    if (
        isinstance(error, (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow))
        or error.sqlstate is None
    ):
        return HostProblem(
            "postgres.silent", f"PostgreSQL went away at {where}: {said}", "Try again; see manage.py doctor."
        )
    return Refused(
        "dump.failed",
        f"PostgreSQL refused {where}: {said}",
        "Correct the dump, or make it anew: pg_dump --format=custom.",
    )


def not_allowed(message: str) -> Refused:
    return Refused(
        "dump.not-allowed",
        message,
        "A dump is restored with the rights of the application and no others: it may not run programs, read files of"
        " the server, or make what only a superuser may. Leave that out of the dump.",
    )
