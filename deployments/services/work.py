"""A worker's turn at one deployment: take the lease, do what is queued, one task after the other.

The database says what is to be done; the Celery message only says where to look. So a message that is lost is made up
for by the reaper, and one that comes twice finds the lease taken. A task that a killed worker left is begun again:
every step of the engine can be repeated.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from bakery.events import announce
from bakery.models import Task, TaskKind, TaskState
from bakery.recorder import close_open_steps
from deployments.models import Deployment, Release, ReleaseState
from deployments.services import failures
from deployments.services.engine import STORIES
from deployments.services.job import Job
from deployments.services.leases import Lease, acquire
from infrastructure.errors import Blame, Cancelled, LeaseLost, Problem

logger = logging.getLogger(__name__)
MOST_ATTEMPTS = 3


def work(deployment_id: int) -> None:
    """Do everything that is asked of the deployment, unless another worker is at it."""
    while lease := acquire(deployment_id):
        try:
            while task := claim(deployment_id, lease):
                run(task, lease)
            lease.give_back()
        except LeaseLost:
            lease.abandon()
            logger.warning("Deployment %s: the lease was lost; whoever has it goes on", deployment_id)
            return
        except (DatabaseError, InterfaceError):
            lease.abandon()
            logger.exception("Deployment %s: the database went away; the reaper resumes", deployment_id)
            return
        except BaseException:
            lease.abandon()
            raise
        # Something may have been queued after the last look, by somebody whose wake-up found the lease taken.
        if not Task.objects.unfinished().filter(deployment=deployment_id).exists():
            return


def claim(deployment_id: int, lease: Lease) -> Task | None:
    """The task that a killed worker left, else the oldest that is queued; now running, and its release with it."""
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update().filter(pk=deployment_id).first()
        if deployment is None:
            return None
        tasks = Task.objects.select_for_update(of=("self",)).filter(deployment=deployment).select_related("release")
        interrupted = tasks.filter(state=TaskState.RUNNING).order_by("pk").first()
        task = interrupted or tasks.filter(state=TaskState.QUEUED).order_by("pk").first()
        if task is None:
            return None
        if interrupted:
            close_open_steps(task, "The worker that was at it is gone.")
        elif task.release and task.kind in (TaskKind.DEPLOY, TaskKind.ROLLBACK):
            begin = ReleaseState.STARTING if task.kind == TaskKind.ROLLBACK else ReleaseState.FETCHING
            if not Release.objects.move(task.release.pk, ReleaseState.QUEUED, begin):
                raise LeaseLost
        task.state = TaskState.RUNNING
        task.attempts += 1
        task.started_at = task.started_at or timezone.now()
        task.save(update_fields=["state", "attempts", "started_at"])
    if task.release:
        task.release.refresh_from_db()
    lease.hold_for(task)
    announce("task", task.pk)
    announce("deployment", deployment_id)
    return task


def run(task: Task, lease: Lease) -> None:
    """Carry the task out and write down how it ended. Only a lost lease or database gets out of here."""
    deployment = Deployment.objects.select_related("current_release__slot").get(pk=lease.deployment_id)
    job: Job | None = None
    try:
        job = Job(task, deployment, lease)
        if task.attempts > MOST_ATTEMPTS:
            raise Problem(
                "task.abandoned",
                f"The worker died {MOST_ATTEMPTS} times in the middle of this task, so it was given up.",
                "Look at the worker's log in the logs directory; then try again.",
                blame=Blame.BAKERY,
            )
        if task.attempts > 1 and task.release:
            job.say("Resumed: the worker that was at it is gone")
        STORIES[task.kind](job)
    except (LeaseLost, DatabaseError, InterfaceError):
        _close_quietly(job)
        raise
    except Cancelled:
        failures.cancelled(task, job, deployment)
    except Problem as problem:
        failures.failed(task, job, deployment, problem)
    except Exception as error:
        logger.exception("Task %s failed by a mistake of Bakery's own", task.pk)
        failures.failed(task, job, deployment, failures.bug(error))
    else:
        finish(task, TaskState.SUCCEEDED)
        _close_quietly(job, ended=True)


def finish(task: Task, state: TaskState, problem: Problem | None = None) -> None:
    failures.finish(task, state, problem)


def _close_quietly(job: Job | None, *, ended: bool = False) -> None:
    if job is None:
        return
    try:
        job.close(ended=ended)
    except (DatabaseError, InterfaceError):
        logger.warning("The last lines of a build log could not be written")
