"""Asks for the end of a database."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from bakery.models import Task, TaskKind
from databases.models import BackupReason, Database, DatabaseState
from databases.services.requests import ask


def drop_database(database: Database, *, by: User | None, backup_first: bool = True) -> Task:
    """Of one elsewhere only what Bakery knows of it goes. Nothing more can be asked of it from now on."""
    with_backup = backup_first and database.is_managed and database.state == DatabaseState.READY
    said = {"backup": True, "reason": BackupReason.DROP.value} if with_backup else {}
    with transaction.atomic():
        task = ask(database, TaskKind.DROP_DATABASE, by=by, was=database.state, **said)
        Database.objects.filter(pk=database.pk).update(state=DatabaseState.DROPPING)
    return task
