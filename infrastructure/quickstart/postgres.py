"""A PostgreSQL cluster of the instance's own: loopback, passwords, small memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.quickstart.environment_file import Services
from infrastructure.quickstart.layout import Account, Layout
from infrastructure.quickstart.programs import Postgres
from infrastructure.runner import Command, Runner
from infrastructure.secret import Secret

SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",  # a socket's path is limited to 107 characters, the data directory's is not
    "max_connections": "80",
    "shared_buffers": "32MB",
    "huge_pages": "off",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_timezone": "'UTC'",
    "timezone": "'UTC'",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


def as_account(account: Account | None, argv: tuple[str, ...]) -> tuple[str, ...]:
    """``argv`` under another account; it becomes the program, so signals reach it."""
    if account is None:
        return argv
    return ("setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--", *argv)


def initdb(binaries: Postgres, cluster: Path, password_file: Path, account: Account | None) -> Command:
    argv = (
        str(binaries.bin / "initdb"),
        "--username=bakery",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "-D",
        str(cluster),
    )
    env = {"LD_LIBRARY_PATH": binaries.libraries} if binaries.libraries else {}
    return Command(as_account(account, argv), cwd=Path("/"), env=env, timeout=120)


def settings_text(port: int) -> str:
    return "".join(f"{name} = {value}\n" for name, value in {**SETTINGS, "port": str(port)}.items())


def prepare(layout: Layout, binaries: Postgres, reached: Services, account: Account | None, runner: Runner) -> bool:
    """Make the cluster when there is none and write its settings. Returns whether it is new."""
    is_new = not (layout.postgres / "PG_VERSION").exists()
    if is_new:
        _make(layout, binaries, reached.postgres_password, account, runner)
    settings = layout.postgres / "bakery.conf"
    settings.write_text(settings_text(reached.postgres_port))
    if account:
        os.chown(settings, account.uid, account.gid)
    return is_new


def _make(layout: Layout, binaries: Postgres, password: Secret, account: Account | None, runner: Runner) -> None:
    """Beside its place first: a start that is ended in the middle leaves nothing that looks like a cluster."""
    beside = layout.data / "postgres.new"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(layout.postgres, ignore_errors=True)  # without PG_VERSION it never was a cluster
    beside.mkdir(mode=0o700)
    handle, name = tempfile.mkstemp(prefix="bakery-password-")
    password_file = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(password.reveal())
        if account:
            os.chown(beside, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        runner.run(initdb(binaries, beside, password_file, account))
    finally:
        password_file.unlink(missing_ok=True)
    with (beside / "postgresql.conf").open("a") as main:
        main.write("\ninclude 'bakery.conf'\n")
    beside.rename(layout.postgres)


def wait_and_create_database(reached: Services, seconds: float = 60.0) -> None:
    """Until the server answers; then the database, when it is not there."""
    import psycopg
    from psycopg import sql

    address = reached.database_url.rsplit("/", 1)[0] + "/postgres"
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = psycopg.connect(address, autocommit=True, connect_timeout=3)
            break
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise HostProblem(
                    "quickstart.postgres-silent",
                    f"PostgreSQL did not answer within {seconds:g} s: {str(error).strip().splitlines()[-1]}",
                    "Its log is logs/postgres.log in the data directory.",
                ) from error
            time.sleep(0.1)
    with connection:
        row = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'bakery'").fetchone()
        if row is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier("bakery")))
        # Applications have roles of their own on this server: they get into their own databases alone.
        for name in ("bakery", "postgres", "template1"):
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
