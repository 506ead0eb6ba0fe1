"""Lets old releases go: their artifact (unless another release shares it), files and logs."""

from __future__ import annotations

import logging
import shutil

from django.conf import settings
from django.db.models import Q

from deployments.models import LogStream, Release, ReleaseState
from deployments.services import host
from deployments.services.job import Job
from deployments.services.releases import no_longer_kept
from infrastructure.errors import Problem

logger = logging.getLogger(__name__)
GONE = (ReleaseState.PRUNED, ReleaseState.FAILED, ReleaseState.CANCELLED, ReleaseState.SUPERSEDED)


def prune(job: Job) -> None:
    """The deploy has succeeded by now: what cannot be removed is said, and tried again after the next one."""
    surplus = no_longer_kept(job.deployment)
    if not surplus:
        return
    with job.phase("prune"):
        for release in surplus:
            job.lease.check()
            try:
                _let_go(release)
            except (Problem, OSError) as problem:
                logger.warning("Release %s: its artifact was left: %s", release.pk, problem)
                job.say(f"v{release.number} could not be removed: {problem}")


def _let_go(release: Release) -> None:
    """Mark first, remove then: a kill -9 in between leaves an artifact without a release, never the other way round."""
    if release.state != ReleaseState.PRUNED and not Release.objects.move(
        release.pk, ReleaseState(release.state), ReleaseState.PRUNED
    ):
        return
    LogStream.objects.filter(release=release).delete()
    remove_process_log(release.pk)
    remove_artifact(release)


def remove_artifact(release: Release) -> None:
    """Remove what was built for ``release``, and its checkout, where no other release uses it."""
    others = Release.objects.filter(deployment=release.deployment_id).exclude(pk=release.pk).exclude(state__in=GONE)
    if release.artifact and release.runtime and not others.filter(artifact=release.artifact).exists():
        host.runtimes()[release.runtime].remove_artifact(release.artifact)
    checkout = host.checkout_dir(release.deployment_id, release.pk)
    if not others.filter(Q(artifact=checkout) | Q(artifact__startswith=f"{checkout}/")).exists():
        shutil.rmtree(checkout, ignore_errors=True)
    Release.objects.filter(pk=release.pk).update(artifact="")


def remove_process_log(release_id: int) -> None:
    """The file of a bun release's output, and its rotated predecessors."""
    directory = settings.BAKERY.logs_dir / "processes"
    for path in directory.glob(f"release-{release_id}.log*"):
        path.unlink(missing_ok=True)
