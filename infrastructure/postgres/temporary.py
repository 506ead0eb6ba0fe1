"""Roles and databases that last as long as one task: what dumps a database, and where a dump is tried.

What applications have put into a database may run in whoever reads or restores it (a CHECK, an index on an expression),
and can undo a ``SET ROLE``. So neither is ever done as the administrative role, but as one that signs in for it with a
password of its own, has the rights of the database's owner or of nobody, and is gone afterwards. Being another role
than the application's it has no part in that one's connection limit either.

Everything can be called again: what a killed worker left is used, or removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from infrastructure.errors import HostProblem
from infrastructure.postgres import managed, roles
from infrastructure.postgres.administrator import Administrator
from infrastructure.postgres.dropping import drop_database, drop_role
from infrastructure.postgres.managed import Names
from infrastructure.postgres.patience import silent_for
from infrastructure.postgres.roles import Limits
from infrastructure.postgres.scram import new_password, verifier_of
from infrastructure.postgres.server import Place, in_words
from infrastructure.secret import Secret

LIMITS = Limits(connections=8, statement_seconds=0, idle_seconds=0)
LIKE = "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = %s"


@contextmanager
def as_member(admin: Administrator, names: Names, role: str) -> Iterator[Place]:
    """The database as ``role``, which is made for it: a member of its owner that acts as it and nothing else."""
    password = new_password()
    try:
        managed.make_login(admin, names, role, verifier_of(password), LIMITS)
        yield _place(admin, names.database, role, password)
    finally:
        with suppress(HostProblem):  # the server is away: the next task of the database removes it
            drop_role(admin, names, role, heir=names.owner)


@contextmanager
def scratch_database(admin: Administrator, names: Names, name: str) -> Iterator[Place]:
    """An empty database ``name`` with the encoding and locale of the one of ``names``, as a role of the same name that
    owns it and may nothing else."""
    own = Names(name, name, names.token)
    rows = admin.rows(LIKE, names.database)
    if not rows:
        raise HostProblem("postgres.gone", f"The database {names.database} is not on the server any more.")
    encoding, locale = (str(value) for value in rows[0])
    _forget(admin, own)
    password = new_password()
    try:
        managed.make_role(admin, own, name)
        admin.run(*roles.limit(name, LIMITS), roles.let_in(name, verifier_of(password)))
        managed.make_database(admin, own, encoding=encoding, locale=locale)
        yield _place(admin, name, name, password)
    finally:
        with suppress(HostProblem):
            _forget(admin, own)


def size_of(place: Place) -> int:
    """Bytes, with indexes and what is dead."""
    with place.connect() as connection, in_words(), silent_for(connection):
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0


def _forget(admin: Administrator, own: Names) -> None:
    drop_database(admin, own, own.database)
    drop_role(admin, own, own.owner)


def _place(admin: Administrator, database: str, role: str, password: Secret) -> Place:
    server = {name: value for name, value in admin.place.parts.items() if name != "passfile"}
    return replace(admin.place, parts={**server, "dbname": database, "user": role, "password": password.reveal()})
