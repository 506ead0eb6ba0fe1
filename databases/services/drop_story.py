"""The end of a database: a last backup, then its connections, the database, its roles, and the row.

back up → disconnect and drop → forget
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from bakery.alarms import end_alarm
from bakery.events import announce
from bakery.models import Alarm, Task, TaskState
from databases.models import Backup, BackupState, Database, DatabaseState
from databases.services import backing_up
from databases.services.job import DatabaseJob, NotYet
from databases.services.locks import HEAVY_LOCK, locks
from databases.services.making import take_away
from databases.services.server import administrator, names_of
from infrastructure.errors import Problem
from infrastructure.lock import held_alone
from infrastructure.postgres.dropping import databases_of, roles_of
from infrastructure.postgres.roles import let_back_in


def drop(job: DatabaseJob) -> None:
    database = job.database
    Database.objects.filter(pk=database.pk).update(state=DatabaseState.DROPPING)
    if database.is_managed:
        if job.said.get("backup") and not _is_backed_up(job):
            _back_up_in_turn(job)
        job.refuse_cancelled()
        with administrator() as admin, job.phase("drop"):
            take_away(admin, database)
        job.say(f"{database.database_name} and its roles are dropped")
    _forget(job)


def drop_failed(job: DatabaseJob, problem: Problem | None) -> None:
    """As long as the database is there it can be used again."""
    database = job.database
    if job.said.get("backup"):
        backing_up.give_up(job, problem)
    why = job.masker.mask(str(problem or "It was cancelled."))
    was = job.said.get("was", DatabaseState.READY)
    state = was if was != DatabaseState.DROPPING and _is_there(database) else DatabaseState.DROPPING
    if state == DatabaseState.READY and database.is_managed:
        _let_in_again(job)
    Database.objects.filter(pk=database.pk, state=DatabaseState.DROPPING).update(
        state=state, problem="" if state == DatabaseState.READY else why
    )
    announce("database", database.pk)


def _is_there(database: Database) -> bool:
    if not database.is_managed:
        return True
    try:
        with administrator() as admin:
            return database.database_name in databases_of(admin, names_of(database))
    except Problem:  # then nothing was dropped just now, either
        return True


def _let_in_again(job: DatabaseJob) -> None:
    """The roles were shut out before something was in the way of the drop itself."""
    database = job.database
    try:
        with administrator() as admin:
            for role in roles_of(admin, names_of(database)):
                if role != database.owner_role:
                    admin.run(let_back_in(role))
    except Problem as problem:
        job.say(f"Its roles could not be let in again: {problem.message}")


def _back_up_in_turn(job: DatabaseJob) -> None:
    """With no other dump or restore on the host."""
    with held_alone(locks() / HEAVY_LOCK) as is_ours:
        if not is_ours:
            raise NotYet
        backing_up.back_up(job)


def _is_backed_up(job: DatabaseJob) -> bool:
    return Backup.objects.filter(task=job.task, state=BackupState.GOOD).exists()


def _forget(job: DatabaseJob) -> None:
    """The row goes, and the task has succeeded: at once, as a worker finds a task by its database. Backups stay."""
    database = job.database
    pk, deployments = database.pk, list(database.attachments.values_list("deployment", flat=True))
    job.close_log()
    with transaction.atomic():
        # What was asked of it in vain, and would never be found again.
        asked = Task.objects.unfinished().filter(database=database).exclude(pk=job.task.pk).values_list("pk", flat=True)
        others = Task.objects.filter(pk__in=list(asked))
        database.delete()
        Task.objects.filter(pk=job.task.pk).update(state=TaskState.SUCCEEDED, ended_at=timezone.now())
        others.update(state=TaskState.CANCELLED, ended_at=timezone.now())
    about = Alarm.objects.filter(key__startswith="database.", key__endswith=f":{pk}", ended_at=None)
    end_alarm(*about.values_list("key", flat=True))
    announce("database", pk)
    for deployment in deployments:
        announce("deployment", deployment)
