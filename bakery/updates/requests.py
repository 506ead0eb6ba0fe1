"""What can be asked: an update of Bakery itself, and a look for a newer version.

As with deployments the row is the request and the Celery message only a wake-up: the web process has no other rights.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from accounts.models import User
from bakery.events import announce
from bakery.models import Task, TaskKind
from infrastructure.errors import Problem
from infrastructure.update.place import Place
from infrastructure.values import GitRef

logger = logging.getLogger(__name__)
SUBJECT = "Bakery"


def why_not_here() -> Problem | None:
    """The reason why this Bakery does not update itself; None on a server."""
    if settings.BAKERY.install_dir:
        return None
    return Problem(
        "update.not-a-server",
        "This Bakery runs out of a checkout, so there is nothing here that could update it.",
        "Stop it, run git pull in the checkout, and start it again: infrastructure/scripts/quickstart.sh.",
    )


def place() -> Place:
    """The server that this process belongs to; a Problem on anything else."""
    if problem := why_not_here():
        raise problem
    bakery = settings.BAKERY
    return Place(bakery.install_dir or Path(), bakery.data_dir, bakery.logs_dir)


def update(*, by: User | None, ref: str = "") -> Task:
    """Update to ``ref``, or to the newest version. One at a time."""
    if problem := why_not_here():
        raise problem
    wanted = str(GitRef(ref)) if ref else ""
    try:
        with transaction.atomic():
            task = Task.objects.create(kind=TaskKind.UPDATE, subject=SUBJECT, ref=wanted, requested_by=by)
    except IntegrityError as error:
        raise Problem(
            "update.running", "Bakery is being updated already.", "Wait until that has ended: see Activity."
        ) from error
    announce("task", task.pk)
    wake()
    return task


def look() -> None:
    """Have a worker look for a newer version, soon."""
    if problem := why_not_here():
        raise problem
    _send("look_for_version", now=True)


def wake() -> None:
    """Tell a worker to look at updates, once the transaction is committed. Should it be lost, beat makes up for it."""
    transaction.on_commit(lambda: _send("tend_update"), robust=True)


def _send(name: str, **arguments: Any) -> None:
    from bakery import tasks

    try:
        getattr(tasks, name).apply_async(kwargs=arguments, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("No worker could be woken for the update: %s", error)
