"""Databases that are in use, renamed and dropped: two change names in one transaction, so whoever connects finds the
one or the other, whole."""

from __future__ import annotations

import threading

import psycopg
from psycopg import sql

from infrastructure.postgres.server import Place, in_words

END_OURS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'USAGE')
"""


def swap(place: Place, name: str, incoming: str, outgoing: str) -> None:
    """``incoming`` gets ``name``, what had that name is called ``outgoing``: both or neither.

    RENAME locks the old database against new connections, then waits 5 s for the others to go (CountOtherDBBackends in
    PostgreSQL's procarray.c). Meanwhile a second connection ends them, also those that came at the last moment.
    """
    done = threading.Event()
    with place.administer() as admin, place.administer() as second:
        ending = threading.Thread(target=_end_connections, args=(second, name, done), name="ending-connections")
        ending.start()
        try:
            with in_words(), admin.transaction():
                exists = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
                renames = [(name, outgoing)] if exists else []
                for old, new in (*renames, (incoming, name)):
                    admin.execute(
                        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
                    )
        finally:
            done.set()
            ending.join()


def drop(connection: psycopg.Connection, database: str) -> None:
    """With whatever is connected to it."""
    plain = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(database))
    with in_words():
        try:
            connection.execute(plain + sql.SQL(" WITH (FORCE)"))
        except psycopg.errors.InsufficientPrivilege:
            # FORCE stops at a session that is not ours to end, such as autovacuum's; a plain DROP asks that one to go,
            # and waits for it (CountOtherDBBackends).
            connection.execute(END_OURS, (database,))
            connection.execute(plain)


def _end_connections(connection: psycopg.Connection, database: str, done: threading.Event) -> None:
    """Of all roles whose connections this one may end."""
    while True:
        try:
            connection.execute(END_OURS, (database,))
        except psycopg.Error:  # RENAME then says whose connection is in the way
            return
        if done.wait(0.05):
            return
