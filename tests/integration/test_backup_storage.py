"""Copies of backups in a bucket: a real server that speaks S3 gets them, is full of surprises, and goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from bakery.models import Alarm, TaskState
from databases.models import Backup, BackupState, Storage
from databases.services.backups import delete_backup, open_backup, request_backup
from databases.services.deletion import delete_marked
from databases.services.plans import set_plan
from databases.services.restore_tests import request_restore_test
from databases.services.storage import check_storage, delete_storage, save_storage
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
    assert server.unfinished_uploads() == 0
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
