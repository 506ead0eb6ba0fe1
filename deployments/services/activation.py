"""The second half of a deploy, and all of a rollback: from an artifact to the release that serves.

``start in the idle slot → probe → switch → verify → drain → retire``. Every step can be repeated after a kill -9:
what is to be stands in the database before the host is touched, and the host is brought there.
"""

from __future__ import annotations

import time

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from bakery.models import TaskKind
from deployments.models import Deployment, Release, ReleaseState, Slot, SlotName
from deployments.services import host
from deployments.services.job import Job
from deployments.services.probe import probe
from deployments.services.snapshot import Snapshot
from infrastructure.errors import Cancelled, Problem
from infrastructure.runtime import App, Observation, ProcessState

VERIFY_SECONDS = 5.0
VERIFIED_IN_A_ROW = 3
LOOK_EVERY = 0.2  # seconds, while draining


def app_of(release: Release, slot: Slot, snapshot: Snapshot) -> App:
    root = host.persistent_dir(release.deployment_id)
    return App(
        deployment_id=release.deployment_id,
        release_id=release.pk,
        slot=slot.name,
        port=slot.port,
        address=slot.address,
        artifact=release.artifact,
        base_directory=snapshot["base_directory"],
        start_command=snapshot["start_command"],
        env=snapshot.run_env,
        limits=snapshot.run_limits(),
        grace_seconds=snapshot["grace_seconds"],
        container_port=release.container_port,
        persistent={path: root / path for path in snapshot.persistent},
    )


def serving_slot(deployment: Deployment) -> Slot | None:
    """Where the release that serves runs, or ran last."""
    current = Release.objects.filter(pk=deployment.current_release_id).select_related("slot").first()
    return current.slot if current else None


def choose_slot(job: Job) -> Slot:
    """The idle one; with one slot at a time the one that is used; a retained release that still runs keeps its own."""
    serving = serving_slot(job.deployment)
    if serving is None:
        return job.deployment.slots.get(name=SlotName.BLUE)
    return serving if job.snapshot.stops_first else host.other(serving)


def is_running(slot: Slot, release: Release) -> bool:
    """Whether the release's process is in the slot and alive: after a switch the old one stays warm for a while."""
    if not release.runtime:
        return False
    seen = host.runtimes()[release.runtime].observe(slot.deployment_id, slot.name)
    return seen.state == ProcessState.RUNNING and seen.release_id == release.pk


def put_in_slot(job: Job, release: Release, slot: Slot, snapshot: Snapshot) -> None:
    """Start ``release`` in ``slot``, whatever was there before."""
    app = app_of(release, slot, snapshot)
    runtime = host.runtimes()[release.runtime]
    for name, another in host.runtimes().items():
        if name != release.runtime and slot.release and slot.release.runtime == name:
            another.stop(slot.deployment_id, slot.name, app.grace_seconds)
    upstream = runtime.upstream(app)
    Slot.objects.filter(pk=slot.pk).update(release=release, upstream=upstream, observed_state="", observed_at=None)
    # The first release of a deployment tells where the second one will be: so its deploy needs no reload.
    twin = host.other(slot)
    if not twin.upstream:
        Slot.objects.filter(pk=twin.pk).update(upstream=runtime.upstream(app_of(release, twin, snapshot)))
    slot.refresh_from_db()
    host.router().apply([host.route_of(job.deployment)])
    job.lease.check()
    runtime.start(app, job.runner)


def wait_until_healthy(job: Job, release: Release, slot: Slot, snapshot: Snapshot) -> float:
    runtime = host.runtimes()[release.runtime]

    def check() -> None:
        if job.lease.cancelled():
            raise Cancelled

    return probe(
        slot.upstream,
        snapshot["health_path"],
        job.deployment.domains.values_list("hostname", flat=True)[0],
        snapshot["probe_timeout"],
        lambda: runtime.observe(slot.deployment_id, slot.name),
        check,
    )


def pre_deploy(job: Job, slot: Slot) -> None:
    """Run the deployment's own command (migrations) with the new release's files and environment."""
    command = job.snapshot["pre_deploy_command"]
    if not command or job.task.kind != TaskKind.DEPLOY:
        return
    with job.phase("pre-deploy"):
        job.say(f"Running the pre-deploy command: {command}")
        app = app_of(job.release, slot, job.snapshot)
        try:
            host.runtimes()[job.release.runtime].run_once(app, command, job.runner, job.log)
        except Problem as problem:
            raise Problem(
                "app.pre-deploy-failed",
                f"The pre-deploy command failed: {problem.message}",
                "Nothing was switched. Its output stands in the build log.",
            ) from problem


def activate(job: Job) -> None:
    """Make ``job.release`` the one that serves. Raises with the old one serving."""
    release, snapshot = job.release, job.snapshot
    slot = release.slot if release.state in (ReleaseState.SWITCHING, ReleaseState.DRAINING) else None
    if slot is None:
        slot = choose_slot(job)
        previous = Release.objects.filter(deployment=job.deployment, state=ReleaseState.LIVE).first()
        warm = is_running(slot, release) and not snapshot.stops_first
        if not warm:
            if snapshot.stops_first and previous:
                _stop_previous(job, previous, slot)
            pre_deploy(job, slot)
            with job.phase("start"):
                job.say(f"Starting in the {slot.name} slot")
                put_in_slot(job, release, slot, snapshot)
        job.advance(ReleaseState.STARTING, ReleaseState.PROBING)
        with job.phase("probe"):
            took = wait_until_healthy(job, release, slot, snapshot)
            job.say(f"Healthy after {took:.1f} s")
    if release.state == ReleaseState.PROBING:
        point_at(job, slot)
    if release.state == ReleaseState.SWITCHING:
        switch(job, slot)
    drain_and_watch(job, slot)


def point_at(job: Job, slot: Slot) -> None:
    """Commit what is to be, before the host is touched: recovery rolls forward from here."""
    with transaction.atomic():
        job.move(ReleaseState.PROBING, ReleaseState.SWITCHING, slot=slot)
        Deployment.objects.filter(pk=job.deployment.pk).update(
            current_release=job.release, stopped=False, route_generation=F("route_generation") + 1
        )
    job.deployment.refresh_from_db()


def switch(job: Job, slot: Slot) -> None:
    """One rename, then see through Nginx that the new release answers; put back what was there when it does not."""
    previous = Release.objects.filter(deployment=job.deployment, state=ReleaseState.LIVE).first()
    with job.phase("switch"):
        job.lease.check()
        host.router().switch(job.deployment.pk, slot.name, job.release.pk)
        host.router().set_state(job.deployment.pk, job.deployment.name, "unavailable")
        if not confirmed(job.deployment, job.release, job.snapshot):
            revert(job, slot, previous)
            raise Problem(
                "switch.not-confirmed",
                "After the switch the new release did not answer through Nginx, so the old one was put back.",
                "Deploy again; if it happens again, run manage.py doctor.",
            )
        with transaction.atomic():
            if previous:
                Release.objects.move(previous.pk, ReleaseState.LIVE, ReleaseState.RETAINED)
            job.move(ReleaseState.SWITCHING, ReleaseState.DRAINING, switched_at=timezone.now())
        job.say(f"v{job.release.number} serves")


def confirmed(deployment: Deployment, release: Release, snapshot: Snapshot) -> bool:
    """Whether fresh connections through Nginx are answered by ``release``, several times in a row."""
    route = host.route_of(deployment)
    good, deadline = 0, time.monotonic() + VERIFY_SECONDS
    while good < VERIFIED_IN_A_ROW and time.monotonic() < deadline:
        if host.router().confirm(route, release.pk, snapshot["health_path"] or "/"):
            good += 1
        else:
            good = 0
            time.sleep(LOOK_EVERY)
    return good >= VERIFIED_IN_A_ROW


def drain_and_watch(job: Job, slot: Slot) -> None:
    """Let the old release finish what it began while the new one is watched, then end the old one."""
    old = host.other(slot)
    runtime = host.runtimes()[job.release.runtime]
    with job.phase("drain"):
        began = time.monotonic()
        first = runtime.observe(slot.deployment_id, slot.name)
        if job.snapshot.stops_first:
            old = slot
        while True:
            job.lease.check()
            seconds = time.monotonic() - began
            watched = seconds >= job.snapshot["watch_seconds"]
            drained = old == slot or seconds >= job.snapshot["drain_seconds"] or _idle(old)
            if watched and drained:
                break
            if _wanted_back(job, old):
                job.say("A rollback to the release in the other slot waits: it is left running")
                break
            if _died(runtime.observe(slot.deployment_id, slot.name), first):
                _revert_dead(job, slot)
            time.sleep(LOOK_EVERY)
        left = 0 if old == slot else host.router().connections(old.deployment_id, old.name)
        if left and not _wanted_back(job, old):
            job.say(f"{left} connections to the old release were still open after the drain time")
    if old != slot and not _wanted_back(job, old):
        retire(job, old)
    job.move(ReleaseState.DRAINING, ReleaseState.LIVE)


def retire(job: Job, slot: Slot) -> None:
    """End the process in a slot to which nothing is sent any more."""
    release = slot.release
    if release is None or not release.runtime:
        return
    with job.phase("retire"):
        job.lease.check()
        grace = Snapshot.from_release(release)["grace_seconds"]
        host.runtimes()[release.runtime].stop(slot.deployment_id, slot.name, grace)


def revert(job: Job, slot: Slot, previous: Release | None) -> None:
    """Point back at the release that served before, then at the host; the new one is failed by the caller."""
    with transaction.atomic():
        job.lease.check()
        if previous and previous.state == ReleaseState.RETAINED:
            Release.objects.move(previous.pk, ReleaseState.RETAINED, ReleaseState.LIVE)
        Deployment.objects.filter(pk=job.deployment.pk).update(
            current_release=previous, route_generation=F("route_generation") + 1
        )
    job.deployment.refresh_from_db()
    bring_back(job, slot, previous)


def bring_back(job: Job, failed_slot: Slot, previous: Release | None) -> None:
    """See that ``previous`` serves (started again where it was stopped first) and that the failed one is gone."""
    router = host.router()
    if previous is None or previous.slot is None:
        if router.live_slot(job.deployment.pk) is not None:
            router.unroute(job.deployment.pk)
        router.set_state(job.deployment.pk, job.deployment.name, "failed")
    elif not job.deployment.stopped:
        if not is_running(previous.slot, previous):
            job.say(f"Starting v{previous.number} again")
            put_in_slot(job, previous, previous.slot, Snapshot.from_release(previous))
        router.switch(job.deployment.pk, previous.slot.name, previous.pk)
        job.say(f"v{previous.number} serves")
    if previous is None or previous.slot_id != failed_slot.pk:
        host.runtimes()[job.release.runtime].stop(failed_slot.deployment_id, failed_slot.name, 1)


def _stop_previous(job: Job, previous: Release, slot: Slot) -> None:
    """One writer at a time: the old release ends before the new one is started in its place."""
    with job.phase("stop the old release"):
        host.router().set_state(job.deployment.pk, job.deployment.name, "deploying")
        grace = Snapshot.from_release(previous)["grace_seconds"]
        for used in job.deployment.slots.all():
            if used.release and used.release.runtime:
                host.runtimes()[used.release.runtime].stop(used.deployment_id, used.name, grace)


def _idle(slot: Slot) -> bool:
    return host.router().connections(slot.deployment_id, slot.name) == 0


def _wanted_back(job: Job, old: Slot) -> bool:
    """Whether a rollback to the release that is still warm in the old slot is queued."""
    return (
        old.release_id is not None
        and old.release_id != job.release.pk
        and job.deployment.tasks.filter(state="queued", kind=TaskKind.ROLLBACK, release=old.release_id).exists()
    )


def _died(now: Observation, first: Observation) -> bool:
    ended = now.state in (ProcessState.EXITED, ProcessState.MISSING, ProcessState.STOPPED)
    return ended or now.restarts > first.restarts or (now.started_at != first.started_at)


def _revert_dead(job: Job, slot: Slot) -> None:
    old = host.other(slot)
    previous = old.release if old.release and old.release.state == ReleaseState.RETAINED else None
    if job.snapshot.stops_first:
        previous = job.deployment.releases.filter(state=ReleaseState.RETAINED).exclude(artifact="").order_by("-switched_at").first()
    if previous is None:
        host.router().set_state(job.deployment.pk, job.deployment.name, "crashed")
    revert(job, slot, previous)
    raise Problem(
        "app.died-after-switch",
        f"The app ended within {job.snapshot['watch_seconds']} s after the switch"
        + (f", so v{previous.number} was put back." if previous else "."),
        "Its last lines stand at the end of the build log.",
    )
