"""Asks for a new password of a database, with no downtime."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from bakery.models import Task, TaskKind
from databases.models import Database
from databases.services.provisioning import require_managed
from databases.services.requests import ask


def rotate_password(database: Database, *, by: User | None) -> Task:
    require_managed(database)
    with transaction.atomic():
        login = Database.objects.select_for_update().get(pk=database.pk).login
        return ask(database, TaskKind.ROTATE_PASSWORD, by=by, old=login)
