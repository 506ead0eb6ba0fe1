"""``/api/databases``. What takes time answers 202 with its task."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import path

from bakery.api import endpoint, rows_wanted
from bakery.permissions import access_database, requires
from bakery.roles import Action
from databases.models import Backup, Database
from databases.services.overview import overviews
from databases.shapes import backup_shape, database_detail, database_shape

Answer = dict[str, Any] | list[dict[str, Any]] | tuple[int, Any] | None


@requires(Action.VIEW)
@endpoint("GET")
def databases(request: HttpRequest) -> Answer:
    """All databases, with their size, their last good backup and their open alarms (?limit=)."""
    found = Database.objects.visible_to(request.user).for_list()[: rows_wanted(request)]
    return [database_shape(row) for row in overviews(found)]


@requires(Action.VIEW)
@endpoint("GET")
def database(request: HttpRequest, name: str) -> Answer:
    """One database with its settings, its plan of backups and its newest figures."""
    return database_detail(overviews([access_database(request, name)])[0])


@requires(Action.VIEW)
@endpoint("GET")
def backups(request: HttpRequest, name: str) -> Answer:
    """Its backups, the newest first (?limit=)."""
    found = access_database(request, name)
    rows = Backup.objects.visible_to(request.user).for_list().filter(database=found)
    return [backup_shape(backup) for backup in rows[: rows_wanted(request)]]


urlpatterns = [
    path("databases", databases, name="api-databases"),
    path("databases/<str:name>", database, name="api-database"),
    path("databases/<str:name>/backups", backups, name="api-database-backups"),
]
