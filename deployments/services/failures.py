"""How a task ends that did not succeed: the host is put back, the reason is written down in words."""

from __future__ import annotations

import logging

from django.utils import timezone

from bakery.events import announce
from bakery.models import Task, TaskKind, TaskState
from deployments.models import ACTIVE_STATES, Deployment, Release, ReleaseState
from deployments.services import host
from deployments.services.activation import bring_back
from deployments.services.job import Job
from deployments.services.pruning import remove_artifact
from infrastructure.errors import Blame, LeaseLost, Problem

logger = logging.getLogger(__name__)
APP_FAULTS = ("app.",)  # their last output is worth showing


def failed(task: Task, job: Job | None, deployment: Deployment, problem: Problem) -> None:
    _end_release(task, job, deployment, ReleaseState.FAILED, problem)
    finish(task, TaskState.FAILED, problem)


def cancelled(task: Task, job: Job | None, deployment: Deployment) -> None:
    problem = Problem("task.cancelled", "It was cancelled.")
    _end_release(task, job, deployment, ReleaseState.CANCELLED, problem)
    finish(task, TaskState.CANCELLED)


def bug(error: Exception) -> Problem:
    return Problem(
        "bakery.bug",
        f"Bakery made a mistake ({type(error).__name__}).",
        "The release that served goes on serving. The worker's log in the logs directory says more.",
        blame=Blame.BAKERY,
    )


def finish(task: Task, state: TaskState, problem: Problem | None = None) -> None:
    Task.objects.filter(pk=task.pk).update(
        state=state,
        ended_at=timezone.now(),
        error_id=problem.id if problem else "",
        error_message=problem.message if problem else "",
        error_hint=problem.hint if problem else "",
        error_blame=problem.blame.value if problem else "",
    )
    announce("task", task.pk)
    if task.deployment_id:
        announce("deployment", task.deployment_id)


def _end_release(
    task: Task, job: Job | None, deployment: Deployment, end: ReleaseState, problem: Problem
) -> None:
    """Put the host back, then end the release: a rolled-back one stays retained."""
    if task.kind not in (TaskKind.DEPLOY, TaskKind.ROLLBACK) or task.release is None:
        if job and task.release:
            job.close(ended=False)
        return
    release = Release.objects.get(pk=task.release.pk)
    if release.state not in ACTIVE_STATES:
        return
    if job:
        _put_back(job, release, problem)
    target = ReleaseState.RETAINED if task.kind == TaskKind.ROLLBACK else end
    facts = {"ended_at": timezone.now()}
    words = {"error_id": problem.id, "error_message": problem.message, "error_hint": problem.hint}
    told = {} if target == ReleaseState.RETAINED else words
    if not Release.objects.move(release.pk, ReleaseState(release.state), target, **facts, **told):
        raise LeaseLost
    if target != ReleaseState.RETAINED:
        try:
            remove_artifact(release)
        except Problem as late:
            logger.warning("Release %s: its artifact was left: %s", release.pk, late)
    announce("deployment", deployment.pk)


def _put_back(job: Job, release: Release, problem: Problem) -> None:
    """Say why in the build log, with the app's last words; end what was started; see that the old release serves."""
    try:
        job.lease.check()
        slot = job.deployment.slots.filter(release=release).exclude(release=job.deployment.current_release_id).first()
        if slot and release.runtime and problem.id.startswith(APP_FAULTS):
            _quote_last_output(job, release, slot.name)
        job.say(f"\x1b[31m{problem.message}\x1b[0m {problem.hint}".rstrip())
        job.deployment.refresh_from_db()
        previous = Release.objects.filter(deployment=job.deployment, state=ReleaseState.LIVE).select_related("slot").first()
        if slot or (previous and release.state == ReleaseState.SWITCHING):
            bring_back(job, slot or host.other(previous.slot), previous)  # type: ignore[union-attr,arg-type]
        elif previous is None and job.deployment.current_release_id is None:
            host.router().set_state(job.deployment.pk, job.deployment.name, "failed")
    except Problem as second:
        job.say(f"And in putting it back: {second.message} {second.hint}".rstrip())
    finally:
        job.close(ended=True)


def _quote_last_output(job: Job, release: Release, slot_name: str) -> None:
    text = host.runtimes()[release.runtime].last_output(job.deployment.pk, slot_name)
    if text.strip():
        job.say("The app's last lines:")
        job.log(text.rstrip("\n").encode() + b"\n")
