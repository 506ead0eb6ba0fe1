"""Who may touch a deployment on the host: one worker at a time, for one task, until its lease runs out.

The lease stands in the deployment's row and is taken, renewed and given back by conditional UPDATEs alone, by the
database's clock. A worker that was killed stops renewing; one that was frozen finds that its lease is gone.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F, Q, QuerySet
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from bakery.models import Task
from deployments.models import Deployment
from infrastructure.errors import LeaseLost

logger = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0


class Lease:
    """Held between ``acquire`` and ``give_back``; renewed by a thread of its own, which also looks for a cancel."""

    def __init__(self, deployment_id: int, token: uuid.UUID) -> None:
        self.deployment_id = deployment_id
        self.token = token
        self.task_id: int | None = None
        self._cancelled_task: int | None = None
        self._valid_until = time.monotonic() + settings.BAKERY.lease_seconds
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"lease-{deployment_id}", daemon=True)
        self._heart.start()

    def hold_for(self, task: Task) -> None:
        """Say what the lease is held for."""
        self.task_id = task.pk
        if not self._mine().update(lease_task=task):
            self._ended.set()
            raise LeaseLost
        self.check()

    def check(self) -> None:
        """Raise ``LeaseLost`` when another worker may have taken over. Called before each change of the host."""
        if time.monotonic() > self._valid_until:
            raise LeaseLost

    def cancelled(self) -> bool:
        """Whether the task is to end. Raises ``LeaseLost`` like ``check``: what the runner runs ends with it."""
        self.check()
        return self.task_id is not None and self._cancelled_task == self.task_id

    def give_back(self) -> None:
        self._ended.set()
        self._heart.join(timeout=5)
        self._mine().update(lease_token=None, lease_task=None, lease_expires_at=None)

    def abandon(self) -> None:
        """Stop renewing without a word to the database, as if killed: the reaper finds it."""
        self._ended.set()
        self._valid_until = 0.0

    def _mine(self) -> QuerySet[Deployment]:
        return Deployment.objects.filter(pk=self.deployment_id, lease_token=self.token)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            began = time.monotonic()
            if began > self._valid_until:
                break  # frozen, or without the database, for too long: what has run out is not taken up again
            try:
                close_old_connections()
                if not self._mine().update(lease_expires_at=expiry()):
                    self._valid_until = 0.0
                    break
                self._valid_until = began + settings.BAKERY.lease_seconds
                task_id = self.task_id
                if task_id and Task.objects.filter(pk=task_id, cancel_requested=True).exists():
                    self._cancelled_task = task_id
            except DatabaseError as error:
                logger.warning("Deployment %s: lease not renewed: %s", self.deployment_id, error)
        connection.close()


def expiry() -> CombinedExpression:
    return Now() + timedelta(seconds=settings.BAKERY.lease_seconds)


FREE = Q(lease_token=None) | Q(lease_expires_at__lt=Now())


def acquire(deployment_id: int) -> Lease | None:
    """The lease, or None while another worker holds it (or the deployment is gone)."""
    token = uuid.uuid4()
    taken = Deployment.objects.filter(FREE, pk=deployment_id).update(lease_token=token, lease_expires_at=expiry())
    return Lease(deployment_id, token) if taken else None


def left_behind() -> list[int]:
    """Deployments on which nobody works although something is asked of them."""
    asked = Task.objects.unfinished().of_the_engine().values("deployment")
    return list(Deployment.objects.filter(FREE, pk__in=asked).order_by(F("pk")).values_list("pk", flat=True))
