"""The Celery application. Two queues: ``deploys`` (long) and ``housekeeping`` (short), each with workers of its own."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
app = Celery("bakery")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def give_signs_of_life(**_: object) -> None:
    """Only in workers: the web process imports this module as well and needs none of Celery's machinery for it."""
    from bakery.liveness import WorkerHeartbeat

    app.steps["worker"].add(WorkerHeartbeat)
