"""A worker's turn at certificates: one at a time on the whole host, as Certbot itself has it.

The database says what is to be done. Who dies in the middle lets go of the lock, which the kernel holds for it; the
next one to take it goes on with the task, or gives it up after some tries. What is served changes by one rename, so
nothing half-done is ever served.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from bakery.events import announce
from bakery.models import Task, TaskKind, TaskQuerySet, TaskState
from bakery.recorder import close_open_steps
from deployments.services.task_job import MOST_ATTEMPTS, abandoned, bug, note_failure
from domains.models import Certificate
from domains.services import outcomes
from domains.services.authority import place
from domains.services.certificate_job import CertificateJob
from domains.services.issuance import Wish, certificate_of
from domains.services.issuing import carry_out
from domains.services.tending import forget_leftovers
from infrastructure.errors import Cancelled, Problem
from infrastructure.lock import held_alone

logger = logging.getLogger(__name__)


def work() -> None:
    """Do everything that is asked, unless another worker is at it."""
    if not _waiting().exists():
        return
    where = place()
    where.prepare()
    with held_alone(where.lock) as mine:
        if not mine:
            return
        while task := claim():
            run(task)


def claim() -> Task | None:
    """The task that a killed worker left, else the oldest that is queued; now running. The lock is ours."""
    with transaction.atomic():
        tasks = _waiting().select_for_update(of=("self",)).order_by("pk")
        interrupted = tasks.filter(state=TaskState.RUNNING).first()
        task = interrupted or tasks.filter(state=TaskState.QUEUED).first()
        if task is None:
            return None
        if interrupted:
            close_open_steps(task, "The worker that was at it is gone.")
        task.state = TaskState.RUNNING
        task.attempts += 1
        task.started_at = task.started_at or timezone.now()
        task.save(update_fields=["state", "attempts", "started_at"])
    announce("task", task.pk)
    return task


def run(task: Task) -> None:
    """Carry it out and write down how it ended. Only a lost database gets out of here: the next turn resumes."""
    job: CertificateJob | None = None
    try:
        if task.deployment_id is None and task.subject != Certificate(deployment=None).subject:
            _end(task, None, _gone(task))  # its deployment was deleted meanwhile
            forget_leftovers()
            return
        job = CertificateJob(task, certificate_of(task.deployment))
        if task.attempts > MOST_ATTEMPTS:
            raise abandoned()
        if job.is_resumed:
            job.say("Resumed: the worker that was at it is gone")
        carry_out(job)
        job.finish(TaskState.SUCCEEDED)
    except (DatabaseError, InterfaceError):
        if job:
            job.leave()
        raise
    except Cancelled:
        if job:
            job.say("Cancelled")
            job.finish(TaskState.CANCELLED)
    except Problem as problem:
        _end(task, job, problem)
    except Exception as error:
        logger.exception("Certificate task %s failed by a mistake of Bakery's own", task.pk)
        _end(task, job, bug(error))


def _end(task: Task, job: CertificateJob | None, problem: Problem) -> None:
    if job:
        if Wish.REMOVE not in job.wishes:
            outcomes.failed(job.certificate, problem)
        if Wish.UPLOAD in job.wishes:  # a key that nobody waits for is not kept
            Certificate.objects.filter(pk=job.certificate.pk).update(uploaded="")
        job.say_problem(problem)
    note_failure(task, problem)
    if job:
        job.finish(TaskState.FAILED)
        return
    Task.objects.filter(pk=task.pk, state=TaskState.RUNNING).update(state=TaskState.FAILED, ended_at=timezone.now())
    announce("task", task.pk)


def _waiting() -> TaskQuerySet:
    return Task.objects.unfinished().filter(kind=TaskKind.CERTIFICATE).select_related("deployment", "requested_by")


def _gone(task: Task) -> Problem:
    return Problem("deployment.gone", f"{task.subject} was deleted.", "Its certificate went with it.")
