"""Restart, stop, start and delete: what is done to a deployment without a new release."""

from __future__ import annotations

import shutil
import time

from django.conf import settings
from django.db.models import F

from deployments.models import Deployment, Slot
from deployments.services import host
from deployments.services.activation import LOOK_EVERY, confirmed, put_in_slot, wait_until_healthy
from deployments.services.job import Job
from infrastructure.errors import Problem


def restart(job: Job) -> None:
    """Start the current release once more in the other slot and switch to it; with one slot: end it, start it."""
    release, snapshot = job.release, job.snapshot
    serving = _slot_of_current(job)
    settle(job)
    if snapshot.stops_first or job.deployment.stopped:
        with job.phase("restart"):
            host.runtimes()[release.runtime].stop(job.deployment.pk, serving.name, snapshot["grace_seconds"])
        start(job)
        return
    target = host.other(serving)
    try:
        with job.phase("start"):
            put_in_slot(job, release, target, snapshot)
        with job.phase("probe"):
            wait_until_healthy(job, release, target, snapshot)
    except BaseException:
        host.runtimes()[release.runtime].stop(job.deployment.pk, target.name, 1)
        raise
    with job.phase("switch"):
        job.lease.check()
        release.slot = target
        release.save(update_fields=["slot"])
        _next_generation(job)
        host.router().switch(job.deployment.pk, target.name, release.pk)
        if not confirmed(job.deployment, release, snapshot):
            raise Problem(
                "switch.not-confirmed",
                "The restarted app did not answer through Nginx.",
                "Restart it again; if it happens again, run manage.py doctor.",
            )
    with job.phase("drain"):
        _wait_idle(job, serving)
    with job.phase("retire"):
        host.runtimes()[release.runtime].stop(job.deployment.pk, serving.name, snapshot["grace_seconds"])


def stop(job: Job) -> None:
    """Show Bakery's own page, let requests finish, end every process of the deployment."""
    Deployment.objects.filter(pk=job.deployment.pk).update(stopped=True, route_generation=F("route_generation") + 1)
    with job.phase("unroute"):
        host.router().set_state(job.deployment.pk, job.deployment.name, "stopped")
        host.router().unroute(job.deployment.pk)
    with job.phase("drain"):
        for slot in job.deployment.slots.all():
            _wait_idle(job, slot)
    with job.phase("stop"):
        for slot in job.deployment.slots.select_related("release"):
            _end(job, slot)


def start(job: Job) -> None:
    """Start the current release in its slot and send requests to it when it answers."""
    release, snapshot = job.release, job.snapshot
    slot = _slot_of_current(job)
    with job.phase("start again"):
        put_in_slot(job, release, slot, snapshot)
    with job.phase("probe"):
        wait_until_healthy(job, release, slot, snapshot)
    with job.phase("switch"):
        job.lease.check()
        Deployment.objects.filter(pk=job.deployment.pk).update(stopped=False)
        _next_generation(job)
        host.router().switch(job.deployment.pk, slot.name, release.pk)
        host.router().set_state(job.deployment.pk, job.deployment.name, "unavailable")


def delete(job: Job) -> None:
    """Take away everything that was made for the deployment, the outside first, its row last."""
    pk = job.deployment.pk
    with job.phase("unroute"):
        host.router().remove(pk)
    with job.phase("remove processes, containers and images"):
        for slot in job.deployment.slots.select_related("release"):
            _end(job, slot)
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
    job.deployment.delete()


def settle(job: Job) -> None:
    """Bring the host to what the database says: requests to the current release's slot, nothing in the other one."""
    current = job.deployment.current_release
    if current is None or current.slot is None or job.deployment.stopped:
        return
    if host.router().live_slot(job.deployment.pk) != current.slot.name:
        host.router().switch(job.deployment.pk, current.slot.name, current.pk)


def remove_process_log(release_id: int) -> None:
    """The file of a bun release's output, and its rotated predecessors."""
    directory = settings.BAKERY.logs_dir / "processes"
    for path in directory.glob(f"release-{release_id}.log*"):
        path.unlink(missing_ok=True)


def _slot_of_current(job: Job) -> Slot:
    current = job.deployment.current_release
    if current is None or current.slot is None:
        raise Problem("release.none", f"{job.deployment.name} has no release yet.", "Deploy it first.")
    return current.slot


def _next_generation(job: Job) -> None:
    Deployment.objects.filter(pk=job.deployment.pk).update(route_generation=F("route_generation") + 1)


def _end(job: Job, slot: Slot) -> None:
    release = slot.release
    if release and release.runtime:
        grace = job.deployment.grace_seconds
        host.runtimes()[release.runtime].stop(slot.deployment_id, slot.name, grace)


def _wait_idle(job: Job, slot: Slot) -> None:
    deadline = time.monotonic() + job.deployment.drain_seconds
    while host.router().connections(slot.deployment_id, slot.name) and time.monotonic() < deadline:
        job.lease.check()
        time.sleep(LOOK_EVERY)
