"""Databases over ``/api/``: asked for, changed, given away, dropped. What it asks for, a worker does."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from bakery.models import Task, TaskState
from databases.models import Attachment, Database, DatabaseKind, DatabaseState, Disclosure
from deployments.models import Deployment
from deployments.services.settings import create_deployment
from tests.integration.people import bob, charlie
from tests.integration.test_api import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git")


@pytest.fixture
def made(shop: Deployment) -> Database:
    """Through the API, and then ready: the worker is left out."""
    status, task = Api(bob()).post("databases", {"name": "orders", "deployment": "shop", "connection_limit": 5})
    assert (status, task["kind"]) == (202, "create-database")
    return ready(Database.objects.get(name="orders"))


def ready(database: Database) -> Database:
    database.tasks.update(state=TaskState.SUCCEEDED)
    Database.objects.filter(pk=database.pk).update(state=DatabaseState.READY)
    database.refresh_from_db()
    return database


def test_a_database_is_made_for_a_deployment_and_stands_in_its_environment(made: Database, shop: Deployment) -> None:
    assert (made.deployment, made.connection_limit, made.created_by) == (shop, 5, bob())
    assert Attachment.objects.get().variable == "DATABASE_URL"
    shown = Api(bob()).get("databases/orders")[1]
    assert (shown["name"], shown["settings"]["connection_limit"]) == ("orders", 5)
    assert made.password.reveal() not in str(shown)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "Not A Name"}, 422),
        ({"name": ["orders"]}, 422),
        ({"name": "orders2", "connection_limit": "many"}, 422),
        ({"name": "orders2", "connection_limit": 0}, 422),
        ({"name": "orders2", "extensions": ["file_fdw"]}, 422),
        ({"name": "orders2", "extensions": "vector"}, 422),
        ({"name": "orders2", "state": "ready"}, 422),
        ({"name": "orders2", "deployment": "nowhere"}, 404),
        ({"name": "orders2", "url": "mysql://a:b@c/d"}, 422),
        ({"name": "orders"}, 422),
    ],
)
def test_what_cannot_be_is_refused(made: Database, body: dict[str, Any], status: int) -> None:
    assert Api(bob()).post("databases", body)[0] == status
    assert Database.objects.count() == 1


def test_limits_change_and_only_one_change_at_a_time(made: Database) -> None:
    api = Api(bob())
    assert api.send("PATCH", "databases/orders", {"statement_timeout": 5, "extensions": ["pg_trgm"]})[0] == 202
    made.refresh_from_db()
    assert (made.statement_timeout, made.extensions) == (5, ["pg_trgm"])
    assert api.send("PATCH", "databases/orders", {"statement_timeout": 6})[0] == 409
    made.refresh_from_db()
    assert made.statement_timeout == 5
    assert api.send("PATCH", "databases/orders", {"encoding": "LATIN1"})[0] == 422


def test_secrets_are_for_deployers_and_who_saw_them_is_written_down(made: Database) -> None:
    assert Api(charlie()).post("databases/orders/reveal")[0] == 403
    status, shown = Api(bob()).post("databases/orders/reveal")
    assert (status, urlsplit(shown["url"]).password) == (200, made.password.reveal())
    status, reader = Api(bob()).post("databases/orders/reader")
    password = urlsplit(reader["url"]).password
    assert (status, urlsplit(reader["url"]).username) == (202, made.reader_role)
    assert password and password not in Task.objects.get(pk=reader["task"]["id"]).ref
    assert {(row.what, row.shown_to) for row in Disclosure.objects.all()} == {
        ("the connection string", bob()),
        ("the read-only connection string", bob()),
    }
    ready(made)
    assert Api(bob()).send("DELETE", "databases/orders/reader")[0] == 202


def test_a_password_is_rotated(made: Database) -> None:
    status, task = Api(bob()).post("databases/orders/rotate-password")
    assert (status, task["kind"]) == (202, "rotate-password")
    assert Api(bob()).post("databases/orders/rotate-password")[0] == 409


def test_a_database_is_shared_and_taken_out_again(made: Database) -> None:
    other = create_deployment(by=None, name="office", repository="https://example.com/office.git")
    api, where = Api(bob()), {"deployment": "office", "variable": "SHOP_URL"}
    assert api.post("databases/orders/attachments", {**where, "pg_variables": True})[0] == 201
    assert other.attachments.get().variable == "SHOP_URL"
    assert api.post("databases/orders/attachments", {"deployment": "nowhere"})[0] == 404
    assert api.send("DELETE", "databases/orders/attachments", where) == (200, None)
    assert api.send("DELETE", "databases/orders/attachments", where)[0] == 404


def test_a_database_is_dropped_by_who_says_its_name(made: Database) -> None:
    api = Api(bob())
    assert api.send("DELETE", "databases/orders")[0] == 422
    status, task = api.send("DELETE", "databases/orders", {"confirm": "orders"})
    assert (status, task["kind"]) == (202, "drop-database")
    made.refresh_from_db()
    assert made.state == DatabaseState.DROPPING
    assert api.send("PATCH", "databases/orders", {"quota_mb": 1})[0] == 409


def test_a_database_elsewhere_is_registered(shop: Deployment) -> None:
    api = Api(bob())
    assert api.post("databases", {"name": "theirs", "url": "postgresql://a:hidden-word@db.example/x"})[0] == 202
    found = ready(Database.objects.get())
    assert found.kind == DatabaseKind.EXTERNAL
    assert "hidden-word" not in str(api.get("databases/theirs")[1])
    assert api.post("databases/theirs/check")[0] == 202
    assert api.post("databases/theirs/rotate-password")[0] == 409
