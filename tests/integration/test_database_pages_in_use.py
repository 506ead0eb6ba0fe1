"""The pages of databases in use: what refreshes by itself, what tasks are called, what is offered to whom."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from accounts.models import User
from bakery.models import ABOUT_DATABASES, Task, TaskKind, TaskState, TaskStep
from bakery.phases import EXPECTED, OF_DATABASES
from databases.models import Attachment, Backup, BackupState, Database, DatabaseKind, DatabaseState
from deployments.models import Deployment
from deployments.services.settings import create_deployment
from infrastructure.secret import Secret
from tests.integration.people import alice, bob, browser, charlie, read_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git")


@pytest.fixture
def database(shop: Deployment) -> Database:
    made = Database.objects.create(
        name="shop-db",
        deployment=shop,
        state=DatabaseState.READY,
        password=Secret("the-password"),
        server_version=150004,
    )
    Attachment.objects.create(deployment=shop, database=made, variable="DATABASE_URL")
    return made


def part(person: User, path: str, target: str) -> str:
    """What htmx is given of a page."""
    answer = browser(person).get(path, headers={"HX-Request": "true", "HX-Target": target})
    assert answer.status_code == 200
    return answer.content.decode()


def version(text: str) -> str:
    found = re.search(r'data-version="([^"]+)"', text)
    return found.group(1) if found else ""


def test_the_address_is_another_part_as_soon_as_the_password_is_another_and_not_before(database: Database) -> None:
    path = f"/databases/{database.pk}"
    before = part(bob(), path, "address")
    browser(bob()).post(f"{path}/reveal")
    assert version(part(bob(), path, "address")) == version(before) != "", "what was revealed stays"
    Database.objects.filter(pk=database.pk).update(password=Secret("another-password"))
    assert version(part(bob(), path, "address")) != version(before)
    Database.objects.filter(pk=database.pk).update(login="b")
    after = part(bob(), path, "address")
    assert f"postgresql://{database.login_role('b')}:••••" in after
    assert "another-password" not in after
    assert version(part(charlie(), path, "address")) == "", "who cannot reveal it has nothing to keep"
    assert "last shown to bob@example.com" in part(alice(), path, "disclosed")
    assert "bob@example.com" not in part(charlie(), path, "disclosed")


def test_a_password_that_is_being_rotated_is_not_offered_to_be_rotated_again(database: Database) -> None:
    path = f"/databases/{database.pk}"
    assert "do-rotate" in part(bob(), path, "access")
    assert "do-rotate" not in part(charlie(), path, "access")
    browser(bob()).post(f"{path}/rotate")
    assert "do-rotate" not in part(bob(), path, "access")


def test_a_database_that_was_not_made_shows_no_address(database: Database) -> None:
    Database.objects.filter(pk=database.pk).update(state=DatabaseState.FAILED, problem="PostgreSQL is down.")
    found = part(bob(), f"/databases/{database.pk}", "address")
    assert "postgresql://" not in found
    assert "nothing to connect to" in found


def test_the_phases_of_a_rotation_are_in_words_of_its_own(database: Database) -> None:
    task = Task.objects.create(
        kind=TaskKind.ROTATE_PASSWORD, subject="shop-db", database=database, state=TaskState.RUNNING
    )
    TaskStep.objects.create(task=task, phase="prepare", state=TaskState.SUCCEEDED)
    step = TaskStep.objects.create(task=task, phase="switch", state=TaskState.RUNNING)
    for path in (f"/databases/{database.pk}", f"/activity/{task.pk}"):
        page = read_page(charlie(), path)
        assert "New password" in page
        assert "Hand it out" in page
        assert "Prepare" not in page
    for path in (f"/databases/{database.pk}", "/"):
        page = read_page(charlie(), path)
        assert "Handing the new password" in page
        assert "requests" not in page
    TaskStep.objects.filter(pk=step.pk).update(state=TaskState.SUCCEEDED)
    assert "Waiting until what uses it has restarted" in read_page(charlie(), f"/databases/{database.pk}")


def test_every_phase_of_a_databases_task_has_words(database: Database) -> None:
    services = Path(__file__).parents[2] / "databases" / "services"
    named = {name for file in services.glob("*.py") for name in re.findall(r'phase\("([^"]+)"\)', file.read_text())}
    assert named == OF_DATABASES.keys()
    assert named.issuperset(name for kind in ABOUT_DATABASES for name in EXPECTED.get(kind, ()))


def test_no_page_has_one_id_twice(shop: Deployment, database: Database) -> None:
    one = Backup.objects.create(database=database, subject="shop-db", state=BackupState.GOOD, file="1/1.dump")
    Database.objects.filter(pk=database.pk).update(has_reader=True)
    own = f"/databases/{database.pk}"
    paths = ("", "/backups", f"/backups/{one.pk}", "/settings")
    found = [read_page(alice(), own + path) for path in paths]
    found += [
        read_page(alice(), path) for path in ("/databases", "/databases/new", f"/deployments/{shop.pk}/databases")
    ]
    found += [browser(alice()).post(f"{own}/reader").content.decode(), read_page(alice(), "/settings/backup-storage")]
    for page in found:
        ids = Counter(re.findall(r'\sid="([^"]*)"', page))
        assert [each for each, count in ids.items() if count > 1 or " " in each] == []


def test_the_pages_of_the_list_are_those_of_what_was_searched_for(database: Database) -> None:
    Database.objects.bulk_create(Database(name=f"many-{number}", state=DatabaseState.READY) for number in range(60))
    assert "1 to 50 of 61" in part(bob(), "/databases", "databases")
    assert "page=2" not in part(bob(), "/databases?q=shop", "databases")
    assert "q=many&amp;show=&amp;page=2" in part(bob(), "/databases?q=many", "databases")


def test_a_viewer_is_told_that_nothing_is_set_of_a_database_elsewhere() -> None:
    found = Database.objects.create(name="far", kind=DatabaseKind.EXTERNAL, state=DatabaseState.READY)
    assert "Bakery sets nothing" in read_page(charlie(), f"/databases/{found.pk}/settings")
    assert "Bakery sets nothing" not in read_page(bob(), f"/databases/{found.pk}/settings")


def test_a_variable_that_is_taken_is_said_beside_its_field(shop: Deployment, database: Database) -> None:
    form = {"name": "orders", "deployment": shop.pk, "variable": "DATABASE_URL", "encoding": "UTF8"}
    limits = {"connection_limit": 7, "statement_timeout": 0, "idle_timeout": 60, "quota_mb": 0}
    answer = browser(bob()).post("/databases/new", {**form, **limits})
    assert answer.status_code == 422
    assert 'id="id_variable_error"' in answer.content.decode()
    assert not Database.objects.filter(name="orders").exists()
