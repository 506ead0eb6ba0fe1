"""What is so of databases on this host, after a panel was restored here: its backup holds their names and passwords,
and nothing of what is in them."""

from __future__ import annotations

import logging

from django.utils import timezone

from databases.models import Backup, BackupState, Database, DatabaseKind, DatabaseState
from databases.services.making import close_own, make_login
from databases.services.server import administrator, names_of
from infrastructure.errors import Problem
from infrastructure.postgres.administrator import Administrator
from infrastructure.postgres.managed import has_database

logger = logging.getLogger(__name__)
NOT_HERE = (
    "Bakery was restored on this host from a backup of the panel, which holds nothing of what is in databases: that is "
    "on the host that was left. Make it again (manage.py database create {name}), then restore its newest backup into "
    "it: copies in a storage are reached from here, files are copied from the old host's backups directory into this "
    "one's."
)
INTERRUPTED = "Bakery was restored from a backup that was made while this one was being made."


def take_over() -> None:
    """A database that is not here says so and how to bring it back; one that is (the panel was restored where it was)
    gets the password of the record. One that was being dropped is not forgotten while it is here."""
    Backup.objects.filter(state=BackupState.RUNNING).update(
        state=BackupState.FAILED, problem=INTERRUPTED, ended_at=timezone.now()
    )
    managed = list(Database.objects.managed().order_by("pk"))
    close_own()
    try:
        with administrator() as admin:
            for database in managed:
                _judge(admin, database)
    except Problem as problem:  # no reason to call lost what may be there: measuring alarms where it does not answer
        logger.warning("Whether databases are on this host could not be seen: %s", problem)
        said = f"Whether it is on this host could not be seen: {problem.message}"
        Database.objects.managed().update(problem=said)
    Database.objects.filter(kind=DatabaseKind.EXTERNAL, state=DatabaseState.DROPPING).delete()
    Database.objects.filter(kind=DatabaseKind.EXTERNAL, state=DatabaseState.CREATING).update(
        state=DatabaseState.FAILED, problem="Whether it answers was never seen. Register it again."
    )


def what_to_know() -> list[str]:
    notes = []
    missing = Database.objects.managed().filter(state=DatabaseState.FAILED).values_list("name", flat=True)
    if names := ", ".join(missing):
        notes.append(
            f"Databases are in no backup of the panel: {names}. Each one's page says how to bring it back from its own "
            "backups; deploys that need it fail until then."
        )
    if names := ", ".join(_strangers()):
        notes.append(
            f"On this host's PostgreSQL are databases that the restored panel does not know: {names}. "
            "When nobody needs them, drop them there."
        )
    return notes


def _judge(admin: Administrator, database: Database) -> None:
    if not _is_here(admin, database):
        if database.state == DatabaseState.DROPPING:
            database.delete()
        else:
            _fail(database, NOT_HERE.format(name=database.name))
        return
    if database.state == DatabaseState.CREATING:
        _fail(database, f"{INTERRUPTED} Make it again.")
        return
    try:
        make_login(admin, database)
    except Problem as problem:
        Database.objects.filter(pk=database.pk).update(
            problem=f"It is here, and its password could not be set: {problem.message} Rotate its password."
        )
    Database.objects.filter(pk=database.pk, state=DatabaseState.DROPPING).update(state=DatabaseState.READY)


def _is_here(admin: Administrator, database: Database) -> bool:
    """Ours by its comment: another Bakery's of the same name is not."""
    try:
        return has_database(admin, names_of(database))
    except Problem as problem:
        if problem.id != "database.name-taken":  # a server that does not answer says nothing of it
            raise
        return False


def _fail(database: Database, problem: str) -> None:
    Database.objects.filter(pk=database.pk).update(state=DatabaseState.FAILED, problem=problem)


def _strangers() -> list[str]:
    known = [(database.database_name, database) for database in Database.objects.managed()]
    try:
        with administrator() as admin:
            rows = admin.rows("SELECT datname FROM pg_database WHERE datname ~ %s", r"^bakery_db_\d")
            ours = {name for name, database in known if _is_here(admin, database)}
    except Problem:
        return []
    found = [str(row[0]) for row in rows]
    return sorted(name for name in found if not any(name == one or name.startswith(f"{one}_") for one in ours))
