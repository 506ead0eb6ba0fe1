"""A worker's turn at one database: its tasks one after the other, the oldest first.

The database's row says what is to be done. Who dies in the middle lets go of the lock, which the kernel holds for it;
the next one to take it goes on with the task, or gives it up after some tries. Every story can be called again.
Dumps and restores, of whichever database, take turns on the whole host, so that they never take the disk from
the sites.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack

from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from bakery.events import announce
from bakery.models import ABOUT_DATABASES, Task, TaskKind, TaskQuerySet, TaskState
from bakery.recorder import close_open_steps
from databases.models import Database
from databases.services.job import DatabaseJob, NotYet
from databases.services.locks import HEAVY_LOCK, locks
from databases.services.stories import STORIES, given_up
from deployments.services.task_job import MOST_ATTEMPTS, abandoned, bug, note_failure
from infrastructure.errors import Cancelled, Problem
from infrastructure.lock import held_alone

logger = logging.getLogger(__name__)
HEAVY = (
    TaskKind.BACK_UP,
    TaskKind.RESTORE,
    TaskKind.TEST_RESTORE,
    TaskKind.FETCH_BACKUP,
    TaskKind.CLONE_DATABASE,
)


def work_on(database_id: int) -> None:
    """Do everything that is asked of it, unless another worker is at it. A task that waits for something lets the
    others go first: what it waits for, a deploy, may itself wait for one of them."""
    if not waiting().filter(database=database_id).exists():
        return
    put_off: list[int] = []
    with held_alone(locks() / f"database-{database_id}.lock") as mine:
        while mine and (task := _next(database_id, put_off)):
            with ExitStack() as stack:
                if task.kind in HEAVY and not stack.enter_context(held_alone(locks() / HEAVY_LOCK)):
                    return  # tending wakes a worker again
                if not run(_begin(task)):
                    put_off.append(task.pk)


def waiting() -> TaskQuerySet:
    return Task.objects.unfinished().filter(kind__in=ABOUT_DATABASES, database__isnull=False)


def run(task: Task) -> bool:
    """Carry it out and write down how it ended. False: it waits for something and is to be called again."""
    job: DatabaseJob | None = None
    try:
        job = DatabaseJob(task, Database.objects.get(tasks=task))
        if task.attempts > MOST_ATTEMPTS:
            raise abandoned()
        if job.is_resumed:
            job.say("Resumed: the worker that was at it is gone")
        STORIES[TaskKind(task.kind)](job)
        job.finish(TaskState.SUCCEEDED)
    except NotYet:
        if job:
            job.leave()
        Task.objects.filter(pk=task.pk, attempts__gt=0).update(attempts=task.attempts - 1)
        return False
    except (DatabaseError, InterfaceError):
        if job:
            job.leave()
        raise
    except Cancelled:
        if job:
            job.say("Cancelled")
            _put_right(job, None)
            job.finish(TaskState.CANCELLED)
    except Problem as problem:
        _fail(task, job, problem)
    except Exception as error:
        logger.exception("Task %s of a database failed by a mistake of Bakery's own", task.pk)
        _fail(task, job, bug(error))
    return True


def _next(database_id: int, put_off: list[int]) -> Task | None:
    tasks = waiting().filter(database=database_id).exclude(pk__in=put_off).order_by("pk")
    return tasks.filter(state=TaskState.RUNNING).first() or tasks.filter(state=TaskState.QUEUED).first()


def _begin(task: Task) -> Task:
    """Now running. The locks are ours."""
    with transaction.atomic():
        task = Task.objects.select_for_update(of=("self",)).select_related("deployment", "requested_by").get(pk=task.pk)
        if task.state == TaskState.RUNNING and task.attempts:
            close_open_steps(task, "The worker that was at it is gone.")
        task.state = TaskState.RUNNING
        task.attempts += 1
        task.started_at = task.started_at or timezone.now()
        task.save(update_fields=["state", "attempts", "started_at"])
    announce("task", task.pk)
    return task


def _fail(task: Task, job: DatabaseJob | None, problem: Problem) -> None:
    note_failure(task, problem)
    if job:
        _put_right(job, problem)
        job.say_problem(problem)
        job.finish(TaskState.FAILED)
        return
    Task.objects.filter(pk=task.pk, state=TaskState.RUNNING).update(state=TaskState.FAILED, ended_at=timezone.now())
    announce("task", task.pk)


def _put_right(job: DatabaseJob, problem: Problem | None) -> None:
    """What cannot be put right must not keep the task from ending: it would be begun again for ever."""
    try:
        given_up(job, problem)
    except (DatabaseError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("Task %s: what it leaves could not be put right", job.task.pk)
        job.say(f"And in putting it right: {job.masker.mask(str(error))}")
