"""Asks once more for a database that could not be made, as it was asked for."""

from __future__ import annotations

from accounts.models import User
from databases.models import Database, DatabaseState
from databases.services.provisioning import AT_BIRTH, create_database, register_external
from infrastructure.errors import Problem


def make_again(database: Database, *, by: User | None) -> Database:
    if database.state != DatabaseState.FAILED:
        raise Problem("database.not-failed", f"{database.name} did not fail.", "See its page.")
    if not database.is_managed:
        return register_external(database.name, database.url.reveal(), by=by)
    settings = {name: getattr(database, name) for name in AT_BIRTH}
    return create_database(
        database.name, by=by, deployment=database.deployment, extensions=database.extensions, **settings
    )
