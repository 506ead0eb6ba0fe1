"""Databases backed up from servers of two major versions: what is written, read back, refused and cleaned up."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.models import Alarm, TaskState
from bakery.panel.sealed import MAGIC
from databases.models import Backup, BackupState, Database
from databases.services import backup_files, restore_tests
from databases.services.backups import delete_backup, open_backup, pin_backup, request_backup
from databases.services.connection import url_of
from databases.services.deletion import delete_marked
from databases.services.plans import set_plan
from databases.services.restore_tests import request_restore_test
from infrastructure.errors import Problem
from infrastructure.postgres.tools import find_tools, fitting
from tests.integration.backed_up import ROWS, backed_up, carried_out, filled, point_to
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(params=MAJORS)
def host(request: pytest.FixtureRequest, postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> PostgresHost:
    found = postgres_hosts.of(request.param)
    point_to(settings, found, tmp_path)
    return found


@pytest.fixture
def one_host(postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> PostgresHost:
    """For what has nothing to do with the server's version."""
    found = postgres_hosts.of(MAJORS[0])
    point_to(settings, found, tmp_path)
    return found


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def listed(host: PostgresHost, dump: Path) -> str:
    tools = fitting(find_tools(host.private_tools), host.major)[0]
    argv = [str(tools.bin / "pg_restore"), "--list", str(dump)]
    return subprocess.run(argv, env=tools.environment(), check=True, capture_output=True, text=True).stdout


def test_a_backup_is_a_whole_dump_with_its_checksum_and_rows(host: PostgresHost, tmp_path: Path) -> None:
    database = filled("orders", host)
    backup = backed_up(database)
    file = tmp_path / backup.file
    assert files(tmp_path) == [backup.file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert backup.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert backup.size_bytes == file.stat().st_size
    assert (backup.state, backup.rows, backup.server_major) == (BackupState.GOOD, ROWS, host.major)
    with open_backup(backup) as dump:
        assert dump == file
        assert "TABLE DATA public cakes" in listed(host, dump)
    assert backup.entries > len(ROWS)
    # Nothing that was made for it stays on the server.
    assert not {name for name in host.roles() if name.endswith("_dump")}


def test_it_is_restored_to_try_it_and_what_is_missing_is_told(host: PostgresHost) -> None:
    database = filled("tried", host)
    backup = backed_up(database)
    before = host.databases(), host.roles()
    task = carried_out(request_restore_test(database, by=None))
    assert task.state == TaskState.SUCCEEDED, task.error_message
    backup.refresh_from_db()
    assert backup.test_ok and backup.test_seconds and backup.tested_at
    assert (host.databases(), host.roles()) == before
    Backup.objects.filter(pk=backup.pk).update(rows={**ROWS, "public.cakes": 1001, "public.crumbs": 1})
    task = carried_out(request_restore_test(backup, by=None))
    assert task.error_id == "backup.differs"
    assert "public.cakes has 1000 rows, not 1001; public.crumbs is missing." in task.error_message
    backup.refresh_from_db()
    assert backup.test_ok is False
    assert Alarm.objects.open().get(key=f"database.restore-test:{database.pk}").urgent
    assert (host.databases(), host.roles()) == before


def test_limits_that_an_application_gave_its_database_end_no_backup(host: PostgresHost) -> None:
    database = filled("limited", host)
    limits = ["statement_timeout", "idle_in_transaction_session_timeout"]
    limits += ["transaction_timeout"] if host.major >= 17 else []
    for limit in limits:
        host.sql(f"ALTER DATABASE {database.database_name} SET {limit} = '50ms'", url=url_of(database).reveal())
    assert backed_up(database).rows == ROWS


def test_a_restore_test_that_fills_the_disk_is_ended(one_host: PostgresHost, monkeypatch: Any) -> None:
    database = filled("large", one_host)
    backed_up(database)
    before = one_host.databases(), one_host.roles()
    monkeypatch.setattr(restore_tests, "is_short", lambda directory: True)
    task = carried_out(request_restore_test(database, by=None))
    assert task.error_id == "postgres.disk-full"
    assert (one_host.databases(), one_host.roles()) == before


def test_what_is_written_meanwhile_is_neither_in_the_dump_nor_counted(host: PostgresHost, monkeypatch: Any) -> None:
    database = filled("busy", host)
    url, taken = url_of(database).reveal(), backup_files.BackupWriter.take
    written: list[int] = []

    def write_first(self: backup_files.BackupWriter, data: bytes) -> None:
        if not written:
            written.append(1)
            host.sql("INSERT INTO cakes (name) VALUES ('late'); INSERT INTO empty VALUES (1)", url=url)
        taken(self, data)

    monkeypatch.setattr(backup_files.BackupWriter, "take", write_first)
    backup = backed_up(database)
    assert written
    assert backup.rows == ROWS
    assert carried_out(request_restore_test(backup, by=None)).state == TaskState.SUCCEEDED


def test_a_sealed_backup_shows_nothing_and_opens_with_its_own_passphrase(
    one_host: PostgresHost, tmp_path: Path
) -> None:
    database = filled("sealed", one_host)
    set_plan(database, by=None, passphrase="correct horse battery")
    backup = backed_up(database)
    content = (tmp_path / backup.file).read_bytes()
    assert backup.file.endswith(".dump.sealed")
    assert content.startswith(MAGIC)
    assert b"cakes" not in content
    set_plan(database, by=None, passphrase="another one by now")  # of later backups
    backup.refresh_from_db()
    with open_backup(backup) as dump:
        assert "TABLE DATA public cakes" in listed(one_host, dump)
        assert stat.S_IMODE(dump.parent.stat().st_mode) == 0o700
    assert files(tmp_path) == [backup.file]
    assert carried_out(request_restore_test(backup, by=None)).state == TaskState.SUCCEEDED


def test_a_file_that_was_changed_or_is_gone_is_not_opened(one_host: PostgresHost, tmp_path: Path) -> None:
    backup = backed_up(filled("changed", one_host))
    file = tmp_path / backup.file
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(Problem) as caught, open_backup(backup):
        pass
    assert caught.value.id == "backup.changed"
    task = carried_out(request_restore_test(backup, by=None))
    assert task.error_id == "backup.changed"
    file.unlink()
    with pytest.raises(Problem) as caught, open_backup(backup):
        pass
    assert caught.value.id == "backup.file-gone"


def test_what_the_owner_may_not_read_is_said_instead_of_left_out(host: PostgresHost, tmp_path: Path) -> None:
    database = filled("foreign", host)
    host.sql("CREATE TABLE theirs (id int)", database=database.database_name)  # a superuser's
    task = carried_out(request_backup(database, by=None))
    assert task.error_id == "postgres.unreadable"
    assert "permission denied for table theirs" in task.error_message
    assert files(tmp_path) == []


def test_a_server_that_is_down_is_said_and_nothing_is_left(one_host: PostgresHost, tmp_path: Path) -> None:
    database = filled("down", one_host)
    one_host.stop()
    try:
        task = carried_out(request_backup(database, by=None))
    finally:
        one_host.start()
    assert (task.state, task.error_id) == (TaskState.FAILED, "postgres.silent")
    assert files(tmp_path) == []
    backed_up(database)
    assert not Alarm.objects.open().filter(key__endswith=f":{database.pk}").exists()


def test_one_at_a_time_is_made_of_a_database(one_host: PostgresHost) -> None:
    database = filled("once", one_host)
    task = request_backup(database, by=None)
    with pytest.raises(Problem, match="under way") as caught:
        request_backup(database, by=None)
    assert caught.value.id == "database.busy"
    assert carried_out(task).state == TaskState.SUCCEEDED
    assert carried_out(request_backup(database, by=None)).state == TaskState.SUCCEEDED


def test_one_that_is_deleted_is_gone_with_its_file(one_host: PostgresHost, tmp_path: Path) -> None:
    backup = backed_up(filled("deleted", one_host))
    pin_backup(backup, True, by=None)
    delete_backup(backup, by=None)  # a person may delete a pinned one: the plan may not
    assert not Backup.objects.good().exists()
    assert delete_marked() == 1
    assert not Backup.objects.exists()
    assert files(tmp_path) == []


def test_a_plan_keeps_what_it_says_and_what_is_pinned(one_host: PostgresHost, tmp_path: Path) -> None:
    database = filled("kept", one_host)
    set_plan(database, by=None, keep_last=1, keep_daily=0, keep_weekly=0, keep_monthly=0)
    pinned = backed_up(database)
    pin_backup(pinned, True, by=None)
    backed_up(database)
    newest = backed_up(database)
    assert set(Backup.objects.values_list("pk", flat=True)) == {pinned.pk, newest.pk}
    assert files(tmp_path) == sorted([pinned.file, newest.file])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a full disk is made with a small tmpfs, which takes root")
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def incompressible(database: Database, host: PostgresHost) -> None:
    host.sql(
        "CREATE TABLE noise AS SELECT string_agg(md5(random()::text), '') AS body"
        " FROM generate_series(1, 200000) AS n GROUP BY n % 1000",
        url=url_of(database).reveal(),
    )


def test_a_disk_that_fills_ends_the_backup_in_words_and_leaves_nothing(
    one_host: PostgresHost, settings: Any, small_disk: Path, monkeypatch: Any
) -> None:
    database = filled("full", one_host)
    incompressible(database, one_host)
    point_to(settings, one_host, small_disk)
    # The reserve is larger than this disk: without it the write itself is refused by the kernel.
    monkeypatch.setattr(backup_files, "is_short", lambda directory: False)
    monkeypatch.setattr(backup_files, "reserve_bytes", lambda directory: -(1 << 40))
    task = carried_out(request_backup(database, by=None))
    assert (task.state, task.error_id) == (TaskState.FAILED, "backup.disk-full")
    backup = Backup.objects.get(task=task)
    assert backup.state == BackupState.FAILED
    assert "No space left on device" in backup.problem
    assert files(small_disk) == []
    assert Alarm.objects.open().filter(key=f"database.backup-failed:{database.pk}").exists()
    assert not {name for name in one_host.roles() if name.endswith("_dump")}


def test_a_disk_without_room_is_refused_before_anything_is_written(
    one_host: PostgresHost, settings: Any, small_disk: Path
) -> None:
    database = filled("tight", one_host)
    point_to(settings, one_host, small_disk)
    task = carried_out(request_backup(database, by=None))
    assert task.error_id == "backup.disk-full"
    assert files(small_disk) == []
