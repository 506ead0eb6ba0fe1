"""What can be asked of the host. Each verb writes a ``Task`` (a deploy also a ``Release``) and wakes a worker.

The row is the request; the Celery message is a wake-up that may be lost or come twice (see ``work.py``).
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import User
from bakery.events import announce
from bakery.models import Task, TaskKind, TaskState
from deployments.models import Deployment, Release, ReleaseState
from deployments.services.releases import can_roll_back_to
from deployments.services.snapshot import Snapshot
from infrastructure.errors import Problem
from infrastructure.values import GitRef

logger = logging.getLogger(__name__)
# What their database's row says already is put right by the worker that finds them cancelled.
PUT_RIGHT_BY_A_WORKER = (TaskKind.CREATE_DATABASE, TaskKind.DROP_DATABASE)
KEEP_DATABASES = "keep-databases"  # in the ``ref`` of a deletion


def deploy(deployment: Deployment, *, by: User | None, ref: str = "") -> Task:
    """Deploy ``ref`` (default: the branch). Newest wins: what was queued before and not begun is superseded."""
    wanted = GitRef(ref) if ref else GitRef(deployment.branch)
    with transaction.atomic():
        locked = _lock(deployment)
        _supersede_queued(locked)
        release = Release.objects.create(
            deployment=locked,
            number=locked.next_release_number,
            ref=wanted,
            snapshot=Snapshot.of(locked).to_secret(),
            created_by=by,
        )
        locked.next_release_number += 1
        locked.save(update_fields=["next_release_number"])
        return _queue(locked, TaskKind.DEPLOY, by, release)


def deploy_again(earlier: Release, *, by: User | None) -> Task:
    """Deploy the commit of ``earlier`` with the configuration that it had, as a release of its own. A rollback would
    need what was built for it."""
    with transaction.atomic():
        locked = _lock(earlier.deployment)
        _supersede_queued(locked)
        release = Release.objects.create(
            deployment=locked,
            number=locked.next_release_number,
            ref=earlier.ref,
            commit_sha=earlier.commit_sha,
            commit_subject=earlier.commit_subject,
            commit_author=earlier.commit_author,
            snapshot=earlier.snapshot,
            created_by=by,
        )
        locked.next_release_number += 1
        locked.save(update_fields=["next_release_number"])
        return _queue(locked, TaskKind.DEPLOY, by, release)


def rollback(deployment: Deployment, *, by: User | None, to: Release | None = None) -> Task:
    """Make a retained release live again, with its configuration; the one that served before by default."""
    with transaction.atomic():
        locked = _lock(deployment)
        target = to or can_roll_back_to(locked).first()
        if target is None:
            raise Problem("rollback.nothing-retained", f"{locked.name} has no earlier release to go back to.")
        _supersede_queued(locked)
        if target.deployment_id != locked.pk or not Release.objects.move(
            target.pk, ReleaseState.RETAINED, ReleaseState.QUEUED
        ):
            target.refresh_from_db()
            raise Problem(
                "rollback.not-retained",
                f"v{target.number} cannot be gone back to: it is {target.get_state_display().lower()}.",
                "Choose one of the retained releases.",
            )
        return _queue(locked, TaskKind.ROLLBACK, by, target)


def restart(deployment: Deployment, *, by: User | None) -> Task:
    return _simple(deployment, TaskKind.RESTART, by)


def stop(deployment: Deployment, *, by: User | None) -> Task:
    return _simple(deployment, TaskKind.STOP, by)


def start(deployment: Deployment, *, by: User | None) -> Task:
    return _simple(deployment, TaskKind.START, by)


def apply_routes(deployment: Deployment, *, by: User | None) -> Task:
    """Bring the web server to what the database says of the deployment's names. One that is queued is given back."""
    with transaction.atomic():
        locked = _lock(deployment)
        queued = locked.tasks.filter(kind=TaskKind.APPLY_ROUTES, state=TaskState.QUEUED).first()
        if queued:
            wake(locked.pk)
            return queued
        return _queue(locked, TaskKind.APPLY_ROUTES, by, None)


def delete(deployment: Deployment, *, by: User | None, keep_databases: bool = False) -> Task:
    """Delete the deployment and everything that was made for it: with ``databases_to_drop``, unless they are kept. A
    running deploy is cancelled first. One that is asked for already is given back as it is."""
    with transaction.atomic():
        locked = _lock(deployment, deleting_is_fine=True)
        already = locked.tasks.unfinished().filter(kind=TaskKind.DELETE).first()
        if already:
            wake(locked.pk)
            return already
        _supersede_queued(locked)
        locked.tasks.filter(state=TaskState.RUNNING).about_no_database().update(cancel_requested=True)
        locked.deleting = True
        locked.save(update_fields=["deleting"])
        return _queue(locked, TaskKind.DELETE, by, None, ref=KEEP_DATABASES if keep_databases else "")


def cancel(task: Task, *, by: User | None) -> bool:
    """Ask a task to end. True: it was ended at once or will be; False: it is too late."""
    with transaction.atomic():
        # The worker locks the row as well before it points at the new release: one of the two is first.
        locked = Task.objects.select_for_update().get(pk=task.pk)
        if not locked.can_be_cancelled:
            return False
        if locked.state == TaskState.QUEUED and locked.kind not in PUT_RIGHT_BY_A_WORKER:
            if locked.release and locked.kind in (TaskKind.DEPLOY, TaskKind.ROLLBACK):
                _end_queued_release(locked.release, ReleaseState.CANCELLED)
            locked.state = TaskState.CANCELLED
            locked.ended_at = timezone.now()
            locked.save(update_fields=["state", "ended_at"])
            if locked.deployment_id:
                wake(locked.deployment_id)  # a release may have been left running for it
        else:
            Task.objects.filter(pk=locked.pk).update(cancel_requested=True)
        announce("task", locked.pk)
        if locked.database_id:
            announce("database", locked.database_id)
        if locked.deployment_id:
            announce("deployment", locked.deployment_id)
        return True


def wake(deployment_id: int) -> None:
    """Tell a worker to look at the deployment, once the transaction is committed."""
    transaction.on_commit(lambda: _send_wake_up(deployment_id), robust=True)


def _send_wake_up(deployment_id: int) -> None:
    from deployments.tasks import work

    try:
        work.apply_async((deployment_id,), retry=False)
    except (OperationalError, OSError) as error:  # the reaper finds the task
        logger.warning("Deployment %s: no worker could be woken: %s", deployment_id, error)


def _simple(deployment: Deployment, kind: TaskKind, by: User | None) -> Task:
    """Queue a task that needs a release to work on; one that is already queued is given back."""
    with transaction.atomic():
        locked = _lock(deployment)
        if locked.current_release_id is None:
            raise Problem("release.none", f"{locked.name} has no release yet.", "Deploy it first.")
        queued = locked.tasks.filter(kind=kind, state=TaskState.QUEUED).first()
        if queued:
            wake(locked.pk)
            return queued
        return _queue(locked, kind, by, locked.current_release)


def _lock(deployment: Deployment, *, deleting_is_fine: bool = False) -> Deployment:
    locked = Deployment.objects.select_for_update().get(pk=deployment.pk)
    if locked.deleting and not deleting_is_fine:
        raise Problem("deployment.deleting", f"{locked.name} is being deleted.", "Nothing more can be asked of it.")
    return locked


def _queue(deployment: Deployment, kind: TaskKind, by: User | None, release: Release | None, *, ref: str = "") -> Task:
    task = Task.objects.create(
        kind=kind, subject=deployment.name, deployment=deployment, release=release, requested_by=by, ref=ref
    )
    announce("task", task.pk)
    announce("deployment", deployment.pk)
    wake(deployment.pk)
    return task


def _supersede_queued(deployment: Deployment) -> None:
    for release in deployment.releases.filter(state=ReleaseState.QUEUED):
        # Queued again by the reaper, perhaps: a task that a worker has begun is left alone.
        tasks = Task.objects.filter(release=release, state=TaskState.QUEUED)
        if tasks.update(state=TaskState.SUPERSEDED, ended_at=timezone.now()):
            _end_queued_release(release, ReleaseState.SUPERSEDED)


def _end_queued_release(release: Release, end: ReleaseState) -> None:
    """A release that has served before stays retained; a new one ends."""
    target = ReleaseState.RETAINED if release.switched_at else end
    Release.objects.move(release.pk, ReleaseState.QUEUED, target)
