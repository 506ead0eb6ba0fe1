"""Restart, stop, start and delete: what is done to a deployment without a new release."""

from __future__ import annotations

import shutil

from django.conf import settings
from django.db import transaction
from django.db.models import F

from bakery.models import TaskState
from databases.services.leaving import ask_to_drop, databases_to_drop
from deployments.models import Deployment, Release, Slot
from deployments.services import host
from deployments.services.activation import make_way
from deployments.services.job import Job
from deployments.services.pruning import remove_process_log
from deployments.services.requests import KEEP_DATABASES
from deployments.services.slots import (
    confirmed,
    empty,
    injected,
    is_running,
    put_in_slot,
    wait_until_healthy,
    wait_until_idle,
)
from infrastructure.errors import Blame, Problem


def restart(job: Job) -> None:
    """Start the current release once more, in the other slot, and switch to it; in its own where it must be alone."""
    injected(job, job.release)  # a database that cannot be used is said before anything ends
    if job.snapshot.stops_first or job.deployment.stopped:
        make_way(job)
        _start_in(job, job.slot)
        return
    serving = job.slot
    target = host.other(serving)
    # A worker that was killed between the two had the database point here already.
    host.router().switch(job.deployment.pk, serving.name, job.release.pk)
    with job.phase("start"):
        put_in_slot(job, job.release, target)
    with job.phase("probe"):
        wait_until_healthy(job, job.release, target, job.refuse_cancelled)
    with job.phase("switch"):
        _point_at(job, target)
        host.router().switch(job.deployment.pk, target.name, job.release.pk)
        if not confirmed(job.deployment, job.release):
            _point_at(job, serving)
            raise Problem(
                "switch.not-confirmed",
                "The restarted app did not answer through Nginx, so the one that ran before goes on.",
                "Restart it again; if it happens again, run manage.py doctor.",
                blame=Blame.HOST,
            )
    with job.phase("drain"):
        wait_until_idle(serving, job.lease)
    with job.phase("retire"):
        job.lease.check()
        empty(serving)


def stop(job: Job) -> None:
    """Show Bakery's own page, let requests finish, end every process of the deployment."""
    with job.phase("unroute"):
        Deployment.objects.filter(pk=job.deployment.pk).update(stopped=True, route_generation=F("route_generation") + 1)
        host.router().set_state(job.deployment.pk, job.deployment.name, "stopped")
        host.router().unroute(job.deployment.pk)
    with job.phase("drain"):
        for slot in job.deployment.slots.select_related("release"):
            wait_until_idle(slot, job.lease)
    with job.phase("stop"):
        for slot in job.deployment.slots.select_related("release"):
            job.lease.check()
            empty(slot)


def start(job: Job) -> None:
    """Start the current release again after a stop or a crash."""
    slot = job.slot
    if not job.deployment.stopped and is_running(slot, job.release):
        job.say(f"v{job.release.number} is running")
        return
    _start_in(job, slot)


def apply_routes(job: Job) -> None:
    """The web server gets the deployment's names as they are now. What runs, and where requests go, stays."""
    with job.phase("apply routes"):
        host.router().apply([host.route_of(job.deployment)])


def delete(job: Job) -> None:
    """Take away everything that was made for the deployment, the outside first, its row last."""
    pk = job.deployment.pk
    with job.phase("unroute"):
        host.router().remove(pk)
        _forget_certificate(job)
    with job.phase("remove processes, containers and images"):
        for slot in job.deployment.slots.select_related("release"):
            job.lease.check()
            empty(slot)
        for runtime in host.runtimes().values():
            runtime.remove_deployment(pk)
    with job.phase("remove files"):
        for directory in (
            settings.BAKERY.builds_dir / str(pk),
            host.repository_dir(pk),
            host.persistent_dir(pk),
        ):
            shutil.rmtree(directory, ignore_errors=True)
        for number in job.deployment.releases.values_list("pk", flat=True):
            remove_process_log(number)
    job.lease.check()
    _delete_row(job)


def _delete_row(job: Job) -> None:
    """With it, in one transaction, the end of this task, which a worker would look for by the row; and the tasks that
    drop its databases: they are backed up once more and dropped by other workers, each of whom a killed one is made up
    for."""
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update().get(pk=job.deployment.pk)
        databases = [] if job.task.ref == KEEP_DATABASES else databases_to_drop(deployment)
        deployment.delete()
        for database in databases:
            ask_to_drop(database, by=job.task.requested_by)
        job.end(TaskState.SUCCEEDED)


def _forget_certificate(job: Job) -> None:
    """Its files and Certbot's, which nobody else knows; the row goes with the deployment's."""
    from domains.services.authority import certbot
    from domains.services.issuing import forget_files

    forget_files(host.certificate_name(job.deployment), certbot(job.runner))


def _start_in(job: Job, slot: Slot) -> None:
    """Start the current release in its slot and send requests to it when it answers."""
    with job.phase("start again"):
        put_in_slot(job, job.release, slot)
    with job.phase("probe"):
        wait_until_healthy(job, job.release, slot, job.refuse_cancelled)
    with job.phase("switch"):
        job.lease.check()
        Deployment.objects.filter(pk=job.deployment.pk).update(
            stopped=False, route_generation=F("route_generation") + 1
        )
        host.router().switch(job.deployment.pk, slot.name, job.release.pk)
        host.router().set_state(job.deployment.pk, job.deployment.name, "unavailable")


def _point_at(job: Job, slot: Slot) -> None:
    """The database says where the release serves before the host is touched."""
    with transaction.atomic():
        job.lease.check()
        Release.objects.filter(pk=job.release.pk).update(slot=slot)
        Deployment.objects.filter(pk=job.deployment.pk).update(route_generation=F("route_generation") + 1)
    job.release.slot = slot
