"""How a Celery worker and beat come to write their heartbeats (see ``heartbeat``)."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from django_celery_beat.schedulers import DatabaseScheduler

from bakery import heartbeat


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Written by the worker's own event loop: a loop that hangs shows."""

    requires = {"celery.worker.components:Timer"}

    def start(self, parent: Any) -> None:
        name = f"worker-{parent.hostname.split('@')[0]}"
        self.entry = parent.timer.call_repeatedly(heartbeat.EVERY / 2, heartbeat.alive, (name,))

    def stop(self, parent: Any) -> None:
        self.entry.cancel()


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """Beat's schedule, kept in the database. It ticks at least every five seconds."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        heartbeat.alive("beat")
        seconds: float = super().tick(*args, **kwargs)
        return min(seconds, heartbeat.EVERY)
