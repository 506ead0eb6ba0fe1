"""Sees by itself what is due, and wakes a worker for what waits. Run by beat every few seconds."""

from __future__ import annotations

from databases.services import copying, deletion, restoring, uploads, watching_backups
from databases.services.requests import send_wake_up
from databases.services.work import waiting


def tend() -> None:
    watching_backups.ask_for_what_is_due()
    watching_backups.tell_of_absence()
    if deletion.is_to_be_done():
        deletion.send_wake_up()
    if copying.is_to_be_done():
        copying.send_wake_up()
    copying.end_what_is_over()
    uploads.sweep_uploads(restoring.wanted_uploads)
    for database_id in waiting().order_by().values_list("database", flat=True).distinct():
        send_wake_up(database_id)
