"""The read-only role of a database, made and dropped on its server."""

from __future__ import annotations

from bakery.events import announce
from databases.models import Database
from databases.services.job import DatabaseJob
from databases.services.server import administrator, names_of, note_server
from infrastructure.postgres import dropping, managed
from infrastructure.postgres.administrator import Administrator


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
