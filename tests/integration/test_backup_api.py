"""Backups, plans and storages over the API."""

from __future__ import annotations

import pytest
from django.test import Client

from bakery.models import Task, TaskKind
from databases.models import Backup, BackupState, Database, DatabaseState, Storage
from tests.integration.people import alice, bob

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Database:
    return Database.objects.create(name="shop", state=DatabaseState.READY)


def client(person: object) -> Client:
    made = Client()
    made.force_login(person)  # type: ignore[arg-type]
    return made


def test_a_backup_is_asked_for_pinned_tried_and_deleted(shop: Database) -> None:
    bobs = client(bob())
    answer = bobs.post("/api/databases/shop/backups", {}, "application/json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "back-up")
    assert Task.objects.get().requested_by == bob()
    again = bobs.post("/api/databases/shop/backups", {}, "application/json")
    assert (again.status_code, again.json()["id"]) == (409, "database.busy")
    backup = Backup.objects.create(database=shop, subject="shop", state=BackupState.GOOD)
    at = f"/api/databases/shop/backups/{backup.pk}"
    assert bobs.patch(at, {"pinned": True}, "application/json").json()["pinned"] is True
    assert bobs.patch(at, {"pinned": "yes"}, "application/json").status_code == 422
    assert bobs.post(f"{at}/test", {}, "application/json").status_code == 202
    assert Task.objects.filter(kind=TaskKind.TEST_RESTORE).exists()
    refused = bobs.post(f"{at}/fetch", {}, "application/json").json()
    assert (refused["id"], refused["hint"]) == ("backup.file-gone", "Take another backup.")
    there = Storage.objects.create(name="there", endpoint="https://s3.example.com", bucket="b", access_key="a")
    Backup.objects.update(storage=there, storage_key="1/1.dump")
    assert bobs.post(f"{at}/fetch", {}, "application/json").json()["kind"] == "fetch-backup"
    assert bobs.delete(at).status_code == 200
    assert bobs.get(at).json()["state"] == "deleting"
    assert bobs.patch(at, {"pinned": True}, "application/json").json()["id"] == "backup.gone"
    assert bobs.get("/api/databases/other/backups").status_code == 404


def test_a_plan_is_made_and_changed_and_its_passphrase_never_shown(shop: Database) -> None:
    bobs, at = client(bob()), "/api/databases/shop/plan"
    assert bobs.get(at).json() is None
    given = {"schedule": "daily", "keep_last": 2, "passphrase": "correct horse battery"}
    answer = bobs.patch(at, given, "application/json")
    assert answer.status_code == 200
    assert (answer.json()["schedule"], answer.json()["keep_last"]) == ("0 3 * * *", 2)
    assert "correct horse" not in answer.text
    assert bobs.patch(at, {"schedule": None}, "application/json").json()["schedule"] is None
    for wrong in ({"keep_last": "2"}, {"keep_last": -1}, {"schedule": "soon"}, {"storage": "none"}, {"cron": "daily"}):
        assert bobs.patch(at, wrong, "application/json").status_code == 422, wrong


def test_a_storage_is_made_and_changed_and_its_secret_key_never_shown(shop: Database) -> None:
    alices = client(alice())
    given = {"name": "there", "endpoint": "https://s3.example.com", "bucket": "cakes", "access_key": "a"}
    assert alices.post("/api/system/storages", given, "application/json").status_code == 422  # no secret key
    answer = alices.post("/api/system/storages", {**given, "secret_key": "very-secret"}, "application/json")
    assert answer.status_code == 201
    at = f"/api/system/storages/{answer.json()['id']}"
    assert alices.patch(at, {"prefix": "/a/"}, "application/json").json()["prefix"] == "a"
    assert Storage.objects.get().secret_key.reveal() == "very-secret"
    assert alices.post(f"{at}/check", {}, "application/json").status_code == 202
    assert "very-secret" not in alices.get("/api/system/storages").text
    assert alices.delete(at).status_code == 200
    assert alices.get(at).status_code == 404
