"""Makes the records of another host's panel this host's own, after they were restored here.

Nothing that they name runs or lies here: no process, no artifact, no route, no port. What was live is built and
deployed again from its record: the same commit with the same configuration.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from bakery.models import UNFINISHED, Task, TaskState, TaskStep
from databases.services import moving as databases
from deployments.models import ACTIVE_STATES, Deployment, LogStream, Release, ReleaseState, Slot, SlotName
from deployments.services import host
from deployments.services.pruning import remove_process_log
from deployments.services.requests import deploy_again
from deployments.services.settings import reserve_slots
from domains.models import Domain, Verdict
from infrastructure.errors import Blame, Problem
from infrastructure.values import Hostname

logger = logging.getLogger(__name__)
S = ReleaseState
NEVER_SERVED = (S.FETCHING, S.BUILDING)
INTERRUPTED = Problem(
    "panel.restored",
    "Bakery was restored from a backup that was made while this was not finished.",
    "Ask for it again if it is still wanted.",
    blame=Blame.HOST,
)
REPLACED_GRACE = 10  # seconds, between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Present:
    """A deployment of the panel that is replaced, as far as it is on this host."""

    pk: int
    name: str
    repository: str
    releases: tuple[int, ...]


def present_deployments() -> list[Present]:
    found = Deployment.objects.prefetch_related("releases").order_by("pk")
    return [
        Present(one.pk, one.name, one.repository, tuple(one.releases.values_list("pk", flat=True))) for one in found
    ]


def end_replaced(present: list[Present]) -> list[str]:
    """End what the replaced panel ran, and take its routes and files away. Persistent directories stay where the
    restored panel has the same deployment, else they are moved to the backups; returns where."""
    moved = []
    for gone in present:
        host.router().remove(gone.pk)
        for name, runtime in host.runtimes().items():
            try:
                for slot in SlotName.values:
                    runtime.stop(gone.pk, slot, REPLACED_GRACE)
                runtime.remove_deployment(gone.pk)
            except Problem as problem:  # no engine on this host: then nothing of it runs here
                logger.warning("Deployment %s: nothing was removed from %s: %s", gone.pk, name, problem)
        for directory in (settings.BAKERY.builds_dir / str(gone.pk), host.repository_dir(gone.pk)):
            shutil.rmtree(directory, ignore_errors=True)
        for release in gone.releases:
            remove_process_log(release)
        same = Deployment.objects.filter(pk=gone.pk, name=gone.name, repository=gone.repository).exists()
        persistent = host.persistent_dir(gone.pk)
        if not same and persistent.is_dir():
            moved.append(str(_move_aside(persistent, gone.name)))
    return moved


def take_over() -> list[Release]:
    """Bring every row to what is so on this host; returns the releases that were live and not stopped."""
    with transaction.atomic():
        Deployment.objects.filter(deleting=True).delete()
        live = [release for one in Deployment.objects.order_by("pk") if (release := _was_live(one))]
        _end_tasks()
        for release in Release.objects.exclude(state__in=(S.PRUNED, S.FAILED, S.CANCELLED, S.SUPERSEDED)):
            _let_go(release)
        Release.objects.update(artifact="", slot=None)
        Deployment.objects.update(current_release=None, lease_token=None, lease_task=None, lease_expires_at=None)
        LogStream.objects.filter(ended_at=None).update(ended_at=timezone.now())
        LogStream.objects.update(cursor={})
        _reserve_anew()
        _rename_hosts()
        _look_anew()
        databases.take_over()
    return live


def forget_logs() -> None:
    """The text was not in the backup: a log without its lines would only say that they are missing."""
    LogStream.objects.all().delete()


def show_pages() -> None:
    """Every deployment answers with Bakery's own page until it is deployed."""
    deployments = list(Deployment.objects.order_by("pk"))
    host.router().apply([host.route_of(deployment) for deployment in deployments])
    for deployment in deployments:
        host.router().unroute(deployment.pk)
        host.router().set_state(deployment.pk, deployment.name, "stopped" if deployment.stopped else "deploying")


def redeploy(live: list[Release], *, by: User | None) -> list[Task]:
    return [deploy_again(release, by=by) for release in live]


def _was_live(deployment: Deployment) -> Release | None:
    """What served. A release that was just being switched to had not been seen to."""
    if deployment.stopped:
        return None
    found = deployment.releases.filter(state=S.LIVE).first() or deployment.current_release
    return found if found and found.commit_sha else None


def _end_tasks() -> None:
    unfinished = Task.objects.filter(state__in=UNFINISHED)
    TaskStep.objects.filter(task__in=unfinished, state=TaskState.RUNNING).update(
        state=TaskState.FAILED, note=INTERRUPTED.message, ended_at=timezone.now()
    )
    unfinished.update(
        state=TaskState.FAILED,
        error_id=INTERRUPTED.id,
        error_message=INTERRUPTED.message,
        error_hint=INTERRUPTED.hint,
        error_blame=INTERRUPTED.blame.value,
        ended_at=timezone.now(),
    )


def _let_go(release: Release) -> None:
    """What it was built into is not on this host, so nobody can go back to it; what never served has failed."""
    state = ReleaseState(release.state)
    if state in NEVER_SERVED or (state in (S.QUEUED, *ACTIVE_STATES) and not release.switched_at):
        Release.objects.move(
            release.pk,
            state,
            S.FAILED,
            error_id=INTERRUPTED.id,
            error_message=INTERRUPTED.message,
            error_hint=INTERRUPTED.hint,
            ended_at=timezone.now(),
        )
        return
    if state != S.RETAINED:
        Release.objects.move(release.pk, state, S.RETAINED)
    Release.objects.move(release.pk, S.RETAINED, S.PRUNED)


def _reserve_anew() -> None:
    """Ports and addresses out of this host's ranges."""
    Slot.objects.all().delete()
    for deployment in Deployment.objects.order_by("pk"):
        reserve_slots(deployment)


def _rename_hosts() -> None:
    """The host names that Bakery made end in this host's domain. One that a person gave a deployment stays theirs."""
    for deployment in Deployment.objects.all():
        generated = deployment.domains.filter(generated=True).first()
        if generated is None:
            continue
        generated.hostname = Hostname(f"{deployment.name}.{settings.BAKERY.apps_domain}")
        if Domain.objects.exclude(pk=generated.pk).filter(hostname=generated.hostname).exists():
            generated.delete()
        else:
            generated.save(update_fields=["hostname"])


def _look_anew() -> None:
    """DNS leads to the host that the backup is of, until somebody changes that."""
    Domain.objects.filter(generated=False).update(
        verdict=Verdict.UNCHECKED,
        report={},
        checks=0,
        checked_at=None,
        next_check_at=timezone.now(),
        served_fingerprint="",
        served_until=None,
        served_problem="",
        served_at=None,
    )


def _move_aside(directory: Path, name: str) -> Path:
    parent: Path = settings.BAKERY.data_dir / "backups"
    parent.mkdir(mode=0o700, exist_ok=True)
    target = parent / f"persistent-{name}-{timezone.now():%Y%m%d-%H%M%S}"
    directory.rename(target)
    return target
