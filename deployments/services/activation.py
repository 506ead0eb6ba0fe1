"""The second half of a deploy, and all of a rollback: from an artifact to the release that serves.

``start in the idle slot → probe → switch → verify → drain → retire``. Every step can be repeated after a kill -9: the
release's state says how far it was, what is to be stands in the database before the host is touched, and the host is
brought there. Whatever raises here is put right by ``failures.give_up``.
"""

from __future__ import annotations

import time

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from bakery.models import Task, TaskKind, TaskState
from deployments.models import Deployment, Release, ReleaseState, Slot, SlotName
from deployments.services import host
from deployments.services.databases import prepare_databases
from deployments.services.job import Job
from deployments.services.releases import served_before
from deployments.services.slots import (
    LOOK_EVERY,
    app_of,
    confirmed,
    empty,
    has_todays_passwords,
    injected,
    is_idle,
    is_running,
    put_in_slot,
    wait_until_healthy,
    wait_until_idle,
)
from infrastructure.errors import Blame, Cancelled, HostProblem, Problem
from infrastructure.runtime import Observation, ProcessState


def activate(job: Job) -> None:
    """Make ``job.release`` the one that serves."""
    release = job.release
    if release.state in (ReleaseState.STARTING, ReleaseState.PROBING):
        slot = choose_slot(job)
        start(job, slot)
        check(job, slot)
        point_at(job, slot)
    if release.state == ReleaseState.SWITCHING:
        switch(job)
    if release.state == ReleaseState.DRAINING:
        drain(job)


def choose_slot(job: Job) -> Slot:
    """The idle one; the one that is in use where two releases must not run at once."""
    current = job.deployment.current_release
    if current is None or current.slot is None:
        return job.deployment.slots.get(name=SlotName.BLUE)
    return current.slot if job.snapshot.stops_first else host.other(current.slot)


def start(job: Job, slot: Slot) -> None:
    """Start the release in ``slot``, unless it is there: warm since it last served, or started by a killed worker."""
    release, snapshot = job.release, job.snapshot
    warm = is_running(slot, release) and has_todays_passwords(slot, release)
    if warm and not snapshot.stops_first:
        job.say(f"It is still running in the {slot.name} slot")
    else:
        prepare_databases(job)
        if snapshot["one_writer"]:  # a migration writes as well
            make_way(job)
        pre_deploy(job, slot)
        if snapshot.stops_first and not snapshot["one_writer"]:
            make_way(job)
        with job.phase("start"):
            job.say(f"Starting in the {slot.name} slot")
            put_in_slot(job, release, slot)
    job.advance(ReleaseState.STARTING, ReleaseState.PROBING)


def make_way(job: Job) -> None:
    """End the old release before the new one is started: Bakery's own page answers meanwhile."""
    with job.phase("stop the old release"):
        host.router().set_state(job.deployment.pk, job.deployment.name, "deploying")
        host.router().unroute(job.deployment.pk)
        for used in job.deployment.slots.select_related("release"):
            wait_until_idle(used, job.lease)
            job.lease.check()
            empty(used)


def pre_deploy(job: Job, slot: Slot) -> None:
    """Run the deployment's own command (migrations) with the new release's files and environment."""
    command = job.snapshot["pre_deploy_command"]
    if not command or job.task.kind != TaskKind.DEPLOY:
        return
    with job.phase("pre-deploy"):
        job.say(f"Running the pre-deploy command: {command}")
        app = app_of(job.release, slot, injected(job, job.release).variables)
        try:
            host.runtimes()[job.release.runtime].run_once(app, command, job.runner, job.log)
        except Problem as problem:
            raise Problem(
                "app.pre-deploy-failed",
                f"The pre-deploy command failed: {problem.message}",
                "Nothing was switched. Its output stands in the build log.",
            ) from problem


def check(job: Job, slot: Slot) -> None:
    """Ask the release, past Nginx, until it answers well; a cancel ends the waiting."""
    with job.phase("probe"):
        took = wait_until_healthy(job, job.release, slot, job.refuse_cancelled)
        job.seen_healthy = host.runtimes()[job.release.runtime].observe(slot.deployment_id, slot.name)
        job.say(f"Healthy after {took:.1f} s")


def point_at(job: Job, slot: Slot) -> None:
    """Commit what is to be, before the host is touched: recovery rolls forward from here, and a cancel is too late."""
    with transaction.atomic():
        if Task.objects.select_for_update(of=("self",)).get(pk=job.task.pk).cancel_requested:
            raise Cancelled
        job.move(ReleaseState.PROBING, ReleaseState.SWITCHING, slot=slot)
        Deployment.objects.filter(pk=job.deployment.pk).update(
            current_release=job.release, route_generation=F("route_generation") + 1
        )
    job.deployment.refresh_from_db()


def switch(job: Job) -> None:
    """One rename, then see through Nginx that the new release answers."""
    release, deployment = job.release, job.deployment
    with job.phase("switch"):
        job.lease.check()
        host.router().switch(deployment.pk, job.slot.name, release.pk)
        host.router().set_state(deployment.pk, deployment.name, "unavailable")
        if not confirmed(deployment, release):
            raise Problem(
                "switch.not-confirmed",
                "After the switch the new release did not answer through Nginx.",
                "Deploy again; if it happens again, run manage.py doctor.",
                blame=Blame.HOST,
            )
        with transaction.atomic():
            for previous in deployment.releases.filter(state=ReleaseState.LIVE):
                Release.objects.move(previous.pk, ReleaseState.LIVE, ReleaseState.RETAINED)
            job.move(ReleaseState.SWITCHING, ReleaseState.DRAINING, switched_at=timezone.now())
            Deployment.objects.filter(pk=deployment.pk).update(stopped=False)
        deployment.refresh_from_db()
        job.say(f"v{release.number} serves")


def drain(job: Job) -> None:
    """Let the old release finish what it began while the new one is watched; then end the old one."""
    old = host.other(job.slot)
    with job.phase("drain"):
        kept = _watch_and_wait(job, old)
    if not kept:
        with job.phase("retire"):
            job.lease.check()
            empty(old)
    job.move(ReleaseState.DRAINING, ReleaseState.LIVE)


def _watch_and_wait(job: Job, old: Slot) -> bool:
    """Until the new release was watched and the old one is idle, or out of time. True: keep the old one running."""
    runtime, slot = host.runtimes()[job.release.runtime], job.slot
    began, first = time.monotonic(), job.seen_healthy or runtime.observe(slot.deployment_id, slot.name)
    while True:
        if job.lease.cancelled():  # too late for a cancel, but not for a delete
            return False
        seconds = time.monotonic() - began
        out_of_time = seconds >= job.snapshot["drain_seconds"]
        if seconds >= job.snapshot["watch_seconds"] and (out_of_time or is_idle(old)):
            if out_of_time and not is_idle(old):
                job.say("The drain time is over: connections to the old release that are still open end now")
            return False
        if _is_wanted_back(job, old):
            job.say("A rollback to the release in the other slot waits: it is left running")
            return True
        try:
            _refuse_dead(job, runtime.observe(slot.deployment_id, slot.name), first)
        except HostProblem:  # nothing can be seen just now, which says nothing about the app
            pass
        time.sleep(LOOK_EVERY)


def _is_wanted_back(job: Job, old: Slot) -> bool:
    """Whether a rollback to the release that is still warm in the old slot is queued."""
    if old.release_id is None or old.release_id == job.release.pk:
        return False
    waiting = job.deployment.tasks.filter(state=TaskState.QUEUED, kind=TaskKind.ROLLBACK)
    return waiting.filter(release=old.release_id).exists()


def _refuse_dead(job: Job, now: Observation, first: Observation) -> None:
    ended = now.state in (ProcessState.EXITED, ProcessState.MISSING, ProcessState.STOPPED)
    replaced = bool(first.started_at and now.started_at and now.started_at != first.started_at)
    if not ended and not replaced and now.restarts <= first.restarts:
        return
    previous = served_before(job.release)
    raise Problem(
        "app.died-after-switch",
        f"The app ended within {job.snapshot['watch_seconds']} s after the switch"
        + (f", so v{previous.number} was put back." if previous else "."),
        "Its last lines stand at the end of the build log.",
    )
