"""What the release engine does about the databases of a release before it starts it: wait for one that is being made,
and back up before the pre-deploy command."""

from __future__ import annotations

import time

from bakery.models import Task, TaskKind
from databases.models import Database, DatabaseState
from databases.services.before_deploys import backup_before_deploy
from deployments.services.job import Job
from deployments.services.slots import injected

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
            _look(job)
            time.sleep(LOOK_SECONDS)


def back_up_before(job: Job) -> None:
    """The pre-deploy command may change or lose what is in them."""
    if job.task.kind != TaskKind.DEPLOY or not job.snapshot["pre_deploy_command"]:
        return
    planned = Database.objects.filter(pk__in=_ids(job), plan__before_deploys=True, state=DatabaseState.READY)
    databases = list(planned.select_related("plan").order_by("pk"))
    if not databases:
        return
    with job.phase("back up"):
        since = job.task.started_at or job.task.created_at
        backup_before_deploy(databases, since=since, say=job.say, look=lambda: _look(job))


def _being_made(job: Job) -> list[str]:
    """As long as somebody is to make them: a database whose task has ended is judged by its state."""
    found = Database.objects.filter(pk__in=_ids(job), state=DatabaseState.CREATING)
    made = Task.objects.unfinished().filter(kind=TaskKind.CREATE_DATABASE).values("database")
    return list(found.filter(pk__in=made).values_list("name", flat=True))


def _ids(job: Job) -> list[int]:
    return [one.database for one in job.snapshot.databases]


def _look(job: Job) -> None:
    job.refuse_cancelled()
    job.lease.check()
