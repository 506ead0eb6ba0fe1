"""``python -m bakery.worker QUEUE THREADS [--beat]``: a Celery worker without Celery's command line.

``celery worker`` loads a shell, a prompt and a syntax highlighter into every process: 16 MB each, for nothing.
"""

from __future__ import annotations

import sys

import django

from bakery.celery import app


def work(queue: str, threads: int, *, beat: bool) -> int:
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
    return int(worker.exitcode or 0)


def main(argv: list[str]) -> int:
    django.setup()
    return work(argv[0], int(argv[1]), beat="--beat" in argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
