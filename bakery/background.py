"""``python -m bakery.background [NAME …]``: what answers no request, forked from one process that has loaded Bakery.

Each alone would load the same 60 MB; forked, they share them until they write (copy on write). They stay processes:
one that ends, or is killed, is started anew, and the others do not notice. The parent opens no connection and no
thread; it loads, forks and waits. When it dies itself its children end, and who started it starts it anew.

Without names all of them run, beat as a thread of a worker (the quickstart). On a server each unit of systemd names its
own, so that they run with different rights; one that is alone is not forked: systemd starts it anew.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType

import django

from bakery import worker
from bakery.celery import app

logger = logging.getLogger(__name__)

QUICK_END = 10.0  # seconds: who ends sooner is started again after a pause of this length
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # prctl(2)


def collect_logs() -> None:
    from django.core.management import call_command

    call_command("collect_logs")


Do = Callable[[], object]
PROCESSES: dict[str, Do] = {
    "worker-deploys": lambda: worker.work("deploys", 4, beat=False),
    "worker-housekeeping": lambda: worker.work("housekeeping", 6, beat=False),
    "collector": collect_logs,
    "beat": worker.keep_time,
}
TOGETHER: dict[str, Do] = {
    "worker-deploys": PROCESSES["worker-deploys"],
    "worker-housekeeping": lambda: worker.work("housekeeping", 6, beat=True),
    "collector": PROCESSES["collector"],
}
# What they would load themselves a moment later, each for itself. Nothing here may open a connection or a thread.
SHARED = (
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.log",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.events",
    "celery.worker.autoscale",
    "celery.worker.consumer",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "channels_redis.pubsub",
    "encodings.idna",
    "bakery.liveness",
    "deployments.services.reaper",
    "deployments.services.work",
    "deployments.logs.collector",
    "deployments.management.commands.collect_logs",
)


def chosen(names: Sequence[str]) -> dict[str, Do]:
    """What to run, by name. Exits with a sentence when there is no such process."""
    if unknown := [name for name in names if name not in PROCESSES]:
        sys.exit(f"There is no process {', '.join(unknown)}: name some of {', '.join(PROCESSES)}, or none for all.")
    return {name: PROCESSES[name] for name in names} if names else TOGETHER


def load() -> None:
    gc.disable()  # it would leave holes in memory that the children then fill, each its own copy
    django.setup()
    for name in SHARED:
        importlib.import_module(name)
    app.loader.import_default_modules()
    app.finalize()
    gc.collect()
    gc.freeze()  # a collection in a child must not touch, and so copy, all of this


def run_child(name: str, do: Do, parent: int) -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if os.getppid() != parent:  # it died before the line above
        return
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter(f"{{asctime}} {name} {{levelname}} {{name}}: {{message}}", style="{"))
    gc.enable()
    do()


def start(name: str, do: Do) -> ForkProcess:
    process = multiprocessing.get_context("fork").Process(name=name, target=run_child, args=(name, do, os.getpid()))
    process.start()
    return process


def supervise(processes: dict[str, Do]) -> None:
    """Keep every process running, until a signal ends this one."""
    running: dict[str, ForkProcess] = {}
    started: dict[str, float] = {}
    while True:
        now = time.monotonic()
        for name, do in processes.items():
            if name not in running and now - started.get(name, -QUICK_END) >= QUICK_END:
                running[name], started[name] = start(name, do), now
        wait([process.sentinel for process in running.values()], timeout=1.0 if len(running) < len(processes) else None)
        for name, process in list(running.items()):
            if not process.is_alive():
                logger.error("%s ended (exit code %s) and is started again.", name, process.exitcode)
                running.pop(name).close()


def end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit


def main(names: Sequence[str]) -> None:
    processes = chosen(names)
    if len(processes) == 1:
        django.setup()
        (do,) = processes.values()
        do()
        return
    load()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        supervise(processes)
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        for process in multiprocessing.active_children():
            process.join()


if __name__ == "__main__":
    main(sys.argv[1:])
