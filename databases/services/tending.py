"""Sees by itself what is due, and wakes a worker for what waits. Run by beat every few seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError

from databases.services import copying, deletion, restoring, uploads, watching_backups
from databases.services.requests import send_wake_up
from databases.services.work import waiting

logger = logging.getLogger(__name__)


def tend() -> None:
    """What goes wrong in one of them keeps nothing of the others from being done."""
    steps: tuple[Callable[[], object], ...] = (
        _wake_all,
        watching_backups.ask_for_what_is_due,
        watching_backups.tell_of_absence,
        _delete,
        _copy,
        copying.end_what_is_over,
        lambda: uploads.sweep_uploads(restoring.wanted_uploads),
    )
    for step in steps:
        try:
            step()
        except (DatabaseError, InterfaceError):
            raise
        except Exception:
            logger.exception("A part of what is done again and again for databases failed")


def _delete() -> None:
    if deletion.is_to_be_done():
        deletion.send_wake_up()


def _copy() -> None:
    if copying.is_to_be_done():
        copying.send_wake_up()


def _wake_all() -> None:
    for database_id in waiting().order_by().values_list("database", flat=True).distinct():
        send_wake_up(database_id)
