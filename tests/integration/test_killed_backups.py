"""A worker that is killed in each step of a backup or a restore test: the next one ends it, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakery.models import Task, TaskState
from databases.models import Backup, BackupState
from databases.services import backing_up, backup_files
from databases.services.backups import request_backup
from databases.services.plans import set_plan
from databases.services.restore_tests import request_restore_test
from infrastructure.runner import Runner
from tests.integration.backed_up import backed_up, carried_out, filled, point_to
from tests.integration.dying import after, before, in_phase, killed_in
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def host(postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> PostgresHost:
    found = postgres_hosts.of(MAJORS[0])
    point_to(settings, found, tmp_path)
    return found


def left_of(host: PostgresHost, directory: Path) -> tuple[set[str], set[str], list[str]]:
    """Roles and databases of tasks, and files that are no finished backups."""
    roles = {name for name in host.roles() if name.endswith(("_dump", "_test"))}
    databases = {name for name in host.databases() if name.endswith("_test")}
    return (
        roles,
        databases,
        [path.name for path in directory.rglob(".*.part")] + [path.name for path in directory.glob("opened-*")],
    )


@pytest.mark.parametrize(
    "arrange",
    [
        in_phase("dump"),
        after(backup_files.BackupWriter, "take"),
        in_phase("list"),
        before(backup_files, "publish"),
        after(backup_files, "publish"),
        in_phase("tidy"),
    ],
    ids=[
        "before the dump",
        "in the dump",
        "before the list",
        "before it is named",
        "once it is named",
        "before tidying",
    ],
)
def test_a_backup_whose_worker_is_killed_is_made_by_the_next_one(
    host: PostgresHost, tmp_path: Path, arrange: Callable[[], None]
) -> None:
    database = filled("killed", host)
    set_plan(database, by=None, keep_last=1)
    task = request_backup(database, by=None)
    killed_in(arrange, database)
    assert Task.objects.get(pk=task.pk).state == TaskState.RUNNING
    assert carried_out(task).state == TaskState.SUCCEEDED, task.error_message
    backup = Backup.objects.get(database=database)
    assert (backup.state, backup.task) == (BackupState.GOOD, task)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.dump")] == [backup.file]
    assert left_of(host, tmp_path) == (set(), set(), [])
    assert carried_out(request_restore_test(backup, by=None)).state == TaskState.SUCCEEDED


def test_a_backup_whose_workers_are_killed_again_and_again_is_given_up(host: PostgresHost, tmp_path: Path) -> None:
    database = filled("doomed", host)
    task = request_backup(database, by=None)
    for _ in range(3):
        killed_in(after(backup_files.BackupWriter, "take"), database)
    assert carried_out(task).error_id == "task.abandoned"
    assert Backup.objects.get().state == BackupState.FAILED
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    backed_up(database)
    assert left_of(host, tmp_path) == (set(), set(), [])


@pytest.mark.parametrize(
    "arrange",
    [in_phase("open"), in_phase("restore"), after(Runner, "run"), in_phase("compare")],
    ids=["before it is opened", "before the restore", "in the restore", "before it is compared"],
)
def test_a_restore_test_whose_worker_is_killed_is_made_by_the_next_one(
    host: PostgresHost, tmp_path: Path, arrange: Callable[[], None]
) -> None:
    database = filled("tried-again", host)
    backup = backed_up(database)
    task = request_restore_test(backup, by=None)
    killed_in(arrange, database)
    assert carried_out(task).state == TaskState.SUCCEEDED, task.error_message
    backup.refresh_from_db()
    assert backup.test_ok
    assert left_of(host, tmp_path) == (set(), set(), [])


def test_a_cancelled_backup_leaves_nothing(host: PostgresHost, tmp_path: Path, monkeypatch: Any) -> None:
    database = filled("cancelled", host)
    task = request_backup(database, by=None)
    monkeypatch.setattr(backing_up, "stream_dump", lambda *_, **__: _cancel(task))
    assert carried_out(task).state == TaskState.CANCELLED
    assert Backup.objects.get().problem == "It was cancelled."
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert left_of(host, tmp_path) == (set(), set(), [])


def _cancel(task: Task) -> None:
    from infrastructure.errors import Cancelled

    raise Cancelled
