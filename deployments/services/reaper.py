"""Finds what nobody is at any more, and brings the host to what the database says. Run by beat every few seconds."""

from __future__ import annotations

import logging

from bakery.models import Task
from deployments.models import Deployment
from deployments.services import host
from deployments.services.leases import FREE, acquire, left_behind
from deployments.services.requests import wake

logger = logging.getLogger(__name__)


def reap() -> list[int]:
    """Wake a worker for every deployment that waits without one; returns their ids."""
    waiting = left_behind()
    for deployment_id in waiting:
        wake(deployment_id)
    return waiting


def misrouted() -> list[int]:
    """Send requests where the database says, for deployments on which nobody is at work; returns those mended."""
    settled = Deployment.objects.filter(FREE, deleting=False, stopped=False, current_release__slot__isnull=False)
    # What a killed worker left is resumed by another one, which knows how far it was.
    settled = settled.exclude(pk__in=Task.objects.unfinished().of_the_engine().values("deployment"))
    rows = settled.values_list("pk", "current_release__slot__name")
    return [pk for pk, slot in rows if host.router().live_slot(pk) != slot and _mend_route(pk)]


def _mend_route(deployment_id: int) -> bool:
    """Look again with the lease in hand: a worker may just have switched."""
    lease = acquire(deployment_id)
    if lease is None:
        return False
    try:
        deployment = Deployment.objects.select_related("current_release__slot").get(pk=deployment_id)
        current = deployment.current_release
        if deployment.stopped or deployment.deleting or current is None or current.slot is None:
            return False
        if deployment.tasks.unfinished().of_the_engine().exists():
            return False
        if host.router().live_slot(deployment_id) == current.slot.name:
            return False
        logger.warning("Deployment %s: sending requests to %s again", deployment_id, current.slot.name)
        host.router().apply([host.route_of(deployment)])
        host.router().switch(deployment_id, current.slot.name, current.pk)
        return True
    finally:
        lease.give_back()
        if Task.objects.unfinished().of_the_engine().filter(deployment=deployment_id).exists():
            wake(deployment_id)  # whoever was to work on it may have found the lease taken
