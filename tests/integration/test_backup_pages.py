"""Backups on the pages: the plan in friendly words, restores that are typed, buckets that only admins keep."""

from __future__ import annotations

import json
from datetime import time

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from bakery.models import Task, TaskKind
from databases.models import Backup, BackupPlan, BackupState, Database, DatabaseState, Storage
from databases.schedule import Every, Schedule, as_cron, in_words, read
from databases.services import scheduling
from databases.tasks import check_storage
from infrastructure.secret import Secret
from tests.integration.people import alice, bob, browser, charlie, read_page

pytestmark = pytest.mark.django_db
SECRET = "key-that-nobody-may-see"
PLAN = {
    "keep_last": 3,
    "keep_daily": 7,
    "keep_weekly": 0,
    "keep_monthly": 0,
    "test_every_days": 7,
}


@pytest.fixture
def database() -> Database:
    return Database.objects.create(name="shop-db", state=DatabaseState.READY, password=Secret("x"))


@pytest.fixture
def backup(database: Database) -> Backup:
    return Backup.objects.create(
        database=database, subject="shop-db", state=BackupState.GOOD, file="1/1.dump", rows={"public.a": 3}
    )


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(Every.HOUR, time(0, 20)),
        Schedule(Every.DAY, time(3, 0)),
        Schedule(Every.WEEK, time(2, 30), "1"),
        Schedule(Every.MONTH, time(23, 59), day=28),
        Schedule(Every.CRON, cron="*/5 1-3 * * 1-5"),
    ],
    ids=lambda schedule: str(schedule.every.value),
)
def test_a_schedule_in_words_is_read_back_as_it_was_written(schedule: Schedule) -> None:
    cron = as_cron(schedule)
    found = read(scheduling.parse(cron))
    assert (found.every, as_cron(found)) == (schedule.every, cron)
    assert "UTC" in in_words(scheduling.parse(cron)) or schedule.every == Every.HOUR


def test_a_plan_is_chosen_in_words_and_shown_where_the_backups_are(database: Database) -> None:
    path, client = f"/databases/{database.pk}/settings", browser(bob())
    assert client.post(f"{path}/plan", {**PLAN, "every": "week", "weekday": "1"}).status_code == 422
    assert not BackupPlan.objects.exists()
    form = {**PLAN, "every": "week", "weekday": "1", "at": "02:30", "passphrase": SECRET, "before_deploys": "on"}
    assert client.post(f"{path}/plan", form).status_code == 302
    plan = BackupPlan.objects.get()
    assert plan.schedule
    assert scheduling.as_text(plan.schedule) == "30 2 * * 1"
    assert (plan.passphrase.reveal(), plan.before_deploys, plan.keep_last) == (SECRET, True, 3)
    page = read_page(charlie(), f"/databases/{database.pk}/backups")
    assert "Weekly on Monday at 02:30 UTC" in page
    assert "the newest 3, one for each of 7 days<" in page
    settings = read_page(bob(), path)
    assert SECRET not in settings
    assert 'value="02:30"' in settings
    client.post(f"{path}/plan", {**PLAN, "every": "never"})
    plan.refresh_from_db()
    assert plan.schedule is None
    assert plan.passphrase.reveal() == SECRET, "what was not typed stays"
    client.post(f"{path}/plan", {**PLAN, "every": "cron", "cron": "0 4 * * 1-5", "no_passphrase": "on"})
    plan.refresh_from_db()
    assert plan.schedule
    assert (scheduling.as_text(plan.schedule), plan.passphrase.reveal()) == ("0 4 * * 1-5", "")
    refused = client.post(f"{path}/plan", {**PLAN, "every": "cron", "cron": "at noon"})
    assert "is not a schedule" in refused.content.decode()


def test_a_backup_is_asked_for_pinned_tested_and_deleted(database: Database, backup: Backup) -> None:
    client, path = browser(bob()), f"/databases/{database.pk}/backups"
    assert "Back up now" in read_page(bob(), path)
    assert "Back up now" not in read_page(charlie(), path)
    client.post(f"{path}/make")
    client.post(f"{path}/{backup.pk}/test")
    assert {task.kind for task in database.tasks.all()} == {TaskKind.BACK_UP, TaskKind.TEST_RESTORE}
    client.post(f"{path}/{backup.pk}/pin", {"pinned": "1"})
    page = read_page(charlie(), f"{path}/{backup.pk}")
    assert "Pinned" in page
    assert "1 table, 3 rows" in page
    client.post(f"{path}/{backup.pk}/delete")
    backup.refresh_from_db()
    assert backup.state not in (BackupState.GOOD, BackupState.RUNNING)


def test_a_backup_that_is_only_in_the_storage_is_fetched_back_before_it_is_downloaded(
    database: Database, backup: Backup
) -> None:
    path = f"/databases/{database.pk}/backups/{backup.pk}"
    assert "Fetch it back" not in read_page(bob(), path)
    elsewhere = Storage.objects.create(
        name="offsite", endpoint="https://s3.example.com", bucket="b", access_key="a", secret_key=Secret(SECRET)
    )
    Backup.objects.update(file="", storage=elsewhere, storage_key="1/1.dump")
    assert "fetch it back first" in read_page(bob(), path)
    readers = read_page(charlie(), path)
    assert "somebody who may change databases has to fetch it back first" in readers
    assert f"{path}/fetch" not in readers
    assert browser(bob()).post(f"{path}/fetch").status_code == 302
    task = database.tasks.get()
    assert (task.kind, json.loads(task.ref)) == (TaskKind.FETCH_BACKUP, {"backup": backup.pk})
    refused = browser(bob()).get(f"/api/databases/{database.name}/backups/{backup.pk}/file")
    assert "have it fetched back to this host first" in refused.json()["hint"]


def test_a_restore_begins_only_when_the_name_was_typed(database: Database, backup: Backup) -> None:
    client, path = browser(bob()), f"/databases/{database.pk}/backups/{backup.pk}/restore"
    refused = client.post(path, {"name": "another"})
    assert refused.status_code == 422
    assert "Type “shop-db” to confirm." in refused.content.decode()
    assert not Task.objects.exists()
    assert client.post(path, {"name": "shop-db"}).status_code == 302
    task = Task.objects.get()
    assert task.kind == TaskKind.RESTORE
    assert json.loads(task.ref)["backup"] == backup.pk


def test_a_restored_database_asks_whether_it_is_right(database: Database) -> None:
    assert "Restored: is it right?" not in read_page(bob(), f"/databases/{database.pk}")
    Database.objects.filter(pk=database.pk).update(previous=f"{database.database_name}_before_1")
    assert "Restored: is it right?" in read_page(charlie(), f"/databases/{database.pk}")
    backups = read_page(bob(), f"/databases/{database.pk}/backups")
    assert "neither confirmed nor undone" in backups
    assert "Upload and restore" not in backups
    browser(bob()).post(f"/databases/{database.pk}/restore/undo")
    task = database.tasks.get()
    assert task.kind == TaskKind.RESTORE
    assert not task.can_be_cancelled


def test_a_dump_of_ones_own_is_looked_at_before_anything_is_asked(database: Database) -> None:
    client, path = browser(bob()), f"/databases/{database.pk}/backups/upload"
    broken = SimpleUploadedFile("shop.db", b"SQLite format 3\0" + bytes(100))
    refused = client.post(path, {"name": "shop-db", "dump": broken})
    assert refused.status_code == 422
    assert 'id="id_dump_error"' in refused.content.decode()
    assert client.post(path, {"name": "shop-db"}).status_code == 422
    assert not Task.objects.exists()
    dump = SimpleUploadedFile("shop.sql", b"-- PostgreSQL database dump\nCREATE TABLE a (b int);\n")
    assert client.post(path, {"name": "shop-db", "dump": dump}).status_code == 302
    assert Task.objects.get().kind == TaskKind.RESTORE


def test_a_copy_is_made_under_a_name_of_its_own(database: Database) -> None:
    client, path = browser(bob()), f"/databases/{database.pk}/clone"
    assert client.post(path, {"name": "shop-db"}).status_code == 422
    assert client.post(path, {"name": "shop-copy"}).status_code == 302
    made = Database.objects.get(name="shop-copy")
    assert {task.kind for task in made.tasks.all()} == {TaskKind.CREATE_DATABASE, TaskKind.CLONE_DATABASE}


def test_a_bucket_is_kept_by_admins_and_its_key_is_never_shown() -> None:
    bucket = {
        "name": "offsite",
        "endpoint": "http://127.0.0.1:9",
        "bucket": "backups",
        "prefix": "bakery",
        "access_key": "key",
        "secret_key": SECRET,
    }
    assert browser(bob()).post("/settings/backup-storage/add", bucket).status_code == 403
    client = browser(alice())
    assert client.post("/settings/backup-storage/add", {**bucket, "endpoint": "no address"}).status_code == 422
    answer = client.post("/settings/backup-storage/add", bucket, follow=True)
    page = answer.content.decode()
    assert "A worker writes, reads and deletes a small object" in page
    assert "Not tried yet" in page
    assert SECRET not in page
    kept = Storage.objects.get()
    check_storage(kept.pk)  # the worker's turn
    part = client.get("/settings/backup-storage", headers={"HX-Request": "true", "HX-Target": "storages"})
    assert "Does not work" in part.content.decode()
    assert "<html" not in part.content.decode()
    edit = f"/settings/backup-storage/{kept.pk}"
    assert SECRET not in read_page(alice(), edit)
    assert client.post(edit, {**bucket, "secret_key": "", "prefix": "other"}).status_code == 302
    kept.refresh_from_db()
    assert (kept.prefix, kept.secret_key.reveal(), kept.checked_at) == ("other", SECRET, None)
    client.post(f"{edit}/remove")
    assert not Storage.objects.exists()
