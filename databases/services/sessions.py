"""Who reads a database whole, and who is given a dump to try: never the administrative role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from databases.models import Database
from databases.services.external import conninfo_of
from databases.services.server import administrator, names_of
from infrastructure.postgres import temporary
from infrastructure.postgres.server import Place


@contextmanager
def reading(database: Database) -> Iterator[Place]:
    """With the owner's rights, as a role that is made for it. One elsewhere is read as the role of its address."""
    if not database.is_managed:
        yield Place.of(conninfo_of(database.url))  # no file or socket of this machine takes part
        return
    with administrator() as admin:
        role = f"{database.database_name}_dump"
        with temporary.as_member(admin, names_of(database), role) as place:
            yield place


@contextmanager
def scratch(database: Database) -> Iterator[Place]:
    """An empty database like it, on the same server, gone afterwards."""
    with administrator() as admin:
        name = f"{database.database_name}_test"
        with temporary.scratch_database(admin, names_of(database), name) as place:
            yield place
