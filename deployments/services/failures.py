"""How a task ends that did not succeed: decided in one transaction, then the host is put back, then the task is closed.

A worker that is killed in between leaves a running task with its error: the next one only puts the host back.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F
from django.utils import timezone

from bakery.events import announce
from bakery.models import TaskKind, TaskState
from deployments.models import ACTIVE_STATES, Deployment, Release, ReleaseState, Slot
from deployments.services import host
from deployments.services.job import Job
from deployments.services.pruning import remove_artifact
from deployments.services.releases import served_before
from deployments.services.settling import settle
from infrastructure.errors import Blame, LeaseLost, Problem

logger = logging.getLogger(__name__)
APP_FAULT = "app."  # ids of problems of which the app's last output tells more
CANCELLED = Problem("task.cancelled", "It was cancelled.")


def give_up(job: Job, problem: Problem) -> None:
    decide(job, problem)
    put_back(job)


def decide(job: Job, problem: Problem) -> None:
    """Write down why, end the release, and point back at the one that served before: all or nothing."""
    with transaction.atomic():
        job.lease.check()
        job.deployment.refresh_from_db()
        task = job.task
        task.error_id, task.error_blame = problem.id, problem.blame.value
        task.error_message, task.error_hint = problem.message, problem.hint
        task.save(update_fields=["error_id", "error_blame", "error_message", "error_hint"])
        if task.kind in (TaskKind.DEPLOY, TaskKind.ROLLBACK) and task.release_id:
            _end_release(job, problem)


def put_back(job: Job) -> None:
    """What was started ends, what served serves; then the task is closed. May be repeated."""
    task = job.task
    job.go_on_though_cancelled()
    if task.release_id:
        job.say(f"\x1b[31m{task.error_message}\x1b[0m {task.error_hint}".rstrip())
    try:
        _quote_last_output(job)
        if task.kind not in (TaskKind.DELETE, TaskKind.STOP, TaskKind.APPLY_ROUTES):
            settle(job)
        _remove_what_was_built(job)
    except (LeaseLost, DatabaseError, InterfaceError):
        raise
    except Exception as second:
        logger.exception("Task %s: the host could not be put back", task.pk)
        if task.release_id:
            job.say(f"And in putting it back: {second}")
    job.finish(TaskState.CANCELLED if task.error_id == CANCELLED.id else TaskState.FAILED)


def bug(error: Exception) -> Problem:
    return Problem(
        "bakery.bug",
        f"Bakery made a mistake ({type(error).__name__}).",
        "The release that served goes on serving. The worker's log in the logs directory says more.",
        blame=Blame.BAKERY,
    )


def _end_release(job: Job, problem: Problem) -> None:
    """A new release fails or is cancelled; one that was to be brought back stays retained."""
    release = Release.objects.get(pk=job.release.pk)
    if release.state not in ACTIVE_STATES:
        return
    if job.task.kind == TaskKind.ROLLBACK:
        moved = Release.objects.move(release.pk, ReleaseState(release.state), ReleaseState.RETAINED)
    else:
        moved = Release.objects.move(
            release.pk,
            ReleaseState(release.state),
            ReleaseState.CANCELLED if problem is CANCELLED else ReleaseState.FAILED,
            ended_at=timezone.now(),
            error_id=problem.id,
            error_message=problem.message,
            error_hint=problem.hint,
        )
    if not moved:
        raise LeaseLost
    if release.pk == job.deployment.current_release_id:
        _point_back(release)
    announce("deployment", release.deployment_id)


def _point_back(release: Release) -> None:
    previous = served_before(release)
    if previous and previous.state == ReleaseState.RETAINED:
        Release.objects.move(previous.pk, ReleaseState.RETAINED, ReleaseState.LIVE)
    Deployment.objects.filter(pk=release.deployment_id).update(
        current_release=previous, route_generation=F("route_generation") + 1
    )


def _quote_last_output(job: Job) -> None:
    """The app's own last words often say it best."""
    if not job.task.error_id.startswith(APP_FAULT) or not job.release.runtime:
        return
    slot = _slot_of_failed(job)
    text = host.runtimes()[job.release.runtime].last_output(job.deployment.pk, slot.name) if slot else ""
    if text.strip():
        job.say("The app's last lines:")
        job.log(text.rstrip("\n").encode() + b"\n")


def _slot_of_failed(job: Job) -> Slot | None:
    """Where the release ran that failed: with a restart in two slots, in the one that does not serve."""
    job.deployment.refresh_from_db()
    current = job.deployment.current_release
    slots = list(job.deployment.slots.filter(release=job.release))
    if current and current.pk == job.release.pk:
        slots.sort(key=lambda slot: slot.pk == current.slot_id)
    return slots[0] if slots else None


def _remove_what_was_built(job: Job) -> None:
    if job.task.kind != TaskKind.DEPLOY or not job.task.release_id:
        return
    release = Release.objects.get(pk=job.release.pk)
    if release.state in (ReleaseState.FAILED, ReleaseState.CANCELLED):
        remove_artifact(release)
