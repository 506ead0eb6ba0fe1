"""Lets old releases go: their artifact (unless another release shares it), files and logs."""

from __future__ import annotations

import logging
import shutil

from deployments.models import LogStream, Release, ReleaseState
from deployments.services import host
from deployments.services.job import Job
from deployments.services.operations import remove_process_log
from deployments.services.releases import no_longer_kept

logger = logging.getLogger(__name__)


def prune(job: Job) -> None:
    surplus = no_longer_kept(job.deployment)
    if not surplus:
        return
    with job.phase("prune"):
        for release in surplus:
            job.lease.check()
            _let_go(release)


def _let_go(release: Release) -> None:
    """Mark first, remove then: what a kill -9 leaves is an orphan on disk, never a release without its artifact."""
    if not Release.objects.move(release.pk, ReleaseState(release.state), ReleaseState.PRUNED):
        return
    remove_artifact(release)
    remove_process_log(release.pk)
    LogStream.objects.filter(release=release).delete()


def remove_artifact(release: Release) -> None:
    """Remove what was built for ``release``, and its checkout, where no other release uses it."""
    if release.artifact and release.runtime:
        shared = Release.objects.filter(deployment=release.deployment_id, artifact=release.artifact)
        gone = (ReleaseState.PRUNED, ReleaseState.FAILED, ReleaseState.CANCELLED, ReleaseState.SUPERSEDED)
        if not shared.exclude(pk=release.pk).exclude(state__in=gone).exists():
            host.runtimes()[release.runtime].remove_artifact(release.artifact)
    checkout = host.checkout_dir(release.deployment_id, release.pk)
    if not Release.objects.filter(artifact__startswith=str(checkout)).exclude(state=ReleaseState.PRUNED).exclude(
        pk=release.pk
    ).exists():
        shutil.rmtree(checkout, ignore_errors=True)
