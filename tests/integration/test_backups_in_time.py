"""Backups that are due are asked for, late ones alarm, and what lies on the disk is compared with what is known."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule

from bakery.models import Alarm, Task, TaskKind, TaskState
from databases.models import Backup, BackupPlan, BackupReason, BackupState, Database, DatabaseKind, DatabaseState
from databases.services import backup_files, deletion, inventory
from databases.services.before_deploys import backup_before_deploy
from databases.services.plans import set_plan
from databases.services.provisioning import create_database
from databases.services.restore_tests import request_restore_test
from databases.services.restoring import request_restore
from databases.services.scheduling import next_time
from databases.services.tending import tend
from databases.services.watching_backups import ask_for_what_is_due, tell_of_absence
from infrastructure.errors import Cancelled, Problem

pytestmark = pytest.mark.django_db
A_DAY = timedelta(days=1)


@pytest.fixture
def database() -> Database:
    return Database.objects.create(name="shop", state=DatabaseState.READY)


@pytest.fixture
def root(settings: Any, tmp_path: Path) -> Path:
    settings.BAKERY = dataclasses.replace(django_settings.BAKERY, backups_dir=tmp_path, data_dir=tmp_path / "data")
    (tmp_path / "data").mkdir()
    return tmp_path


def good(database: Database, **more: Any) -> Backup:
    started = more.pop("started_at", None)
    made = Backup.objects.create(database=database, subject=database.name, state=BackupState.GOOD, **more)
    if started:
        Backup.objects.filter(pk=made.pk).update(started_at=started)
        made.refresh_from_db()
    return made


def lying(backup: Backup) -> Path:
    path = backup_files.root() / backup_files.name_of(backup)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"dump")
    Backup.objects.filter(pk=backup.pk).update(file=backup_files.name_of(backup))
    return path


def open_alarms() -> set[str]:
    return set(Alarm.objects.open().values_list("key", flat=True))


def end(task: Task, state: TaskState = TaskState.SUCCEEDED) -> None:
    Task.objects.filter(pk=task.pk).update(state=state, ended_at=timezone.now())


def test_a_schedule_asks_once_also_for_all_that_was_missed(database: Database) -> None:
    set_plan(database, by=None, cron="0 * * * *", test_every_days=0)
    assert ask_for_what_is_due() == []
    in_a_week = timezone.now() + 7 * A_DAY
    (task,) = ask_for_what_is_due(in_a_week)
    assert (task.kind, task.database, task.requested_by) == (TaskKind.BACK_UP, database, None)
    assert task.ref == '{"reason": "schedule"}'
    assert ask_for_what_is_due(in_a_week) == []
    end(task)
    assert ask_for_what_is_due(in_a_week + timedelta(seconds=10)) == []
    assert len(ask_for_what_is_due(in_a_week + timedelta(hours=1))) == 1


def test_one_that_is_under_way_is_waited_for_and_then_the_schedule_has_its_turn(database: Database) -> None:
    set_plan(database, by=None, cron="0 * * * *", test_every_days=0)
    later = timezone.now() + timedelta(hours=1)
    (task,) = ask_for_what_is_due(later)
    assert ask_for_what_is_due(later + timedelta(hours=1)) == []
    end(task)
    assert len(ask_for_what_is_due(later + timedelta(hours=1))) == 1


def test_the_newest_backup_is_tried_every_so_many_days(database: Database) -> None:
    set_plan(database, by=None, test_every_days=7)
    assert ask_for_what_is_due() == []
    first = good(database)
    assert ask_for_what_is_due() == [], "whoever has just made it may try it"
    (task,) = ask_for_what_is_due(timezone.now() + timedelta(minutes=11))
    assert (task.kind, task.ref) == (TaskKind.TEST_RESTORE, f'{{"backup": {first.pk}}}')
    end(task)
    Backup.objects.filter(pk=first.pk).update(tested_at=timezone.now(), test_ok=True)
    second = good(database)
    assert ask_for_what_is_due(timezone.now() + A_DAY) == []
    (task,) = ask_for_what_is_due(timezone.now() + 7 * A_DAY)
    end(task)
    # One that failed does not stand for the next one.
    Backup.objects.filter(pk=second.pk).update(tested_at=timezone.now(), test_ok=False)
    assert ask_for_what_is_due(timezone.now() + A_DAY) == []
    third = good(database)
    (task,) = ask_for_what_is_due(timezone.now() + timedelta(minutes=11))
    assert task.ref == f'{{"backup": {third.pk}}}'


def test_a_new_database_is_backed_up_every_night_and_tried_every_week(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        django_settings, "BAKERY", dataclasses.replace(django_settings.BAKERY, new_databases_backups="daily")
    )
    first, second = create_database("first", by=None), create_database("second", by=None)
    assert next_time(first.plan.schedule, timezone.now()) - timezone.now() <= A_DAY
    assert first.plan.schedule != second.plan.schedule, "dumps take turns"
    assert first.plan.test_every_days == 7
    monkeypatch.setattr(
        django_settings, "BAKERY", dataclasses.replace(django_settings.BAKERY, new_databases_backups="never")
    )
    assert not hasattr(create_database("third", by=None), "plan")


def test_a_database_elsewhere_is_backed_up_and_not_tried_there(database: Database) -> None:
    Database.objects.update(kind=DatabaseKind.EXTERNAL)
    database.refresh_from_db()
    set_plan(database, by=None, cron="daily", test_every_days=1)
    backup = good(database)
    assert [task.kind for task in ask_for_what_is_due(timezone.now() + A_DAY)] == [TaskKind.BACK_UP]
    assert ask_for_what_is_due(timezone.now() + A_DAY) == []
    with pytest.raises(Problem, match="is on a server that is not Bakery's"):
        request_restore_test(backup, by=None)


def test_where_one_is_made_every_few_minutes_they_are_tried_all_the_same(database: Database) -> None:
    set_plan(database, by=None, test_every_days=7)
    now = timezone.now()
    made = [good(database, started_at=now - timedelta(minutes=minutes)) for minutes in (16, 11, 6, 1)]
    (task,) = ask_for_what_is_due(now)
    assert (task.kind, task.ref) == (TaskKind.TEST_RESTORE, f'{{"backup": {made[1].pk}}}')


def test_the_backup_that_somebody_wants_back_is_not_expired_by_the_one_that_is_made_before(database: Database) -> None:
    set_plan(database, by=None, keep_last=1, keep_daily=0, keep_weekly=0, keep_monthly=0)
    oldest, older, newest = good(database), good(database), good(database)
    task = request_restore(database, backup=oldest, by=None)
    deletion.expire(database)
    for backup in (oldest, older, newest):
        backup.refresh_from_db()
    assert [one.state for one in (oldest, older, newest)] == [BackupState.GOOD, BackupState.DELETING, BackupState.GOOD]
    end(task)
    deletion.expire(database)
    oldest.refresh_from_db()
    assert oldest.state == BackupState.DELETING


def test_it_is_the_absence_of_a_good_one_that_alarms(database: Database) -> None:
    key = f"database.backup-missing:{database.pk}"
    set_plan(database, by=None, cron="0 * * * *")
    tell_of_absence(timezone.now() + timedelta(hours=1))
    assert open_alarms() == set()
    late = timezone.now() + timedelta(hours=3)
    Backup.objects.create(database=database, subject="shop", state=BackupState.FAILED)
    tell_of_absence(late)
    alarm = Alarm.objects.open().get(key=key)
    assert alarm.urgent and "there is no good one at all" in alarm.message
    good(database, started_at=late)
    tell_of_absence(late)
    assert open_alarms() == set()
    tell_of_absence(late + timedelta(hours=3))
    assert f"the last good one is of {late:%-d %B %Y}" in Alarm.objects.open().get(key=key).message
    set_plan(database, by=None, cron="")
    tell_of_absence(late + timedelta(hours=3))
    assert open_alarms() == set()


def test_one_that_was_made_while_the_clock_was_wrong_keeps_no_absence_silent(database: Database) -> None:
    set_plan(database, by=None, cron="hourly")
    BackupPlan.objects.update(since=timezone.now() - A_DAY)
    good(database, started_at=timezone.now() + 365 * A_DAY)
    tell_of_absence()
    assert open_alarms() == {f"database.backup-missing:{database.pk}"}


def test_a_schedule_that_can_never_be_keeps_nothing_else_from_being_done(database: Database) -> None:
    other = Database.objects.create(name="other", state=DatabaseState.READY)
    for each in (database, other):
        set_plan(each, by=None, cron="hourly", test_every_days=0)
    never = CrontabSchedule.objects.create(minute="0", hour="0", day_of_month="30", month_of_year="2")
    BackupPlan.objects.filter(database=database).update(schedule=never)
    BackupPlan.objects.update(since=timezone.now() - A_DAY)
    tend()
    assert [task.database for task in Task.objects.filter(kind=TaskKind.BACK_UP)] == [other]
    assert open_alarms() == {f"database.backup-missing:{other.pk}"}


def test_a_new_schedule_is_not_late_for_what_was_not_wanted_before(database: Database) -> None:
    set_plan(database, by=None, keep_last=3)
    BackupPlan.objects.update(since=timezone.now() - 30 * A_DAY)
    set_plan(database, by=None, cron="hourly")
    tell_of_absence()
    assert open_alarms() == set()
    assert ask_for_what_is_due() == []


def test_a_backup_whose_file_is_gone_is_none_unless_it_was_copied(database: Database, root: Path) -> None:
    here, gone = good(database), good(database, file="1/1-gone.dump", sha256="a")
    copied = good(database, file="1/2-gone.dump", storage_key="1/2-gone.dump")
    lying(here)
    inventory.take_stock()
    for one in (here, gone, copied):
        one.refresh_from_db()
    assert [one.state for one in (here, gone, copied)] == [BackupState.GOOD, BackupState.FAILED, BackupState.GOOD]
    assert "not there any more" in gone.problem
    assert (copied.file, here.problem) == ("", "")


def test_backups_of_a_disk_that_was_away_are_good_again_when_it_is_back(database: Database, root: Path) -> None:
    backup, copied = good(database, size_bytes=4, sha256="a"), good(database, size_bytes=4, storage_key="1/2.dump")
    dropped, changed = good(database, size_bytes=4), good(database, size_bytes=5)
    for one in (backup, copied, dropped, changed):
        lying(one)
    Backup.objects.filter(pk=dropped.pk).update(database=None)
    disk = root / str(database.pk)
    disk.rename(root / "away")
    inventory.take_stock()
    assert list(Backup.objects.values_list("file", flat=True)) == [""] * 4
    (root / "away").rename(disk)
    inventory.take_stock()
    for one in (backup, copied, dropped):
        one.refresh_from_db()
        assert (one.state, one.file, one.problem) == (
            BackupState.GOOD,
            f"{database.pk}/{Path(backup_files.name_of(one)).name}",
            "",
        )
    changed.refresh_from_db()
    assert changed.state == BackupState.FAILED, "it is another file"


def test_dumps_that_nobody_knows_are_told_of_and_left_alone(database: Database, root: Path) -> None:
    known = lying(good(database))
    stranger, fresh = known.with_name("1-strange.dump"), known.with_name("2-fresh.dump")
    (root / "updates").mkdir()
    for path in (stranger, fresh, root / "updates" / "3.dump"):
        path.write_bytes(b"dump")
    long_ago = time.time() - 7200
    for path in (stranger, known, root / "updates" / "3.dump"):
        os.utime(path, (long_ago, long_ago))
    inventory.take_stock()
    alarm = Alarm.objects.open().get(key=inventory.UNKNOWN)
    assert f"{database.pk}/1-strange.dump." in alarm.message
    assert stranger.exists()
    stranger.unlink()
    inventory.take_stock()
    assert open_alarms() == set()


def test_what_killed_workers_left_is_removed_and_what_is_being_written_is_not(database: Database, root: Path) -> None:
    running = Backup.objects.create(database=database, subject="shop")
    part = backup_files.part_of(running)
    part.parent.mkdir(parents=True)
    left = part.with_name(".7-20200101T000000Z.dump.part")
    opened = root / "opened-7-abc"
    opened.mkdir()
    for path in (part, left, opened / "dump"):
        path.write_bytes(b"dump")
    os.utime(opened, (1, 1))
    inventory.take_stock()
    assert (part.exists(), left.exists(), opened.exists()) == (True, False, False)


@pytest.mark.django_db(transaction=True)
def test_a_deploy_waits_for_the_backups_that_its_databases_plans_ask_for(database: Database) -> None:
    other = Database.objects.create(name="other", state=DatabaseState.READY)
    set_plan(database, by=None, before_deploys=True)
    set_plan(other, by=None, before_deploys=False)
    said: list[str] = []
    began = timezone.now()

    def finish() -> None:
        """As a worker would, once it is asked."""
        while not Task.objects.filter(kind=TaskKind.BACK_UP).exists():
            time.sleep(0.02)
        end(Task.objects.get(kind=TaskKind.BACK_UP))
        connection.close()

    worker = threading.Thread(target=finish)
    worker.start()
    databases = Database.objects.select_related("plan")
    backup_before_deploy(databases, since=began, say=said.append, look=lambda: None)
    worker.join()
    task = Task.objects.get()
    assert (task.database, task.ref) == (database, f'{{"reason": "{BackupReason.DEPLOY.value}"}}')
    assert said == ["Backing up shop before the pre-deploy command", "shop is backed up"]
    # Whoever resumes the deploy does not make a second one.
    backup_before_deploy(databases, since=began, say=said.append, look=lambda: None)
    assert Task.objects.count() == 1


def test_a_deploy_whose_backup_fails_ends_and_one_that_is_cancelled_does_not_wait(database: Database) -> None:
    set_plan(database, by=None, before_deploys=True)
    databases = list(Database.objects.all())
    began = timezone.now()

    def cancelled() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        backup_before_deploy(databases, since=began, say=lambda line: None, look=cancelled)
    task = Task.objects.get()
    Task.objects.filter(pk=task.pk).update(error_message="The disk is full.", error_hint="Make room.")

    def fail() -> None:
        end(task, TaskState.FAILED)

    with pytest.raises(Problem, match="could not be backed up before the deploy") as caught:
        backup_before_deploy(databases, since=began, say=lambda line: None, look=fail)
    assert caught.value.id == "backup.before-deploy"
