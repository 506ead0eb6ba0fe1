"""The backups before a release's pre-deploy command, for databases whose plan asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime

from bakery.models import Task, TaskKind, TaskState
from databases.models import BackupReason, Database
from databases.services.backups import request_backup
from infrastructure.errors import Problem

LOOK_SECONDS = 0.5


def backup_before_deploy(
    databases: Iterable[Database], *, since: datetime, say: Callable[[str], None], look: Callable[[], None]
) -> None:
    """Back up each of ``databases`` whose plan says so, and wait until all are good.

    ``since``: when the deploy began; a backup that it has asked for before is taken as it is (its worker may have been
    killed). ``look`` is called while it waits, and raises what ends the deploy. ``Problem`` ``backup.before-deploy``:
    one has failed."""
    wanted = [one for one in databases if hasattr(one, "plan") and one.plan.before_deploys]
    asked = [_ask(database, since) for database in wanted]
    for task in asked:
        say(f"Backing up {task.subject} before the pre-deploy command")
    for task in asked:
        _wait(task, look)
        say(f"{task.subject} is backed up")


def _ask(database: Database, since: datetime) -> Task:
    """One that is under way is as good: it may have begun a little earlier, and nothing of this deploy has run yet."""
    tasks = Task.objects.filter(database=database, kind=TaskKind.BACK_UP).order_by("-pk")
    found = tasks.unfinished().first() or tasks.filter(created_at__gte=since, state=TaskState.SUCCEEDED).first()
    if found:
        return found
    try:
        return request_backup(database, by=None, reason=BackupReason.DEPLOY)
    except Problem as problem:
        if problem.id == "database.busy" and (found := tasks.unfinished().first()):
            return found
        raise


def _wait(task: Task, look: Callable[[], None]) -> None:
    while True:
        look()
        task.refresh_from_db()
        if task.state == TaskState.SUCCEEDED:
            return
        if task.is_finished:
            raise Problem(
                "backup.before-deploy",
                f"{task.subject} could not be backed up before the deploy. {task.error_message}".strip(),
                task.error_hint or "Deploy again, or take “before deploys” out of the database's plan.",
            )
        time.sleep(LOOK_SECONDS)
