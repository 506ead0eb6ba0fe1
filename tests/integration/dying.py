"""Workers that are killed at a chosen place: in a process of their own, by the kernel."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from databases.models import Database
from databases.services.job import DatabaseJob
from databases.services.work import work_on


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in(arrange: Callable[[], object], database: Database) -> None:
    """A worker works on the database, and is killed where ``arrange`` has put it."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            arrange()
            work_on(database.pk)
        finally:
            os._exit(1)  # it was not killed
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it lived"


def in_phase(name: str) -> Callable[[], None]:
    def arrange() -> None:
        phase = DatabaseJob.phase

        @contextmanager
        def deadly(self: DatabaseJob, begun: str) -> Iterator[None]:
            with phase(self, begun):
                if begun == name:
                    dies()
                yield

        DatabaseJob.phase = deadly  # type: ignore[method-assign]

    return arrange


def before(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, lambda *_, **__: dies())


def after(owner: Any, name: str) -> Callable[[], None]:
    def arrange() -> None:
        real = getattr(owner, name)

        def deadly(*given: Any, **named: Any) -> None:
            real(*given, **named)
            dies()

        setattr(owner, name, deadly)

    return arrange
