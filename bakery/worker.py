"""A Celery worker, and beat, without Celery's command line.

``celery worker`` loads a shell, a prompt and a syntax highlighter into every process: 16 MB each, for nothing.
"""

from __future__ import annotations

from bakery.celery import app


def work(queue: str, threads: int, *, beat: bool) -> None:
    from bakery import liveness

    app.steps["worker"].add(liveness.WorkerHeartbeat)
    if beat:
        app.steps["worker"].add(liveness.Beat)
    worker = app.Worker(
        hostname=f"{queue}@bakery",
        queues=[queue],
        pool="threads",
        concurrency=threads,
        loglevel="INFO",
        without_gossip=True,  # there is nobody to talk to: one worker per queue
        without_mingle=True,
        without_heartbeat=True,  # ours is liveness.WorkerHeartbeat
    )
    worker.start()


def keep_time() -> None:
    """Beat as a process of its own. It only sends wake-ups: it needs no right over the host."""
    from celery.beat import Service

    from bakery import liveness

    Service(app, scheduler_cls=liveness.Scheduler).start()
