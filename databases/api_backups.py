"""``/api/databases/<name>/backups`` and ``…/plan``, ``/api/system/storages``."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest
from django.urls import path

from bakery.api import body_of, endpoint, refuse_unknown, rows_wanted, text
from bakery.permissions import access_backup, access_database, person_of, requires
from bakery.roles import Action
from databases.models import Backup, BackupPlan, Storage
from databases.services.backups import delete_backup, pin_backup, request_backup, request_fetch
from databases.services.plans import CHANGEABLE, NUMBERS, set_plan
from databases.services.restore_tests import request_restore_test
from databases.services.storage import delete_storage, request_check, save_storage
from databases.shapes import backup_shape, plan_shape
from databases.storage_shapes import storage_shape
from deployments.shapes import task_shape

Answer = dict[str, Any] | list[dict[str, Any]] | tuple[int, Any] | None
PLAN = (CHANGEABLE - {"cron"}) | {"schedule"}
STORAGE = frozenset({"name", "endpoint", "region", "bucket", "prefix", "access_key", "secret_key"})


@requires(Action.VIEW, to_change=Action.MANAGE_DATABASES)
@endpoint("GET", "POST")
def backups(request: HttpRequest, name: str) -> Answer:
    """Its backups, the newest first (?limit=); POST makes one."""
    found = access_database(request, name)
    if request.method == "POST":
        refuse_unknown(body_of(request), frozenset())
        return 202, task_shape(request_backup(found, by=person_of(request)))
    rows = Backup.objects.visible_to(request.user).for_list().filter(database=found)
    return [backup_shape(backup) for backup in rows[: rows_wanted(request)]]


@requires(Action.VIEW, to_change=Action.MANAGE_DATABASES)
@endpoint("GET", "PATCH", "DELETE")
def backup(request: HttpRequest, name: str, backup_pk: int) -> Answer:
    """One backup; PATCH {pinned}; DELETE has its files removed, here and in the storage."""
    found = access_backup(request, access_database(request, name), backup_pk)
    if request.method == "DELETE":
        delete_backup(found, by=person_of(request))
        return None
    if request.method == "PATCH":
        body = body_of(request)
        refuse_unknown(body, frozenset({"pinned"}))
        if not isinstance(body.get("pinned"), bool):
            raise ValidationError({"pinned": "This is true or false."})
        pin_backup(found, body["pinned"], by=person_of(request))
    return backup_shape(found)


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def test(request: HttpRequest, name: str, backup_pk: int) -> Answer:
    """Restore it into a scratch database, compare, and drop that."""
    refuse_unknown(body_of(request), frozenset())
    found = access_backup(request, access_database(request, name), backup_pk)
    return 202, task_shape(request_restore_test(found, by=person_of(request)))


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def fetch(request: HttpRequest, name: str, backup_pk: int) -> Answer:
    """Bring one that is only in the storage back to this host, so that it can be downloaded."""
    refuse_unknown(body_of(request), frozenset())
    found = access_backup(request, access_database(request, name), backup_pk)
    return 202, task_shape(request_fetch(found, by=person_of(request)))


@requires(Action.VIEW, to_change=Action.MANAGE_DATABASES)
@endpoint("GET", "PATCH")
def plan(request: HttpRequest, name: str) -> Answer:
    """When it is backed up by itself, null for never; PATCH {schedule (five fields in UTC, a word, or null), keep_last,
    keep_daily, keep_weekly, keep_monthly, storage, passphrase, before_deploys, test_every_days}."""
    found = access_database(request, name)
    if request.method == "PATCH":
        set_plan(found, by=person_of(request), **_plan_of(body_of(request)))
    rows = BackupPlan.objects.select_related("schedule", "storage").defer("passphrase").filter(database=found)
    made = rows.first()
    return plan_shape(made) if made else None


@requires(Action.MANAGE_STORAGE)
@endpoint("GET", "POST")
def storages(request: HttpRequest) -> Answer:
    """Storages that backups are copied to, never their keys; POST {name, endpoint, bucket, access_key, secret_key,
    region, prefix} adds one."""
    if request.method == "GET":
        return [storage_shape(one) for one in Storage.objects.defer("secret_key").order_by("name")]
    made = save_storage(by=person_of(request), **_storage_of(body_of(request), {}))
    request_check(made)
    return 201, storage_shape(made)


@requires(Action.MANAGE_STORAGE)
@endpoint("GET", "PATCH", "DELETE")
def storage(request: HttpRequest, pk: int) -> Answer:
    """One storage; PATCH what is to change; DELETE, where nothing uses it."""
    found = _storage(pk)
    if request.method == "DELETE":
        delete_storage(found, by=person_of(request))
        return None
    if request.method == "PATCH":
        found = save_storage(found, by=person_of(request), **_storage_of(body_of(request), storage_shape(found)))
        request_check(found)
    return storage_shape(found)


@requires(Action.MANAGE_STORAGE)
@endpoint("POST")
def check(request: HttpRequest, pk: int) -> Answer:
    """A worker writes, reads and deletes a small object; GET shows what was found a moment later."""
    refuse_unknown(body_of(request), frozenset())
    found = _storage(pk)
    request_check(found)
    return 202, storage_shape(found)


def _plan_of(body: dict[str, Any]) -> dict[str, Any]:
    refuse_unknown(body, PLAN)
    given = dict(body)
    for name in NUMBERS & given.keys():
        if isinstance(given[name], bool) or not isinstance(given[name], int):
            raise ValidationError({name: "This is a whole number."})
    if "before_deploys" in given and not isinstance(given["before_deploys"], bool):
        raise ValidationError({"before_deploys": "This is true or false."})
    for name in {"schedule", "storage", "passphrase"} & given.keys():
        if given[name] is not None and not isinstance(given[name], str):
            raise ValidationError({name: "This is text, or null."})
        given[name] = given[name] or ""
    if "schedule" in given:
        given["cron"] = given.pop("schedule")
    return given


def _storage_of(body: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    refuse_unknown(body, STORAGE)
    kept = {name: before[name] for name in STORAGE & before.keys()}
    empty = dict.fromkeys(("name", "endpoint", "bucket", "access_key"), "")
    return {**empty, **kept, **{name: text(body, name) for name in body}}


def _storage(pk: int) -> Storage:
    found = Storage.objects.filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such storage.")
    return found


urlpatterns = [
    path("databases/<str:name>/backups", backups, name="api-database-backups"),
    path("databases/<str:name>/backups/<int:backup_pk>", backup, name="api-database-backup"),
    path("databases/<str:name>/backups/<int:backup_pk>/test", test, name="api-database-backup-test"),
    path("databases/<str:name>/backups/<int:backup_pk>/fetch", fetch, name="api-database-backup-fetch"),
    path("databases/<str:name>/plan", plan, name="api-database-plan"),
    path("system/storages", storages, name="api-storages"),
    path("system/storages/<int:pk>", storage, name="api-storage"),
    path("system/storages/<int:pk>/check", check, name="api-storage-check"),
]
