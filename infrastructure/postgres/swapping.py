"""Two databases that change names, in one transaction: whoever connects finds the one or the other, whole."""

from __future__ import annotations

import threading

import psycopg
from psycopg import sql

from infrastructure.postgres.server import Place, in_words


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


def _end_connections(connection: psycopg.Connection, database: str, done: threading.Event) -> None:
    """Of all roles whose connections this one may end."""
    while True:
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'USAGE')",
                (database,),
            )
        except psycopg.Error:  # RENAME then says whose connection is in the way
            return
        if done.wait(0.05):
            return
