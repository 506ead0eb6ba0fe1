"""What runs beside the jobs in a worker: its heartbeat, and in one of them beat."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps
from celery.beat import Service
from django_celery_beat.schedulers import DatabaseScheduler

from bakery import heartbeat

logger = logging.getLogger(__name__)


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Written by the worker's own event loop: a loop that hangs shows."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        self.process = f"worker-{parent.hostname.split('@')[0]}"
        self.entry = parent.timer.call_repeatedly(heartbeat.EVERY / 2, heartbeat.alive, (self.process,))

    def stop(self, parent: Any) -> None:
        self.entry.cancel()
        heartbeat.gone(self.process)


class Beat(bootsteps.StartStopStep):
    """Beat as a thread of the worker: a process of its own would cost 65 MB for one wake-up every few seconds."""

    def start(self, parent: Any) -> None:
        self.service = Service(parent.app, scheduler_cls=Scheduler)
        threading.Thread(target=self.service.start, name="beat", daemon=True).start()

    def stop(self, parent: Any) -> None:
        self.service.stop()  # not waited for: it may be asleep for seconds, and has nothing to save
        heartbeat.gone("beat")


class Scheduler(DatabaseScheduler):
    """Beat's schedule, kept in the database. It ticks at least every few seconds, whatever happens."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        try:
            seconds: float = super().tick(*args, **kwargs)
        except Exception:
            logger.exception("Beat goes on after an error")
            return heartbeat.EVERY
        heartbeat.alive("beat")
        return min(seconds, heartbeat.EVERY)

    def close(self) -> None:
        super().close()
        heartbeat.gone("beat")
