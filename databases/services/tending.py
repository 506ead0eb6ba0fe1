"""Sees by itself what is due, and wakes a worker for what waits. Run by beat every few seconds."""

from __future__ import annotations

from databases.services.requests import send_wake_up
from databases.services.work import waiting


def tend() -> None:
    for database_id in waiting().order_by().values_list("database", flat=True).distinct():
        send_wake_up(database_id)
