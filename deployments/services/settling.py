"""Brings the host to what the database says, after something went wrong half way."""

from __future__ import annotations

import logging

from deployments.models import Release, ReleaseState, Slot
from deployments.services import host
from deployments.services.job import Job
from deployments.services.leases import Lease
from deployments.services.slots import (
    empty,
    grace_of,
    is_empty,
    is_running,
    put_in_slot,
    wait_until_healthy,
    wait_until_idle,
)
from infrastructure.errors import Problem

logger = logging.getLogger(__name__)

FAILED_GRACE = 1  # seconds: what failed gets no requests that it could finish


def settle(job: Job) -> None:
    """The current release runs, alone, and gets the requests; without one, or stopped, Bakery's own page answers."""
    job.lease.check()
    job.deployment.refresh_from_db()
    current = job.deployment.current_release
    if job.deployment.stopped or current is None or current.slot is None:
        _nothing_serves(job, "stopped" if job.deployment.stopped else "failed")
    else:
        _serves_again(job, current, current.slot)


def end_leftovers(deployment_id: int, lease: Lease) -> None:
    """End a release that was left warm for a rollback which was then cancelled. Called when nothing more is asked."""
    slots = Slot.objects.filter(deployment=deployment_id, release__state=ReleaseState.RETAINED)
    for slot in slots.select_related("release", "deployment__current_release"):
        current = slot.deployment.current_release
        try:
            if (current is None or current.slot_id != slot.pk) and not is_empty(slot):
                wait_until_idle(slot, lease)
                lease.check()
                empty(slot)
        except Problem as problem:
            logger.warning("Deployment %s: the %s slot was not emptied: %s", deployment_id, slot.name, problem)


def _nothing_serves(job: Job, state: str) -> None:
    if host.router().live_slot(job.deployment.pk) is not None:
        host.router().unroute(job.deployment.pk)
    host.router().set_state(job.deployment.pk, job.deployment.name, state)
    for slot in job.deployment.slots.select_related("release"):
        _end(job, slot)


def _serves_again(job: Job, current: Release, slot: Slot) -> None:
    if is_running(slot, current):
        _send_requests(job, current, slot)
        _end(job, host.other(slot))
        return
    # It was stopped first, or died. What failed ends before it is started: two must not run at once.
    for used in job.deployment.slots.select_related("release"):
        _end(job, used)
    job.say(f"Starting v{current.number} again")
    slot.refresh_from_db()
    put_in_slot(job, current, slot)
    try:
        wait_until_healthy(job, current, slot, job.lease.check)
    except Problem as problem:
        job.say(f"v{current.number}: {problem.message}")
    _send_requests(job, current, slot)


def _send_requests(job: Job, current: Release, slot: Slot) -> None:
    job.lease.check()
    host.router().switch(job.deployment.pk, slot.name, current.pk)
    host.router().set_state(job.deployment.pk, job.deployment.name, "unavailable")
    job.say(f"v{current.number} serves")


def _end(job: Job, slot: Slot) -> None:
    """A release that has served may still have requests; one that failed has none."""
    job.lease.check()
    release = slot.release
    if release is None or not release.runtime:
        return
    if release.switched_at:
        empty(slot)
    else:
        host.runtimes()[release.runtime].stop(slot.deployment_id, slot.name, min(FAILED_GRACE, grace_of(release)))
