"""Finds what nobody is at any more, and brings the host to what the database says. Run by beat every few seconds."""

from __future__ import annotations

import logging

from deployments.models import Deployment
from deployments.services import host
from deployments.services.leases import FREE, left_behind
from deployments.services.requests import wake

logger = logging.getLogger(__name__)


def reap() -> list[int]:
    """Wake a worker for every deployment that waits without one; returns their ids."""
    waiting = left_behind()
    for deployment_id in waiting:
        wake(deployment_id)
    return waiting


def misrouted() -> list[int]:
    """Deployments whose requests do not go where the database says, although nobody is at work on them."""
    settled = Deployment.objects.filter(FREE, deleting=False, stopped=False, current_release__slot__isnull=False)
    rows = settled.values_list("pk", "current_release__slot__name", "current_release_id")
    wrong = []
    for deployment_id, slot, release_id in rows:
        if host.router().live_slot(deployment_id) != slot:
            logger.warning("Deployment %s: sending requests to %s again", deployment_id, slot)
            host.router().switch(deployment_id, slot, release_id)
            wrong.append(deployment_id)
    return wrong
