"""Whole databases of PostgreSQL: dumped to a file, and brought back in the place of the one that is there.

A dump is ``pg_dump``'s custom format: compressed, consistent as of its first moment, written while everything runs.
``restore`` makes a new database beside the old one, fills it, and swaps the two names in one transaction, so whoever
connects finds the old one or the new one, whole. The old one stays, under another name, until ``drop_previous``.

The role of the URL needs CREATEDB for a restore, and has to own the database: the installer makes it so. Passwords
travel by environment. Everything that is refused is a ``HostProblem`` whose id begins with ``postgres.``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.errors import HostProblem
from infrastructure.files import sync_directory
from infrastructure.postgres.server import Place, in_words
from infrastructure.postgres.swapping import drop, swap
from infrastructure.postgres.tools import ClientTools, find_tools, fitting
from infrastructure.runner import Command, CommandFailed, Runner
from infrastructure.secret import Masker, Secret

DUMP_SECONDS = RESTORE_SECONDS = 6 * 3600.0
LOCK_WAIT = "120s"  # of pg_dump, for a table that a migration holds
LONGEST_NAME = 63  # NAMEDATALEN - 1


def dump(
    database_url: str,
    file: Path,
    runner: Runner,
    *,
    without_rows_of: Sequence[str] = (),
    private_tools: Path | None = None,
) -> None:
    """Write the database to ``file`` (0600), which appears when it is whole. Of the tables in ``without_rows_of``
    only the definition goes in. ``private_tools``: the tools directory of a quickstart."""
    place = Place.of(database_url)
    with place.connect() as connection:
        server = connection.info.server_version // 10_000
    tools = fitting(find_tools(private_tools), server)[0]
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _run(dump_command(tools, place, beside, without_rows_of), runner)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(file)
        sync_directory(file.parent)
    except OSError as error:
        raise HostProblem(
            "postgres.file", f"{file} cannot be written: {error.strerror}.", "Choose another place, or make room."
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def dump_command(tools: ClientTools, place: Place, file: Path, without_rows_of: Sequence[str] = ()) -> Command:
    options = ("--format=custom", "--no-password", f"--lock-wait-timeout={LOCK_WAIT}", f"--file={file}")
    skipped = tuple(f"--exclude-table-data={table}" for table in without_rows_of)
    argv = tools.argv("pg_dump", *options, *skipped)
    return Command(argv, cwd=Path("/"), env={**place.environment(), **tools.environment()}, timeout=DUMP_SECONDS)


def check(file: Path, runner: Runner, *, private_tools: Path | None = None) -> ClientTools:
    """Whether ``file`` is a dump whose table of contents can be read; which programs read it. A dump that is cut off
    further behind shows only when it is restored."""
    return reader_of(file, find_tools(private_tools), runner)


def restore(database_url: str, file: Path, runner: Runner, *, private_tools: Path | None = None) -> str:
    """Put what is in ``file`` in the place of the database; returns the name under which the old one is kept.

    Connections to the old one are ended. When anything fails the old one is where it was.
    """
    place = Place.of(database_url)
    with place.administer() as admin:
        _may_create(admin)
        tools = reader_of(file, fitting(find_tools(private_tools), admin.info.server_version // 10_000), runner)
        incoming, previous = _beside(place.name, "restoring"), _beside(place.name, "before")
        with in_words():
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(incoming))
            )
        try:
            _run(restore_command(tools, place, incoming, file), runner)
            _finish(place, admin, incoming)
            swap(place, place.name, incoming, previous)
        except BaseException:
            drop(admin, incoming)
            raise
    return previous


def restore_command(tools: ClientTools, place: Place, database: str, file: Path) -> Command:
    # Ownership and rights are those of this host's role, whatever the role of the dump was called.
    options = ("--exit-on-error", "--no-owner", "--no-privileges", "--no-password")
    argv = tools.argv("pg_restore", *options, f"--dbname={make_conninfo(dbname=database)}", "--", str(file))
    return Command(argv, cwd=Path("/"), env={**place.environment(), **tools.environment()}, timeout=RESTORE_SECONDS)


def put_back(database_url: str, previous: str) -> None:
    """Undo a ``restore``: the database that it kept takes its old place, the restored one is dropped."""
    place = Place.of(database_url)
    with place.administer() as admin:
        failed = _beside(place.name, "failed")
        swap(place, place.name, previous, failed)
        drop(admin, failed)


def drop_previous(database_url: str, previous: str) -> None:
    with Place.of(database_url).administer() as admin:
        drop(admin, previous)


def _beside(name: str, word: str) -> str:
    """A name of its own for a database beside ``name``; PostgreSQL would cut off what is too long."""
    suffix = f"_{word}_{secrets.token_hex(4)}"
    return name.encode()[: LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix


def _may_create(admin: psycopg.Connection) -> None:
    row = admin.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if not (row and row[0]):
        role = admin.info.user
        raise HostProblem(
            "postgres.no-createdb",
            f"The role {role} of DATABASE_URL may not create databases, so nothing can be restored beside the old one.",
            f'As a superuser of PostgreSQL: ALTER ROLE "{role}" CREATEDB;',
        )


def reader_of(file: Path, candidates: list[ClientTools], runner: Runner) -> ClientTools:
    """The first of the programs that can read the dump."""
    if not candidates:
        raise HostProblem(
            "postgres.no-tools", "pg_restore is not on this host.", "Install it: apt-get install postgresql-client."
        )
    if not file.is_file():
        raise HostProblem("postgres.file", f"There is no file {file}.", "Check its name.")
    said = ""
    for tools in candidates:
        argv = (str(tools.bin / "pg_restore"), "--list", "--", str(file))
        result = runner.run(Command(argv, cwd=Path("/"), env=tools.environment(), timeout=600), check=False)
        if result.exit_code == 0:
            return tools
        said = result.output
    if "unsupported version" in said:
        newest = candidates[-1].major
        raise HostProblem(
            "postgres.newer-dump",
            f"The dump was written by a newer pg_dump than the newest pg_restore of this host can read ({newest}).",
            "Install postgresql-client of the version with which it was made, or a newer one.",
        )
    raise HostProblem(
        "postgres.not-a-dump", f"{file.name} is no dump of a database, or it is damaged.", "Take another copy of it."
    )


def _finish(place: Place, admin: psycopg.Connection, incoming: str) -> None:
    """What a dump does not bring: statistics for the planner, and who may connect."""
    with in_words(), place.connect(incoming) as connection:
        connection.execute("ANALYZE")
    row = admin.execute(
        "SELECT has_database_privilege('public', datname, 'CONNECT') FROM pg_database WHERE datname = %s", (place.name,)
    ).fetchone()
    if row and not row[0]:
        with in_words():
            admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(incoming)))


def _run(command: Command, runner: Runner) -> None:
    try:
        runner.run(command)
    except CommandFailed as failure:
        raise explained(failure.result.output, command) from failure


def explained(output: str, command: Command) -> HostProblem:
    password = command.env.get("PGPASSWORD")
    text = Masker([password] if isinstance(password, Secret) else []).mask(output.strip())
    program = Path(next(part for part in command.argv if "/" in part)).name
    last = next((line for line in reversed(text.splitlines()) if "error" in line.lower()), "") or text[-300:]
    if "No space left on device" in output or "could not extend file" in output:
        return HostProblem("postgres.disk-full", f"{program} found the disk full: {last[:300]}", "Make room.")
    if "server version mismatch" in output:
        return HostProblem(
            "postgres.no-tools",
            f"{program} does not fit the server: {last[:300]}",
            "Install postgresql-client of the server's version.",
        )
    return HostProblem("postgres.failed", f"{program} failed: {last[:400]}", "PostgreSQL's own log may say more.")
