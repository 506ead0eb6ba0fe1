"""The Celery application. Two queues: ``deploys`` (long) and ``housekeeping`` (short), each with workers of its own."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
os.environ["CELERY_SKIP_CHECKS"] = "1"  # Django's checks would load every page and the admin into each worker
app = Celery("bakery")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
