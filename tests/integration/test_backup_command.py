"""``manage.py database``: the verbs about backups, what they take and what they print."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from bakery.models import Task, TaskKind
from databases.models import Backup, BackupPlan, BackupState, Database, DatabaseState, Storage
from tests.integration.people import bob

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Database:
    return Database.objects.create(name="shop", state=DatabaseState.READY)


@pytest.fixture
def backup(shop: Database) -> Backup:
    return Backup.objects.create(database=shop, subject="shop", state=BackupState.GOOD, file="1/1-x.dump")


def command(*argv: str) -> str:
    out = io.StringIO()
    call_command("database", *argv, stdout=out, stderr=out)
    return out.getvalue()


def test_a_backup_is_asked_for_under_the_name_of_who_asks(shop: Database) -> None:
    assert "Queued as task" in command("backup", "shop", "--no-wait", "--as", bob().email)
    task = Task.objects.get(kind=TaskKind.BACK_UP)
    assert (task.database, task.requested_by) == (shop, bob())
    with pytest.raises(CommandError, match="under way"):
        command("backup", "shop", "--no-wait")
    with pytest.raises(CommandError, match="There are: shop"):
        command("backup", "nothing")


def test_backups_are_listed_for_people_and_for_programs(backup: Backup) -> None:
    assert "shop" in command("backups")
    assert command("backups", "other") == "There are no backups.\n"
    assert json.loads(command("backups", "shop", "--json"))[0]["id"] == backup.pk
    assert json.loads(command("--json", "backups", "shop"))[0]["id"] == backup.pk


def test_a_backup_is_pinned_let_go_and_deleted(backup: Backup) -> None:
    command("pin-backup", str(backup.pk))
    backup.refresh_from_db()
    assert backup.pinned
    command("pin-backup", str(backup.pk), "--off")
    with pytest.raises(CommandError, match="is on this host"):
        command("fetch-backup", str(backup.pk), "--no-wait")
    command("delete-backup", str(backup.pk))
    backup.refresh_from_db()
    assert (backup.pinned, backup.state) == (False, BackupState.DELETING)
    with pytest.raises(CommandError, match="There is no backup"):
        command("delete-backup", "999999")


def test_a_restore_test_takes_the_newest_or_the_one_that_is_named(shop: Database) -> None:
    with pytest.raises(CommandError, match="no good backup"):
        command("test-restore", "shop", "--no-wait")
    made = [Backup.objects.create(database=shop, subject="shop", state=BackupState.GOOD) for _ in range(2)]
    command("test-restore", "shop", "--no-wait", "--backup", str(made[0].pk))
    assert json.loads(Task.objects.get().ref) == {"backup": made[0].pk}
    other = Database.objects.create(name="other", state=DatabaseState.READY)
    with pytest.raises(CommandError, match="is not one of other"):
        command("test-restore", other.name, "--no-wait", "--backup", str(made[0].pk))


def test_a_plan_is_shown_and_changed_setting_by_setting(shop: Database, tmp_path: Path) -> None:
    assert "not backed up by itself" in command("schedule", "shop")
    (tmp_path / "passphrase").write_text("correct horse battery\n")
    said = command(
        "schedule", "shop", "--cron", "daily", "--keep-last", "3", "--passphrase-file", str(tmp_path / "passphrase")
    )
    assert "0 3 * * *" in said
    assert "correct horse" not in said
    shown = json.loads(command("schedule", "shop", "--before-deploys", "--json"))
    assert (shown["schedule"], shown["keep_last"], shown["sealed"], shown["before_deploys"]) == (
        "0 3 * * *",
        3,
        True,
        True,
    )
    assert BackupPlan.objects.get().passphrase.reveal() == "correct horse battery"
    command("schedule", "shop", "--cron", "", "--no-passphrase")
    plan = BackupPlan.objects.get()
    assert (plan.schedule, plan.passphrase.reveal(), plan.keep_last) == (None, "", 3)
    for wrong in ("61 * * * *", "soon", "* * * *", "0 0 31 2 *", "0 0 * * * *", "a b c d e"):
        with pytest.raises(CommandError, match="is not a schedule"):
            command("schedule", "shop", "--cron", wrong)
    (tmp_path / "short").write_text("short")
    with pytest.raises(CommandError, match="12 characters"):
        command("schedule", "shop", "--passphrase-file", str(tmp_path / "short"))


def test_storages_are_for_admins_and_their_key_is_never_shown(shop: Database, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a-secret-key\n")
    place = ("--endpoint", "http://127.0.0.1:1", "--bucket", "cakes", "--access-key", "known")
    with pytest.raises(CommandError, match="Ask an admin"):
        command("storages", "--as", bob().email)
    said = command("save-storage", "there", *place, "--secret-key-file", str(tmp_path / "key"))
    assert "does not answer" in said
    with pytest.raises(CommandError, match="does not answer"):
        command("check-storage", "there")
    assert "a-secret-key" not in command("storages", "--json")
    command("save-storage", "there", "--region", "eu-central-1")
    stored = Storage.objects.get()
    assert (stored.region, stored.bucket, stored.secret_key.reveal()) == ("eu-central-1", "cakes", "a-secret-key")
    command("schedule", "shop", "--storage", "there")
    with pytest.raises(CommandError, match="are backed up to there"):
        command("delete-storage", "there")
    command("schedule", "shop", "--storage", "")
    command("delete-storage", "there")
    assert command("storages") == "There are no storages.\n"
