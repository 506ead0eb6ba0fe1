"""``backup``, ``backups``, ``pin-backup``, ``delete-backup``, ``fetch-backup``, ``test-restore``, ``schedule``."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction

from bakery.management.base import Usage
from bakery.management.help import wait_argument
from bakery.management.tables import table
from bakery.roles import Action
from databases.management.verbs.verb import (
    DatabaseCommand,
    Options,
    Verb,
    find_backup,
    find_database,
    name_argument,
    read_secret,
)
from databases.models import Backup, BackupPlan, BackupState
from databases.services import scheduling
from databases.services.backups import delete_backup, pin_backup, request_backup, request_fetch
from databases.services.plans import NUMBERS, set_plan
from databases.services.restore_tests import request_restore_test
from databases.shapes import backup_shape, plan_shape

MIB = 1024 * 1024


def _of_one(parser: ArgumentParser) -> None:
    name_argument(parser)
    wait_argument(parser)


def _back_up(command: DatabaseCommand, options: Options) -> None:
    task = request_backup(find_database(options["name"]), by=command.by)
    command.follow(task, wait=options["wait"], done="It is backed up.")


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="Of this database alone.")


def _list(command: DatabaseCommand, options: Options) -> None:
    found = Backup.objects.for_list()
    if options["name"]:
        found = found.filter(subject=options["name"])
    if command.as_json:
        command.data([backup_shape(one) for one in found])
    elif not found:
        command.stdout.write("There are no backups.")
    else:
        headings = ("ID", "OF", "MADE (UTC)", "WHY", "SIZE", "STATE", "WHERE", "RESTORE TEST")
        command.stdout.write(table(headings, [_row(one) for one in found]))


def _row(one: Backup) -> tuple[object, ...]:
    where = [*(["here"] if one.file else []), *([one.storage.name] if one.storage and one.storage_key else [])]
    state = f"failed: {one.problem}" if one.state == BackupState.FAILED else one.get_state_display().lower()
    tried = "–"
    if one.tested_at:
        tried = f"ok, {one.test_seconds:.0f} s, " if one.test_ok else "failed, "
        tried += f"{one.tested_at:%Y-%m-%d}"
    return (
        one.pk,
        one.subject,
        f"{one.started_at:%Y-%m-%d %H:%M}",
        one.get_reason_display().lower(),
        f"{one.size_bytes / MIB:.1f} MiB",
        f"{state}{', pinned' if one.pinned else ''}{', sealed' if one.sealed else ''}",
        ", ".join(where) or "–",
        tried,
    )


def _pin_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", type=int, help="The backup: a number of “database backups”.")
    parser.add_argument("--off", action="store_true", help="From now on the plan decides again.")


def _pin(command: DatabaseCommand, options: Options) -> None:
    backup = find_backup(options["id"])
    pin_backup(backup, not options["off"], by=command.by)
    command.data(backup_shape(backup)) if command.as_json else command.say("Set.")


def _id_argument(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", type=int, help="The backup: a number of “database backups”.")


def _delete(command: DatabaseCommand, options: Options) -> None:
    backup = find_backup(options["id"])
    delete_backup(backup, by=command.by)
    command.data({"id": backup.pk, "state": "deleting"}) if command.as_json else command.say(
        "It is no backup any more; a worker removes its files."
    )


def _fetch_arguments(parser: ArgumentParser) -> None:
    _id_argument(parser)
    wait_argument(parser)


def _fetch(command: DatabaseCommand, options: Options) -> None:
    task = request_fetch(find_backup(options["id"]), by=command.by)
    command.follow(task, wait=options["wait"], done="It is on this host again.")


def _test_arguments(parser: ArgumentParser) -> None:
    _of_one(parser)
    parser.add_argument("--backup", metavar="ID", type=int, help="This one instead of the newest.")


def _test(command: DatabaseCommand, options: Options) -> None:
    database = find_database(options["name"])
    subject = find_backup(options["backup"]) if options["backup"] else database
    if isinstance(subject, Backup) and subject.database != database:
        raise Usage(f"Backup {subject.pk} is not one of {database.name}.")
    task = request_restore_test(subject, by=command.by)
    command.follow(task, wait=options["wait"], done="It can be restored.")


def _schedule_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    words = ", ".join(scheduling.USUAL)
    parser.add_argument(
        "--cron", metavar="TIMES", help=f"“minute hour day month weekday” in UTC, or {words}; “” for never."
    )
    for name in sorted(NUMBERS):
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=int, help=HELP[name])
    parser.add_argument("--storage", metavar="STORAGE", help="Copy them there, too; “” for nowhere.")
    parser.add_argument("--passphrase-file", metavar="FILE", help="Seal them with it; “-” is standard input.")
    parser.add_argument("--no-passphrase", action="store_true", help="Do not seal them.")
    parser.add_argument(
        "--before-deploys", action=BooleanOptionalAction, default=None, help="Also before a pre-deploy command."
    )


HELP = {
    "keep_last": "Keep so many, the newest.",
    "keep_daily": "And the newest of each of so many days.",
    "keep_weekly": "And the newest of each of so many weeks.",
    "keep_monthly": "And the newest of each of so many months.",
    "test_every_days": "Restore one to try it every so many days; 0: never.",
}


def _schedule(command: DatabaseCommand, options: Options) -> None:
    """Without options: show it."""
    database = find_database(options["name"])
    if options["passphrase_file"] and options["no_passphrase"]:
        raise Usage("--passphrase-file and --no-passphrase contradict each other.")
    given = {
        name: options[name] for name in NUMBERS | {"cron", "storage", "before_deploys"} if options[name] is not None
    }
    if options["passphrase_file"]:
        given["passphrase"] = read_secret(options["passphrase_file"])
    if options["no_passphrase"]:
        given["passphrase"] = ""
    plan = BackupPlan.objects.filter(database=database).select_related("schedule", "storage").first()
    if given:
        plan = set_plan(database, by=command.by, **given)
    if plan is None:
        command.data(None) if command.as_json else command.stdout.write(f"{database.name} is not backed up by itself.")
        return
    shape = {**plan_shape(plan), "sealed": bool(plan.passphrase.reveal())}
    if command.as_json:
        command.data(shape)
    else:
        command.stdout.write(
            table(("SETTING", "VALUE"), [(name, "–" if value is None else value) for name, value in shape.items()])
        )


VERBS = (
    Verb("backup", "Back it up now.", _of_one, _back_up),
    Verb(
        "backups", "List backups, the newest first.", _list_arguments, _list, Action.VIEW, examples=("backups shop-db",)
    ),
    Verb(
        "pin-backup",
        "Keep a backup whatever the plan says.",
        _pin_arguments,
        _pin,
        examples=("pin-backup 17", "pin-backup 17 --off"),
    ),
    Verb("delete-backup", "Delete a backup, here and in the storage.", _id_argument, _delete),
    Verb("fetch-backup", "Bring one that is only in the storage back here.", _fetch_arguments, _fetch),
    Verb("test-restore", "Restore a backup into a scratch database and compare.", _test_arguments, _test),
    Verb(
        "schedule",
        "When it is backed up by itself, where to, and what is kept. Without options: show it.",
        _schedule_arguments,
        _schedule,
        examples=(
            "schedule shop-db --cron daily --keep-daily 14 --storage offsite",
            "schedule shop-db --cron '30 2 * * *' --before-deploys",
            "schedule shop-db --cron ''",
        ),
    ),
)
