"""Copies of backups in a bucket: a real server that speaks S3 gets them, is full of surprises, and goes away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from datetime import timezone as zones
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from bakery.models import Alarm, TaskKind, TaskState
from databases.models import Backup, BackupState, Database, Storage
from databases.services import backup_files, copying, inventory
from databases.services.backups import delete_backup, open_backup, request_backup, request_fetch
from databases.services.deletion import delete_marked
from databases.services.downloads import open_download
from databases.services.dropping import drop_database
from databases.services.plans import set_plan
from databases.services.restore_tests import request_restore_test
from databases.services.storage import check_storage, delete_storage, save_storage
from databases.tasks import copy_backups
from infrastructure import object_storage
from infrastructure.errors import Cancelled, HostProblem, Problem, Refused
from infrastructure.object_storage import Bucket, parse_endpoint
from infrastructure.secret import Secret
from tests.integration.backed_up import backed_up, carried_out, filled, point_to
from tests.integration.dying import after, in_phase, killed_in
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts
from tests.integration.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, s3_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def server(monkeypatch: Any) -> Iterator[S3Server]:
    monkeypatch.setattr(object_storage, "RETRIES", 0)  # so that one that is away is given up sooner
    with s3_server() as found:
        yield found


@pytest.fixture
def host(postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> PostgresHost:
    found = postgres_hosts.of(MAJORS[0])
    point_to(settings, found, tmp_path)
    return found


def storage_at(server: S3Server, **more: str) -> Storage:
    given = {"name": "elsewhere", "bucket": BUCKET, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, **more}
    return save_storage(by=None, endpoint=server.endpoint, **given)


def test_a_backup_is_copied_read_back_when_the_file_is_lost_and_deleted_there_too(
    host: PostgresHost, server: S3Server, tmp_path: Path
) -> None:
    database = filled("copied", host)
    set_plan(database, by=None, storage=storage_at(server, prefix="/bakery/"), passphrase="correct horse battery")
    backup = backed_up(database)
    file = tmp_path / backup.file
    assert backup.storage_key == f"bakery/{backup.file}"
    assert server.objects() == {backup.storage_key: file.read_bytes()}
    file.unlink()
    assert carried_out(request_restore_test(backup, by=None)).state == TaskState.SUCCEEDED
    delete_backup(backup, by=None)
    assert delete_marked() == 1
    assert server.objects() == {}


def test_what_the_plan_does_not_keep_leaves_the_bucket(host: PostgresHost, server: S3Server) -> None:
    database = filled("thinned", host)
    set_plan(database, by=None, storage=storage_at(server), keep_last=1, keep_daily=1, keep_weekly=0, keep_monthly=0)
    backed_up(database)
    newest = backed_up(database)
    assert list(server.objects()) == [newest.storage_key]


def test_a_bucket_that_is_away_costs_the_copy_and_not_the_backup_and_the_next_one_makes_up_for_it(
    host: PostgresHost, server: S3Server
) -> None:
    database = filled("away", host)
    set_plan(database, by=None, storage=storage_at(server))
    server.stop()
    task = carried_out(request_backup(database, by=None))
    assert task.state == TaskState.SUCCEEDED
    first = Backup.objects.get(task=task)
    assert (first.state, first.storage_key) == (BackupState.GOOD, "")
    assert "does not answer" in first.storage_problem
    assert Alarm.objects.open().filter(key=f"database.backup-copy:{database.pk}").exists()
    with open_backup(first) as dump:
        assert dump.stat().st_size == first.size_bytes
    server.start()
    second = backed_up(database)
    first.refresh_from_db()
    assert set(server.objects()) == {first.storage_key, second.storage_key}
    assert first.storage_problem == ""
    assert not Alarm.objects.open().filter(key=f"database.backup-copy:{database.pk}").exists()


def an_hour_passes() -> None:
    Backup.objects.update(copy_tried_at=timezone.now() - copying.PAUSE)


def missing(database: Database) -> bool:
    return Alarm.objects.open().filter(key=f"database.backup-copy:{database.pk}").exists()


def test_a_copy_that_failed_is_made_within_the_hour_by_itself_and_its_alarm_ends(
    host: PostgresHost, server: S3Server
) -> None:
    database, other = filled("again", host), filled("again-too", host)
    for one in (database, other):
        set_plan(one, by=None, storage=storage_at(server) if one == database else "elsewhere")
    server.stop()
    first, second = backed_up(database), backed_up(other)
    assert not copying.is_to_be_done(), "not every few seconds"
    an_hour_passes()
    assert copying.is_to_be_done()
    copy_backups()
    assert missing(database) and missing(other)
    assert not copying.is_to_be_done()
    server.start()
    an_hour_passes()
    copy_backups()
    for backup in (first, second):
        backup.refresh_from_db()
        assert backup.storage_problem == ""
    assert set(server.objects()) == {first.storage_key, second.storage_key}
    assert not missing(database) and not missing(other)
    assert not copying.is_to_be_done()


def test_nobody_is_alarmed_of_a_copy_that_is_not_wanted_any_more(host: PostgresHost, server: S3Server) -> None:
    database = filled("unwanted", host)
    set_plan(database, by=None, storage=storage_at(server))
    server.stop()
    backed_up(database)
    copying.end_what_is_over()
    assert missing(database)
    set_plan(database, by=None, storage=None)
    copying.end_what_is_over()
    assert not missing(database)
    an_hour_passes()
    assert not copying.is_to_be_done()
    server.start()


def test_the_last_backup_of_a_dropped_database_is_copied_when_the_bucket_is_back(
    host: PostgresHost, server: S3Server
) -> None:
    database = filled("dropped", host)
    set_plan(database, by=None, storage=storage_at(server))
    server.stop()
    carried_out(drop_database(database, by=None))
    backup = Backup.objects.get()
    assert (backup.database, backup.storage_key) == (None, "")
    server.start()
    an_hour_passes()
    copy_backups()
    backup.refresh_from_db()
    assert list(server.objects()) == [backup.storage_key]


def test_a_file_that_was_lost_before_it_was_copied_does_not_keep_the_others_from_it(
    host: PostgresHost, server: S3Server, tmp_path: Path
) -> None:
    database = filled("lost", host)
    lost = backed_up(database)
    (tmp_path / lost.file).unlink()
    set_plan(database, by=None, storage=storage_at(server))
    newest = backed_up(database)
    assert list(server.objects()) == [newest.storage_key]
    assert not missing(database)


def test_one_that_is_deleted_while_it_is_copied_leaves_no_copy(
    host: PostgresHost, server: S3Server, monkeypatch: Any
) -> None:
    database = filled("deleted", host)
    set_plan(database, by=None, storage=storage_at(server))
    put = Bucket.put

    def and_meanwhile(self: Bucket, *given: Any) -> None:
        put(self, *given)
        delete_backup(Backup.objects.get(), by=None)

    monkeypatch.setattr(Bucket, "put", and_meanwhile)
    carried_out(request_backup(database, by=None))
    delete_marked()
    assert not Backup.objects.exists()
    assert server.objects() == {}


def test_the_copy_of_a_killed_worker_goes_with_its_backup(host: PostgresHost, server: S3Server) -> None:
    database = filled("killed-and-deleted", host)
    set_plan(database, by=None, storage=storage_at(server))
    request_backup(database, by=None)
    killed_in(after(Bucket, "put"), database)
    assert len(server.objects()) == 1
    delete_backup(Backup.objects.get(), by=None)
    assert delete_marked() == 1
    assert server.objects() == {}


@pytest.mark.parametrize("passphrase", ["", "correct horse battery"], ids=["plain", "sealed"])
def test_a_backup_that_is_left_in_the_bucket_alone_is_fetched_back_and_downloaded(
    host: PostgresHost, server: S3Server, tmp_path: Path, passphrase: str
) -> None:
    database = filled("fetched", host)
    set_plan(database, by=None, storage=storage_at(server), passphrase=passphrase)
    backup = backed_up(database)
    with pytest.raises(Problem, match="is on this host"):
        request_fetch(backup, by=None)
    shutil.rmtree(tmp_path / str(database.pk))
    inventory.take_stock()
    backup.refresh_from_db()
    assert (backup.state, backup.file) == (BackupState.GOOD, "")
    with pytest.raises(Problem) as refused:
        open_download(backup, by=None)
    assert "fetched back to this host first" in refused.value.hint
    request_fetch(backup, by=None)
    killed_in(after(backup_files.BackupWriter, "take"), database)
    assert carried_out(database.tasks.get(kind=TaskKind.FETCH_BACKUP)).state == TaskState.SUCCEEDED
    backup.refresh_from_db()
    found = open_download(backup, by=None)
    with found.file:
        assert found.file.read() == server.objects()[backup.storage_key]
    assert (found.size_bytes, backup.problem) == (backup.size_bytes, "")
    assert not list(tmp_path.rglob("*.part"))
    with open_backup(backup) as dump:
        assert dump.stat().st_size


def test_a_file_that_has_changed_on_the_disk_is_read_from_the_bucket(
    host: PostgresHost, server: S3Server, tmp_path: Path
) -> None:
    database = filled("rotten", host)
    set_plan(database, by=None, storage=storage_at(server))
    backup = backed_up(database)
    with (tmp_path / backup.file).open("r+b") as file:
        file.seek(100)
        file.write(b"rotten")
    assert carried_out(request_restore_test(backup, by=None)).state == TaskState.SUCCEEDED
    backup.refresh_from_db()
    assert (backup.state, backup.file) == (BackupState.GOOD, "")
    assert "is not what was written" in backup.problem
    assert carried_out(request_fetch(backup, by=None)).state == TaskState.SUCCEEDED
    backup.refresh_from_db()
    assert (tmp_path / backup.file).read_bytes() == server.objects()[backup.storage_key]
    assert backup.problem == ""


def test_what_somebody_else_wrote_into_the_bucket_is_not_fetched(
    host: PostgresHost, server: S3Server, tmp_path: Path
) -> None:
    database = filled("changed", host)
    set_plan(database, by=None, storage=storage_at(server))
    backup = backed_up(database)
    (tmp_path / backup.file).unlink()
    Backup.objects.update(file="")
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    Bucket(server.endpoint, BUCKET, ACCESS_KEY, Secret(SECRET_KEY)).put(backup.storage_key, other)
    backup.refresh_from_db()
    task = carried_out(request_fetch(backup, by=None))
    assert (task.state, task.error_id) == (TaskState.FAILED, "backup.changed")
    assert not list((tmp_path / str(database.pk)).iterdir())


def test_parts_that_killed_workers_left_are_removed_and_those_of_others_stay(
    host: PostgresHost, server: S3Server, tmp_path: Path
) -> None:
    storage = storage_at(server, prefix="bakery")
    set_plan(filled("parts", host), by=None, storage=storage)
    others = ("bakery/1/1.tar", "bakery/notes", "other/1/1-20260101T000000Z.dump", "1/1-20260101T000000Z.dump")
    ours = ("bakery/1/1-20260101T000000Z.dump", "bakery/12/34-20260101T000000Z.dump.sealed")
    for key in (*ours, *others):
        server.begin_upload(key)
    young = Bucket(server.endpoint, BUCKET, ACCESS_KEY, Secret(SECRET_KEY))
    # moto says of each that it began on 10 November 2010.
    assert young.end_uploads("bakery/", re.compile(".*"), datetime(2010, 11, 10, tzinfo=zones.utc)) == 0
    inventory.take_stock()
    assert server.unfinished_uploads() == sorted(others)


@pytest.mark.parametrize("arrange", [in_phase("copy"), after(Bucket, "put")], ids=["before the copy", "in the copy"])
def test_a_copy_whose_worker_is_killed_is_made_by_the_next_one(
    host: PostgresHost, server: S3Server, arrange: Callable[[], None]
) -> None:
    database = filled("killed-copy", host)
    set_plan(database, by=None, storage=storage_at(server))
    task = request_backup(database, by=None)
    killed_in(arrange, database)
    made = Backup.objects.get()
    assert made.state == BackupState.GOOD
    assert carried_out(task).state == TaskState.SUCCEEDED
    backup = Backup.objects.get()
    assert (backup.sha256, list(server.objects())) == (made.sha256, [backup.storage_key])


def test_what_cannot_be_deleted_there_now_is_deleted_later(host: PostgresHost, server: S3Server) -> None:
    database = filled("later", host)
    set_plan(database, by=None, storage=storage_at(server))
    backup = backed_up(database)
    delete_backup(backup, by=None)
    server.stop()
    assert delete_marked() == 0
    assert Backup.objects.get(pk=backup.pk).storage_problem.startswith("It cannot be deleted yet.")
    server.start()
    assert delete_marked() == 0  # not every few seconds
    assert delete_marked(again=True) == 1
    assert server.objects() == {}


def test_a_large_file_goes_in_parts_and_one_that_is_broken_off_is_not_there(server: S3Server, tmp_path: Path) -> None:
    bucket = Bucket(server.endpoint, BUCKET, ACCESS_KEY, Secret(SECRET_KEY))
    file = tmp_path / "large"
    file.write_bytes(bytes(range(256)) * 4096 * 17)  # 17 MiB: three parts
    bucket.put("large", file)
    assert bucket.size("large") == file.stat().st_size
    assert b"".join(bucket.get("large")) == file.read_bytes()
    looked = []

    def end_it() -> None:
        looked.append(1)
        if len(looked) > 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        bucket.put("cancelled", file, end_it)
    assert bucket.size("cancelled") is None
    assert server.unfinished_uploads() == []
    with pytest.raises(HostProblem) as caught:
        b"".join(bucket.get("cancelled"))
    assert caught.value.id == "storage.no-object"


def test_a_storage_is_tried_out_and_what_is_wrong_is_said(server: S3Server) -> None:
    storage = storage_at(server)
    assert check_storage(storage) == ""
    assert storage.checked_at
    assert server.objects() == {}
    other = storage_at(server, name="other", bucket="no-such-bucket")
    assert "There is no such bucket." in check_storage(other)
    server.stop()
    assert "does not answer" in check_storage(storage)
    assert "does not answer" in storage.problem
    server.start()


def test_a_storage_in_use_stays_where_it_is(host: PostgresHost, server: S3Server) -> None:
    storage = storage_at(server)
    database = filled("used", host)
    set_plan(database, by=None, storage="elsewhere")
    with pytest.raises(Refused, match="are backed up to elsewhere"):
        delete_storage(storage, by=None)
    backup = backed_up(database)
    set_plan(database, by=None, storage=None)
    with pytest.raises(Refused, match="Backups are in elsewhere"):
        delete_storage(storage, by=None)
    with pytest.raises(Refused, match="another storage"):
        save_storage(
            storage, by=None, name="elsewhere", endpoint="https://s3.example.com", bucket=BUCKET, access_key="a"
        )
    delete_backup(backup, by=None)
    delete_marked()
    delete_storage(storage, by=None)
    assert not Storage.objects.exists()


def test_only_an_address_without_a_path_or_a_password_is_a_storage(server: S3Server) -> None:
    assert parse_endpoint(" https://s3.example.com/ ") == "https://s3.example.com"
    for wrong in (
        "s3.example.com",
        "ftp://a",
        "https://",
        "https://a/b",
        "https://k:s@a",
        "https://a:99999",
        "http://a b",
    ):
        with pytest.raises(Refused):
            parse_endpoint(wrong)
    with pytest.raises(ValidationError):
        storage_at(server, secret_key="")
    with pytest.raises(Problem):
        Bucket("http://127.0.0.1:1", "x", "a", Secret("b")).size("key")
