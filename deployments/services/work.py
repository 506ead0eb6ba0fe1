"""A worker's turn at one deployment: take the lease, do what is queued, one task after the other.

The database says what is to be done; the Celery message only says where to look. So a message that is lost is made up
for by the reaper, and one that comes twice finds the lease taken. A task that a killed worker left is begun again:
every step of the engine can be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from bakery.events import announce
from bakery.models import Task, TaskKind, TaskState
from bakery.recorder import close_open_steps
from deployments.models import Deployment, Release, ReleaseState
from deployments.services.engine import STORIES
from deployments.services.failures import CANCELLED, bug, give_up, put_back
from deployments.services.job import Job
from deployments.services.leases import Lease, acquire
from deployments.services.settling import end_leftovers
from infrastructure.errors import Blame, Cancelled, LeaseLost, Problem

logger = logging.getLogger(__name__)
MOST_ATTEMPTS = 3
FIRST_STATE = {TaskKind.DEPLOY: ReleaseState.FETCHING, TaskKind.ROLLBACK: ReleaseState.STARTING}


def work(deployment_id: int, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Do everything that is asked of the deployment, unless another worker is at it. A worker that ``is_stopping``
    brings the task to its end that it has, and leaves the others to the next one: the reaper finds them."""
    while lease := acquire(deployment_id):
        try:
            while not is_stopping() and (task := claim(deployment_id, lease)):
                run(task, lease)
            end_leftovers(deployment_id, lease)
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
        if is_stopping() or not Task.objects.unfinished().of_the_engine().filter(deployment=deployment_id).exists():
            return


def claim(deployment_id: int, lease: Lease) -> Task | None:
    """The task that a killed worker left, else the oldest that is queued; now running, and its release with it."""
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update().filter(pk=deployment_id).first()
        if deployment is None:
            return None
        lease.check()
        tasks = Task.objects.select_for_update().of_the_engine().filter(deployment=deployment).order_by("pk")
        interrupted = tasks.filter(state=TaskState.RUNNING).first()
        task = interrupted or tasks.filter(state=TaskState.QUEUED).first()
        if task is None:
            return None
        if interrupted:
            close_open_steps(task, "The worker that was at it is gone.")
        elif task.kind in FIRST_STATE and task.release_id:
            if not Release.objects.move(task.release_id, ReleaseState.QUEUED, FIRST_STATE[TaskKind(task.kind)]):
                raise LeaseLost
        elif task.kind not in (TaskKind.DELETE, TaskKind.APPLY_ROUTES):
            task.release = deployment.current_release  # a deploy may have come before it
        task.state = TaskState.RUNNING
        task.attempts += 1
        task.started_at = task.started_at or timezone.now()
        task.save(update_fields=["state", "release", "attempts", "started_at"])
    lease.hold_for(task)
    announce("task", task.pk)
    announce("deployment", deployment_id)
    return task


def run(task: Task, lease: Lease) -> None:
    """Carry the task out and write down how it ended. Only a lost lease or database gets out of here."""
    job = Job(task, Deployment.objects.get(pk=lease.deployment_id), lease)
    try:
        if task.error_id:  # a killed worker had given it up and was putting the host back
            put_back(job)
            return
        try:
            if task.attempts > 1:
                resume(job)
            STORIES[task.kind](job)
        except (LeaseLost, DatabaseError, InterfaceError):
            raise
        except Cancelled:
            give_up(job, CANCELLED)
        except Problem as problem:
            give_up(job, problem)
        except Exception as error:
            logger.exception("Task %s failed by a mistake of Bakery's own", task.pk)
            give_up(job, bug(error))
        else:
            job.finish(TaskState.SUCCEEDED)
    except BaseException:
        job.leave()
        raise


def resume(job: Job) -> None:
    """A task that kills its worker is not begun for ever; what serves already is always brought to its end."""
    serves = job.task.release is not None and job.task.release.serves
    if job.task.attempts > MOST_ATTEMPTS and not serves:
        raise Problem(
            "task.abandoned",
            f"The worker died {MOST_ATTEMPTS} times in the middle of this task, so it was given up.",
            "Look at the worker's log in the logs directory; then try again.",
            blame=Blame.BAKERY,
        )
    if job.task.release:
        job.say("Resumed: the worker that was at it is gone")
