"""What can be asked of a database. Each writes a ``Task`` and wakes a worker; the row is the request."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from accounts.models import User
from bakery.events import announce
from bakery.models import Task, TaskKind
from databases.models import Database, DatabaseState
from infrastructure.errors import Problem

logger = logging.getLogger(__name__)


def ask(database: Database, kind: TaskKind, *, by: User | None, **said: Any) -> Task:
    """Queue it. Refused while one of the same kind is under way, and for a database that is being dropped."""
    ref = json.dumps(said) if said else ""
    try:
        with transaction.atomic():
            locked = Database.objects.select_for_update().get(pk=database.pk)
            if locked.state == DatabaseState.DROPPING and kind not in (TaskKind.DROP_DATABASE, TaskKind.BACK_UP):
                raise Problem(
                    "database.dropping", f"{locked.name} is being dropped.", "Nothing more can be asked of it."
                )
            task = Task.objects.create(
                kind=kind,
                subject=locked.name,
                database=locked,
                deployment=locked.deployment,
                requested_by=by,
                ref=ref,
            )
    except IntegrityError as error:
        raise Problem(
            "database.busy",
            f"“{TaskKind(kind).label}” is under way for {database.name} already.",
            "Wait until that has ended: see Activity.",
        ) from error
    announce("task", task.pk)
    announce("database", database.pk)
    wake(database.pk)
    return task


def wake(database_id: int) -> None:
    """Tell a worker to look at the database, once the transaction is committed."""
    transaction.on_commit(lambda: send_wake_up(database_id), robust=True)


def send_wake_up(database_id: int) -> None:
    from databases.tasks import work

    try:
        work.apply_async((database_id,), retry=False)
    except (OperationalError, OSError) as error:  # tending finds the task
        logger.warning("Database %s: no worker could be woken: %s", database_id, error)
