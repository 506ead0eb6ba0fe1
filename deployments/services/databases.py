"""What the release engine does about the databases of a release before it starts it: wait for one that is being made,
and back up before the pre-deploy command."""

from __future__ import annotations

import time

from bakery.models import Task, TaskKind, TaskState
from databases.models import BackupReason, Database, DatabaseState
from databases.services.requests import ask
from deployments.services.job import Job
from deployments.services.slots import injected
from infrastructure.errors import Problem

LOOK_SECONDS = 0.5


def prepare_databases(job: Job) -> None:
    """Before anything ends or changes: a database that cannot be used, or backed up, fails the task here."""
    wait_until_made(job)
    injected(job, job.release)
    back_up_before(job)


def wait_until_made(job: Job) -> None:
    """One that was asked for together with the deployment may not be there yet."""
    if not _being_made(job):
        return
    with job.phase("databases"):
        job.say(f"Waiting for the database {', '.join(_being_made(job))}")
        while _being_made(job):
            _pause(job)


def back_up_before(job: Job) -> None:
    """The pre-deploy command may change or lose what is in them."""
    if job.task.kind != TaskKind.DEPLOY or not job.snapshot["pre_deploy_command"]:
        return
    planned = Database.objects.filter(pk__in=_ids(job), plan__before_deploys=True, state=DatabaseState.READY)
    databases = list(planned.order_by("pk"))
    if not databases:
        return
    with job.phase("back up"):
        for database in databases:
            job.say(f"Backing up the database {database.name} before the pre-deploy command")
            task = _asked(job, database)
            _wait_for(job, task)
            task.refresh_from_db()
            if task.state != TaskState.SUCCEEDED:
                raise Problem(
                    "database.backup-failed",
                    f"The database {database.name} could not be backed up before the pre-deploy command: "
                    f"{task.error_message or task.get_state_display().lower()}",
                    f"Nothing was changed. {task.error_hint}".strip()
                    + " Then deploy again, or turn off backups before deploys on the database's page.",
                )
            job.say(f"{database.name} is backed up")


def _asked(job: Job, database: Database) -> Task:
    """One that is under way already may have looked at the data before other changes: ours comes after it."""
    while True:
        try:
            return ask(database, TaskKind.BACK_UP, by=None, reason=BackupReason.DEPLOY)
        except Problem as problem:
            if problem.id != "database.busy":
                raise
        for other in Task.objects.unfinished().filter(database=database, kind=TaskKind.BACK_UP):
            job.say("Waiting for a backup that is under way")
            _wait_for(job, other)


def _wait_for(job: Job, task: Task) -> None:
    while Task.objects.unfinished().filter(pk=task.pk).exists():
        _pause(job)


def _being_made(job: Job) -> list[str]:
    """As long as somebody is to make them: a database whose task has ended is judged by its state."""
    found = Database.objects.filter(pk__in=_ids(job), state=DatabaseState.CREATING)
    made = Task.objects.unfinished().filter(kind=TaskKind.CREATE_DATABASE).values("database")
    return list(found.filter(pk__in=made).values_list("name", flat=True))


def _ids(job: Job) -> list[int]:
    return [one.database for one in job.snapshot.databases]


def _pause(job: Job) -> None:
    job.refuse_cancelled()
    job.lease.check()
    time.sleep(LOOK_SECONDS)
