"""The read-only role of a database, for people. Its password is shown once, to who asked, and kept nowhere: a worker
is told no more than what PostgreSQL itself stores of it."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from bakery.models import Task, TaskKind
from databases.models import Database
from databases.services.connection import login_url
from databases.services.disclosures import note_disclosure
from databases.services.provisioning import require_managed
from databases.services.requests import ask
from infrastructure.postgres.scram import new_password, verifier_of
from infrastructure.secret import Secret


def make_reader(database: Database, *, by: User | None) -> tuple[Task, Secret]:
    """The connection string, which works once the task has succeeded. Asked for again, the password before ends."""
    require_managed(database)
    password = new_password()
    with transaction.atomic():
        task = ask(database, TaskKind.CHANGE_DATABASE, by=by, reader=verifier_of(password))
        note_disclosure(database, "the read-only connection string", to=by)
    return task, login_url(database, database.reader_role, password)


def drop_reader(database: Database, *, by: User | None) -> Task:
    require_managed(database)
    return ask(database, TaskKind.CHANGE_DATABASE, by=by, reader="")
