"""The read-only role of a database, for people. Its password is shown once, to who asked, and kept nowhere: a worker
is told no more than what PostgreSQL itself stores of it."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from bakery.events import announce
from bakery.models import Task, TaskKind
from databases.models import Database
from databases.services.connection import login_url
from databases.services.disclosures import note_disclosure
from databases.services.job import DatabaseJob
from databases.services.provisioning import require_managed
from databases.services.requests import ask
from databases.services.server import administrator, names_of, note_server
from infrastructure.postgres import dropping, managed
from infrastructure.postgres.administrator import Administrator
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


def change(job: DatabaseJob) -> None:
    database, verifier = job.database, job.said["reader"]
    with administrator() as admin:
        note_server(database, admin)
        if verifier:
            with job.phase("read-only role"):
                managed.make_reader(admin, names_of(database), database.reader_role, verifier)
                dropping.end_sessions(admin, database.reader_role)
            job.say(f"{database.reader_role} may read everything in {database.database_name}")
        else:
            with job.phase("drop the read-only role"):
                dropping.drop_role(admin, names_of(database), database.reader_role, heir=database.owner_role)
            job.say(f"{database.reader_role} is dropped")
    Database.objects.filter(pk=database.pk).update(has_reader=bool(verifier))
    announce("database", database.pk)


def let_reader_in(admin: Administrator, database: Database, name: str) -> None:
    """After a restore: to the database that takes the place of the one before."""
    if database.has_reader:
        managed.let_read(admin, names_of(database), database.reader_role, name)
