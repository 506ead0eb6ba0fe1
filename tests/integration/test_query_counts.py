"""A page asks the database as often for thirty rows as for three."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bakery.alarms import raise_alarm
from bakery.models import Task, TaskKind, TaskState, TaskStep
from databases.models import Attachment, Backup, BackupState, Database, DatabaseSnapshot, DatabaseState
from deployments.models import Deployment, LogStream, Release, ReleaseState, Slot, StreamKind
from deployments.services.env import set_env
from deployments.services.settings import create_deployment
from deployments.services.snapshot import Snapshot
from tests.integration.people import bob

pytestmark = pytest.mark.django_db


def add_deployment(number: int) -> Deployment:
    name = f"app-{number}"
    made = create_deployment(by=bob(), name=name, repository=f"https://example.com/{name}.git")
    release = add_release(made, 1, ReleaseState.LIVE)
    Deployment.objects.filter(pk=made.pk).update(current_release=release, next_release_number=2)
    return made


def add_release(deployment: Deployment, number: int, state: ReleaseState = ReleaseState.RETAINED) -> Release:
    slot = deployment.slots.get(name="blue")
    release = Release.objects.create(
        deployment=deployment,
        number=number,
        ref="main",
        state=state,
        slot=slot,
        artifact="/somewhere",
        snapshot=Snapshot.of(deployment).to_secret(),
        created_by=bob(),
        switched_at=timezone.now(),
    )
    LogStream.objects.create(kind=StreamKind.BUILD, deployment=deployment, release=release)
    LogStream.objects.create(kind=StreamKind.PROCESS, deployment=deployment, release=release)
    return release


def add_task(deployment: Deployment, state: TaskState) -> Task:
    task = Task.objects.create(
        kind=TaskKind.DEPLOY,
        subject=deployment.name,
        deployment=deployment,
        release=deployment.releases.first(),
        state=state,
        requested_by=bob(),
        started_at=timezone.now(),
    )
    TaskStep.objects.create(task=task, phase="fetch")
    TaskStep.objects.create(task=task, phase="fetch", argv=["git", "fetch"])
    return task


def queries(path: str) -> int:
    client = Client()
    client.force_login(bob())
    client.get(path)  # what is cached once per process is cached now
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


def grows(path: Callable[[], str], add: Callable[[int], object]) -> int:
    """How many more queries the page needs after ``add`` was called 12 times."""
    for number in range(3):
        add(number)
    few = queries(path())
    for number in range(3, 15):
        add(number)
    return queries(path()) - few


@pytest.mark.parametrize("path", ["/", "/deployments", "/deployments?q=app", "/sidebar", "/activity"])
def test_more_deployments_and_tasks_need_no_more_queries(path: str) -> None:
    def add(number: int) -> None:
        made = add_deployment(number)
        add_task(made, TaskState.RUNNING)
        add_task(made, TaskState.SUCCEEDED)

    assert grows(lambda: path, add) == 0


@pytest.mark.parametrize("page", ["", "/releases", "/logs", "/settings"])
def test_more_releases_need_no_more_queries(page: str) -> None:
    shop = add_deployment(99)

    def add(number: int) -> None:
        add_release(shop, number + 2)
        add_task(shop, TaskState.QUEUED)

    assert grows(lambda: f"/deployments/{shop.pk}{page}", add) == 0


def test_more_variables_need_no_more_queries() -> None:
    shop = add_deployment(99)
    assert (
        grows(
            lambda: f"/deployments/{shop.pk}/environment",
            lambda number: set_env(shop, by=None, values={f"NAME_{number}": "value"}),
        )
        == 0
    )


def test_more_steps_need_no_more_queries() -> None:
    task = add_task(add_deployment(99), TaskState.RUNNING)
    assert (
        grows(lambda: f"/activity/{task.pk}", lambda _: TaskStep.objects.create(task=task, phase="build", argv=["a"]))
        == 0
    )


def add_database(number: int) -> Database:
    deployment = create_deployment(by=None, name=f"user-{number}", repository="https://example.com/user.git")
    made = Database.objects.create(name=f"database-{number}", deployment=deployment, state=DatabaseState.READY)
    Attachment.objects.create(deployment=deployment, database=made)
    DatabaseSnapshot.objects.create(
        database=made, taken_at=timezone.now(), size_bytes=1, table_count=1, connections=1, largest=[]
    )
    add_backup(made)
    task = Task.objects.create(kind=TaskKind.BACK_UP, subject=made.name, database=made, state=TaskState.RUNNING)
    TaskStep.objects.create(task=task, phase="dump")
    raise_alarm(f"database.quota:{made.pk}", subject=made.name, message="It is too large.")
    return made


def add_backup(database: Database) -> Backup:
    return Backup.objects.create(
        database=database, subject=database.name, state=BackupState.GOOD, tested_at=timezone.now(), test_ok=True
    )


def serve_with_older_password(deployment: Deployment, number: int) -> None:
    """What runs knows what is attached now, and was given another password than there is."""
    release = add_release(deployment, number)
    Deployment.objects.filter(pk=deployment.pk).update(current_release=release)
    Slot.objects.filter(pk=release.slot_id).update(release=release, databases={})


@pytest.mark.parametrize(
    "path", ["/databases", "/databases?q=database", "/databases?show=attention", "/api/databases", "/", "/activity"]
)
def test_more_databases_need_no_more_queries(path: str) -> None:
    assert grows(lambda: path, add_database) == 0


@pytest.mark.parametrize("page", ["", "/backups", "/settings"])
def test_more_backups_tasks_and_attachments_of_a_database_need_no_more_queries(page: str) -> None:
    database = add_database(99)

    def add(number: int) -> None:
        add_backup(database)
        user = create_deployment(by=None, name=f"other-{number}", repository="https://example.com/other.git")
        Attachment.objects.create(deployment=user, database=database, variable=f"URL_{number}")
        serve_with_older_password(user, 1)
        Task.objects.create(kind=TaskKind.BACK_UP, subject="x", database=database, state=TaskState.SUCCEEDED)

    assert grows(lambda: f"/databases/{database.pk}{page}", add) == 0


def test_more_databases_of_a_deployment_need_no_more_queries() -> None:
    shop = add_deployment(99)

    def add(number: int) -> None:
        Attachment.objects.create(deployment=shop, database=add_database(number), variable=f"URL_{number}")
        serve_with_older_password(shop, number + 2)

    assert grows(lambda: f"/deployments/{shop.pk}/databases", add) == 0
