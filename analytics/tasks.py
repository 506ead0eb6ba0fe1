"""Celery's side: load by id, call the service."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="analytics.tasks.rotate_access_log")
def rotate_access_log() -> None:
    """Nginx's logs have a largest size."""
    from deployments.services.host import router

    router().rotate_logs()
