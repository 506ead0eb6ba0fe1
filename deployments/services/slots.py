"""What is done with one slot: put a release into it, wait until it answers, wait until it is idle, empty it.

Every function may be called again after a kill -9, and none of them decides what serves.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address

from databases.services.injection import Injected, fingerprints, inject
from deployments.models import Deployment, Release, Runtime, Slot
from deployments.services import host
from deployments.services.job import Job
from deployments.services.leases import Lease
from deployments.services.probe import probe
from deployments.services.snapshot import Snapshot
from infrastructure.errors import HostProblem
from infrastructure.runtime import App, ProcessState
from infrastructure.secret import Secret

VERIFY_SECONDS = 5.0
VERIFIED_IN_A_ROW = 3
LOOK_EVERY = 0.1  # seconds, while waiting for requests to end


def injected(job: Job, release: Release) -> Injected:
    """The addresses and passwords of its databases as they are now, which its log does not show from here on."""
    found = inject(
        Snapshot.from_release(release).databases,
        in_container=release.runtime == Runtime.DOCKER,
        wanted_by=f"v{release.number} of {job.deployment.name}",
    )
    job.masker.learn(found.secrets)
    return found


def app_of(release: Release, slot: Slot, databases: Mapping[str, Secret]) -> App:
    snapshot = Snapshot.from_release(release)
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
        env={**snapshot.run_env, **databases},
        limits=snapshot.run_limits(),
        grace_seconds=snapshot["grace_seconds"],
        container_port=release.container_port,
        persistent={path: root / path for path in snapshot.persistent},
    )


def is_running(slot: Slot, release: Release) -> bool:
    """Whether the release's process is in the slot and alive: after a switch the old one stays warm for a while."""
    if not release.runtime:
        return False
    seen = host.runtimes()[release.runtime].observe(slot.deployment_id, slot.name)
    just_started = seen.state == ProcessState.STARTING and seen.restarts == 0
    return seen.release_id == release.pk and (seen.state == ProcessState.RUNNING or just_started)


def has_todays_passwords(slot: Slot, release: Release) -> bool:
    """Whether what runs in the slot was started with the addresses and passwords that its databases have now."""
    return bool(slot.databases == fingerprints(Snapshot.from_release(release).databases))


def put_in_slot(job: Job, release: Release, slot: Slot) -> None:
    """Start ``release`` in ``slot``, whatever was there before. It gets no requests by that."""
    given = injected(job, release)
    wait_until_idle(slot, job.lease)
    empty(slot)
    app = app_of(release, slot, given.variables)
    runtime = host.runtimes()[release.runtime]
    upstream = runtime.upstream(app)
    _refuse_taken(upstream)
    Slot.objects.filter(pk=slot.pk).update(
        release=release, upstream=upstream, databases=given.fingerprints, observed_state="", observed_at=None
    )
    # The first release of a deployment tells where the second one will be: so its deploy needs no reload.
    twin = host.other(slot)
    if not twin.upstream:
        Slot.objects.filter(pk=twin.pk).update(upstream=runtime.upstream(app_of(release, twin, {})))
    slot.refresh_from_db()
    host.router().apply([host.route_of(job.deployment)])
    job.lease.check()
    runtime.start(app, job.runner)


def wait_until_healthy(job: Job, release: Release, slot: Slot, check: Callable[[], None]) -> float:
    """Seconds until it answered; raises what ``probe`` raises, and what ``check`` does when the job is to end."""
    snapshot = Snapshot.from_release(release)
    runtime = host.runtimes()[release.runtime]
    return probe(
        slot.upstream,
        snapshot["health_path"],
        host.hostname_of(job.deployment),
        snapshot["probe_timeout"],
        lambda: runtime.observe(slot.deployment_id, slot.name),
        check,
    )


def confirmed(deployment: Deployment, release: Release) -> bool:
    """Whether fresh connections through Nginx are answered by ``release``, several times in a row."""
    route = host.route_of(deployment)
    path = Snapshot.from_release(release)["health_path"] or "/"
    good, deadline = 0, time.monotonic() + VERIFY_SECONDS
    while good < VERIFIED_IN_A_ROW and time.monotonic() < deadline:
        if host.router().confirm(route, release.pk, path):
            good += 1
        else:
            good = 0
            time.sleep(LOOK_EVERY)
    return good >= VERIFIED_IN_A_ROW


def is_idle(slot: Slot) -> bool:
    return host.router().connections(slot.deployment_id, slot.name) == 0


def wait_until_idle(slot: Slot, lease: Lease) -> None:
    """Let requests that the slot has finish, for as long as the deployment's drain time."""
    if slot.release is None:
        return
    deadline = time.monotonic() + slot.deployment.drain_seconds
    while not is_idle(slot) and time.monotonic() < deadline:
        lease.check()
        time.sleep(LOOK_EVERY)


def is_empty(slot: Slot) -> bool:
    release = slot.release
    if release is None or not release.runtime:
        return True
    seen = host.runtimes()[release.runtime].observe(slot.deployment_id, slot.name)
    return seen.state == ProcessState.MISSING


def empty(slot: Slot) -> None:
    """End the process in the slot, if there is one: SIGTERM, its release's grace time, SIGKILL."""
    release = slot.release
    if release and release.runtime and not is_empty(slot):
        host.runtimes()[release.runtime].stop(slot.deployment_id, slot.name, grace_of(release))


def grace_of(release: Release) -> int:
    grace: int = Snapshot.from_release(release)["grace_seconds"]
    return grace


def _refuse_taken(upstream: str) -> None:
    """Another program on the slot's port would answer the probe in the app's place."""
    address, _, port = upstream.rpartition(":")
    if not ip_address(address).is_loopback:  # a container's own: nobody else can have it
        return
    try:
        with socket.create_connection((address, int(port)), timeout=1.0):
            pass
    except OSError:
        return
    raise HostProblem(
        "ports.taken",
        f"Port {port}, which is reserved for this app, is used by another program on this host.",
        "End that program (“ss -ltnp” names it). Then deploy again.",
    )
