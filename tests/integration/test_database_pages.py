"""Databases on the pages, as a person with a browser meets them. Rows stand for what workers would have made."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from bakery.alarms import raise_alarm
from bakery.models import Task, TaskKind, TaskState
from databases.models import (
    Attachment,
    Backup,
    BackupState,
    Database,
    DatabaseKind,
    DatabaseSnapshot,
    DatabaseState,
    Disclosure,
    Storage,
)
from deployments.models import Deployment
from deployments.services.settings import create_deployment
from infrastructure.secret import Secret
from tests.integration.people import alice, bob, browser, charlie, read_page

pytestmark = pytest.mark.django_db
SECRET = "password-that-nobody-may-see"


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git")


@pytest.fixture
def database(shop: Deployment) -> Database:
    made = Database.objects.create(
        name="shop-db", deployment=shop, state=DatabaseState.READY, password=Secret(SECRET), server_version=150004
    )
    Attachment.objects.create(deployment=shop, database=made, variable="DATABASE_URL")
    return made


def measured(database: Database, hours_ago: float, size: int, **fields: Any) -> DatabaseSnapshot:
    taken_at = timezone.now() - timedelta(hours=hours_ago)
    return DatabaseSnapshot.objects.create(
        database=database, taken_at=taken_at, size_bytes=size, table_count=3, connections=2, **fields
    )


def backed_up(database: Database, **fields: Any) -> Backup:
    given = {"state": BackupState.GOOD, "file": "1/1.dump", "size_bytes": 3 * 1024**2, "sha256": "ab" * 32, **fields}
    return Backup.objects.create(database=database, subject=database.name, **given)


def test_the_list_says_who_uses_a_database_how_large_it_is_and_what_needs_attention(database: Database) -> None:
    measured(database, 1, 12 * 1024**2)
    backed_up(database, tested_at=timezone.now(), test_ok=True, test_seconds=41)
    Database.objects.create(name="blog-db", state=DatabaseState.READY)
    raise_alarm(f"database.quota:{database.pk}", subject="shop-db", message="It is too large.")
    page = read_page(charlie(), "/databases")
    for words in ("shop-db", "12.0\xa0MB", "Above its quota", "ok", "41 s", "blog-db", "Nobody", "None yet"):
        assert words in page, words
    only = read_page(charlie(), "/databases?show=attention")
    assert "shop-db" in only
    assert "blog-db" not in only
    assert "blog-db" not in read_page(charlie(), "/databases?q=shop")
    assert "Nothing fits" in read_page(charlie(), "/databases?q=nowhere%00")


def test_the_overview_shows_figures_a_chart_tables_and_queries_without_inline_styles(database: Database) -> None:
    measured(database, 30, 8 * 1024**2)
    page = read_page(charlie(), f"/databases/{database.pk}")
    assert "A line appears here" in page
    measured(
        database,
        1,
        12 * 1024**2,
        cache_hit=0.9999,
        bloat_bytes=2048,
        largest=[{"table": "public.orders", "bytes": 5 * 1024**2, "rows": 12345, "bloat_bytes": None}],
        slow=[{"query": "SELECT <b>", "calls": 7, "mean_ms": 12.3, "total_ms": 86.1}],
    )
    Database.objects.filter(pk=database.pk).update(quota_mb=13)
    page = read_page(charlie(), f"/databases/{database.pk}")
    for words in (
        "PostgreSQL 15.4",
        "99.9 %",
        "<polyline",
        "public.orders",
        "12,345",
        "SELECT &lt;b&gt;",
        "chart-quota",
    ):
        assert words in page, words
    assert "style=" not in page
    assert "<polyline" not in read_page(charlie(), f"/databases/{database.pk}?span=1")
    assert "<polyline" in read_page(charlie(), f"/databases/{database.pk}?span=365")


def test_no_page_and_no_answer_of_the_api_holds_the_password(shop: Deployment, database: Database) -> None:
    backed_up(database, sealed=True, passphrase=Secret(SECRET))
    for path in ("", f"/{database.pk}", f"/{database.pk}/backups"):
        assert SECRET not in read_page(alice(), f"/databases{path}")
    assert SECRET not in read_page(alice(), f"/deployments/{shop.pk}/databases")
    for path in ("", "/shop-db", "/shop-db/backups"):
        assert SECRET not in read_page(alice(), f"/api/databases{path}")


def test_backups_say_where_they_are_and_how_their_test_went(database: Database) -> None:
    s3 = Storage.objects.create(
        name="offsite", endpoint="https://s3.example.com", bucket="b", access_key="a", secret_key=Secret("s")
    )
    backed_up(database, storage=s3, storage_key="x", sealed=True, pinned=True)
    backed_up(database, tested_at=timezone.now(), test_ok=False, test_seconds=3, test_message="3 rows are missing.")
    backed_up(database, state=BackupState.FAILED, problem="The disk is full.", file="", size_bytes=0)
    page = read_page(charlie(), f"/databases/{database.pk}/backups")
    for words in ("offsite", "encrypted", "Pinned", "3 rows are missing.", "The disk is full.", "abababababab"):
        assert words in page, words


def test_what_is_being_done_stands_on_the_page_with_its_log(database: Database) -> None:
    Task.objects.create(kind=TaskKind.BACK_UP, subject="shop-db", database=database, state=TaskState.RUNNING)
    page = read_page(charlie(), f"/databases/{database.pk}")
    assert "Back up" in page
    assert "/activity/" in page
    assert f'href="/databases/{database.pk}"' in read_page(charlie(), "/activity")


def test_a_deployment_lists_its_databases_and_a_database_its_deployments(shop: Deployment, database: Database) -> None:
    page = read_page(charlie(), f"/deployments/{shop.pk}/databases")
    assert f'href="/databases/{database.pk}"' in page
    assert "<code>DATABASE_URL</code>" in page
    assert f'href="/deployments/{shop.pk}/databases"' in read_page(charlie(), f"/databases/{database.pk}")


def test_the_environment_names_the_variables_that_databases_make(shop: Deployment, database: Database) -> None:
    page = read_page(charlie(), f"/deployments/{shop.pk}/environment")
    assert "From databases" in page
    assert f'href="/databases/{database.pk}"' in page
    assert SECRET not in page


def test_an_external_database_has_no_backups_and_says_what_is_wrong_with_it() -> None:
    found = Database.objects.create(
        name="far", kind=DatabaseKind.EXTERNAL, state=DatabaseState.READY, problem="It does not answer."
    )
    page = read_page(charlie(), f"/databases/{found.pk}")
    assert "It does not answer." in page
    assert f"/databases/{found.pk}/backups" not in page
    assert "far" in read_page(charlie(), "/databases?show=external")


def test_the_api_reads_what_the_pages_show(database: Database) -> None:
    measured(database, 1, 4096)
    backed_up(database)
    client = browser(charlie())
    assert [row["name"] for row in client.get("/api/databases").json()] == ["shop-db"]
    one = client.get("/api/databases/shop-db").json()
    assert (one["size_bytes"], one["attachments"][0]["variable"], one["state"]) == (4096, "DATABASE_URL", "ready")
    assert one["settings"]["connection_limit"] == 20
    backups = client.get("/api/databases/shop-db/backups").json()
    assert [(row["state"], row["here"], row["sha256"]) for row in backups] == [("good", True, "ab" * 32)]
    assert client.get("/api/databases/nowhere").status_code == 404


def test_whoever_is_nobody_reads_nothing_and_a_dropped_database_is_said_to_be_gone(database: Database) -> None:
    assert Client().get("/databases").status_code == 302
    assert browser(bob()).get("/databases/999999").status_code == 404


def test_a_database_is_made_for_a_deployment_and_stands_in_its_environment(shop: Deployment) -> None:
    client = browser(bob())
    form = {
        "name": "orders",
        "deployment": shop.pk,
        "variable": "ORDERS_URL",
        "extensions": ["pg_trgm"],
        "encoding": "UTF8",
        "connection_limit": 7,
        "statement_timeout": 0,
        "idle_timeout": 60,
        "quota_mb": 0,
    }
    refused = client.post("/databases/new", {**form, "name": "Not A Name", "connection_limit": 0})
    assert refused.status_code == 422
    assert "small letters" in refused.content.decode()
    assert client.post("/databases/new", form).status_code == 302
    made = Database.objects.get(name="orders")
    assert (made.connection_limit, made.extensions, made.state) == (7, ["pg_trgm"], DatabaseState.CREATING)
    assert made.tasks.get().kind == TaskKind.CREATE_DATABASE
    assert made.attachments.get().variable == "ORDERS_URL"
    assert "ORDERS_URL" in read_page(charlie(), f"/databases/{made.pk}")


def test_one_elsewhere_is_registered_by_its_address_which_no_page_shows_again() -> None:
    client = browser(bob())
    refused = client.post("/databases/register", {"name": "far", "url": "mysql://a:b@c/d"})
    assert refused.status_code == 422
    assert "postgresql://" in refused.content.decode()
    url = f"postgresql://app:{SECRET}@db.example.com:6432/far"
    assert client.post("/databases/register", {"name": "far", "url": url}).status_code == 302
    found = Database.objects.get(name="far")
    page = read_page(bob(), f"/databases/{found.pk}")
    assert SECRET not in page
    assert "postgresql://app:••••••••@db.example.com:6432/far" in page


def test_it_is_attached_and_detached_from_both_sides(shop: Deployment, database: Database) -> None:
    client, blog = browser(bob()), create_deployment(by=None, name="blog", repository="https://example.com/b.git")
    taken = {"deployment": shop.pk, "variable": "DATABASE_URL"}
    other = Database.objects.create(name="other", state=DatabaseState.READY)
    refused = client.post(f"/databases/{other.pk}/attach", taken)
    assert refused.status_code == 422
    assert "as DATABASE_URL" in refused.content.decode()
    assert client.post(f"/databases/{other.pk}/attach", {**taken, "variable": "OTHER_URL"}).status_code == 302
    given = {"database": database.pk, "variable": "DB", "pg_variables": "on"}
    assert client.post(f"/deployments/{blog.pk}/databases/attach", given).status_code == 302
    attachment = blog.attachments.get()
    assert (attachment.variable, attachment.pg_variables) == ("DB", True)
    answer = client.post(f"/databases/{database.pk}/attachments/{attachment.pk}/detach", {"back": "deployment"})
    assert answer["Location"] == f"/deployments/{blog.pk}/databases"
    assert not blog.attachments.exists()


def test_whoever_reveals_the_connection_string_is_written_down_and_a_viewer_cannot(database: Database) -> None:
    path = f"/databases/{database.pk}/reveal"
    assert browser(charlie()).post(path).status_code == 403
    assert browser(bob()).get(path).status_code == 405
    assert not Disclosure.objects.exists()
    answer = browser(bob()).post(path)
    assert SECRET in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert "csrfmiddlewaretoken" in answer.content.decode(), "hiding it is a POST as well"
    assert Disclosure.objects.get().shown_to == bob()
    assert SECRET not in browser(bob()).post(f"{path}?hide=1").content.decode()
    assert Disclosure.objects.count() == 1
    assert "last shown to bob@example.com" in read_page(alice(), f"/databases/{database.pk}")


def test_limits_are_changed_and_a_viewer_sees_them_only(database: Database) -> None:
    path = f"/databases/{database.pk}/settings"
    assert "Save limits" not in read_page(charlie(), path)
    form = {
        "connection_limit": 5,
        "statement_timeout": 30,
        "idle_timeout": 300,
        "quota_mb": 100,
        "extensions": ["vector"],
    }
    assert browser(charlie()).post(path, form).status_code == 403
    assert browser(bob()).post(path, {**form, "connection_limit": 0}).status_code == 422
    assert browser(bob()).post(path, form).status_code == 302
    database.refresh_from_db()
    assert (database.connection_limit, database.quota_mb, database.extensions) == (5, 100, ["vector"])
    assert database.tasks.get().kind == TaskKind.CHANGE_DATABASE


def test_the_password_is_rotated_and_a_read_only_one_shown_once(database: Database) -> None:
    client, path = browser(bob()), f"/databases/{database.pk}"
    assert browser(charlie()).post(f"{path}/reader").status_code == 403
    answer = client.post(f"{path}/reader")
    assert f"postgresql://{database.reader_role}:" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert f"postgresql://{database.reader_role}:" not in read_page(bob(), path)
    assert Disclosure.objects.get().shown_to == bob()
    client.post(f"{path}/rotate")
    assert {task.kind for task in database.tasks.all()} == {TaskKind.CHANGE_DATABASE, TaskKind.ROTATE_PASSWORD}


def test_it_is_dropped_when_its_name_was_typed_with_a_last_backup_unless_declined(database: Database) -> None:
    client, path = browser(bob()), f"/databases/{database.pk}"
    page = read_page(bob(), f"{path}/settings")
    assert re.search(r'name="backup_first" checked', page)
    assert "<strong>shop</strong>" in page
    assert client.post(f"{path}/drop", {"name": "shop"}).status_code == 422
    assert not Task.objects.exists()
    assert client.post(f"{path}/drop", {"name": "shop-db", "backup_first": "on"})["Location"] == "/databases"
    task = Task.objects.get()
    assert task.kind == TaskKind.DROP_DATABASE
    assert "backup" in task.ref
    assert "Drop this database" not in read_page(bob(), f"{path}/settings"), "nothing more can be asked of it"
    client.post(f"/deployments/tasks/{task.pk}/cancel")
    task.refresh_from_db()
    assert (task.state, task.cancel_requested) == (TaskState.QUEUED, True), "a worker puts right what the row says"


def test_what_could_not_be_made_is_tried_again(database: Database) -> None:
    Database.objects.filter(pk=database.pk).update(state=DatabaseState.FAILED, problem="PostgreSQL is down.")
    page = read_page(bob(), f"/databases/{database.pk}")
    assert "PostgreSQL is down." in page
    assert "Try again" in page
    browser(bob()).post(f"/databases/{database.pk}/retry")
    database.refresh_from_db()
    assert database.state == DatabaseState.CREATING
    assert database.attachments.get().variable == "DATABASE_URL"


def test_whoever_deletes_a_deployment_is_told_which_databases_go_and_may_keep_them(
    shop: Deployment, database: Database
) -> None:
    page = read_page(bob(), f"/deployments/{shop.pk}/settings")
    assert 'name="keep_databases"' in page
    assert f'href="/databases/{database.pk}"' in page
    other = create_deployment(by=None, name="other", repository="https://example.com/o.git")
    Attachment.objects.create(deployment=other, database=database)
    assert 'name="keep_databases"' not in read_page(bob(), f"/deployments/{shop.pk}/settings")
