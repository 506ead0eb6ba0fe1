"""``restore``, ``upload``, ``confirm-restore``, ``undo-restore``, ``clone``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from bakery.management.help import wait_argument
from databases.management.verbs.making import VARIABLE
from databases.management.verbs.verb import DatabaseCommand, Options, Verb, find_backup, find_database, name_argument
from databases.services import uploads
from databases.services.cloning import USUAL, clone_database
from databases.services.restoring import confirm_restore, request_restore, undo_restore
from databases.services.uploads import Upload, keep_upload
from deployments.management.base import find_deployment
from infrastructure.errors import Problem, Refused

KEPT = "Restored. The old database is kept: confirm-restore lets it go, undo-restore brings it back."


def _of_one(parser: ArgumentParser) -> None:
    name_argument(parser)
    wait_argument(parser)


def _without_backup(parser: ArgumentParser) -> None:
    parser.add_argument("--no-backup", action="store_true", help="Do not back up the present state first.")


def _restore_arguments(parser: ArgumentParser) -> None:
    _of_one(parser)
    parser.add_argument(
        "--backup", metavar="ID", type=int, help="A number of “database backups”; else its newest good one."
    )
    _without_backup(parser)


def _restore(command: DatabaseCommand, options: Options) -> None:
    database = find_database(options["name"])
    backup = find_backup(options["backup"]) if options["backup"] else database.backups.good().first()
    if backup is None:
        raise Problem("backup.none", f"{database.name} has no good backup.", "Name one of another database: --backup.")
    task = request_restore(database, backup=backup, by=command.by, backup_first=not options["no_backup"])
    command.follow(task, wait=options["wait"], done=KEPT)


def _upload_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument(
        "file", metavar="FILE", help="What pg_dump wrote, custom or plain, or gzip of it; “-” is standard input."
    )
    wait_argument(parser)
    _without_backup(parser)


def _upload(command: DatabaseCommand, options: Options) -> None:
    database = find_database(options["name"])
    upload = _kept(options["file"])
    try:
        task = request_restore(database, upload=upload, by=command.by, backup_first=not options["no_backup"])
    except Problem:
        uploads.forget_upload(upload.token)
        raise
    command.follow(task, wait=options["wait"], done=KEPT)


def _kept(path: str) -> Upload:
    if path == "-":
        return keep_upload(sys.stdin.buffer, "standard input")
    try:
        with Path(path).open("rb") as file:
            return keep_upload(file, path)
    except OSError as error:
        raise Refused("input.file", f"{path} cannot be read: {error.strerror}.", "Name another file.") from error


def _confirm(command: DatabaseCommand, options: Options) -> None:
    task = confirm_restore(find_database(options["name"]), by=command.by)
    command.follow(task, wait=options["wait"], done="The old database is gone.")


def _undo(command: DatabaseCommand, options: Options) -> None:
    task = undo_restore(find_database(options["name"]), by=command.by)
    command.follow(task, wait=options["wait"], done="The database is as it was before the restore.")


def _clone_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument("copy", metavar="COPY", help="The name of the new database.")
    parser.add_argument("--deployment", metavar="DEPLOYMENT", help="Put the copy in this deployment's environment.")
    parser.add_argument("--variable", metavar="VARIABLE", default=USUAL, help=VARIABLE)
    wait_argument(parser)


def _clone(command: DatabaseCommand, options: Options) -> None:
    made = clone_database(
        find_database(options["name"]),
        name=options["copy"],
        by=command.by,
        deployment=find_deployment(options["deployment"]) if options["deployment"] else None,
        attach_as=options["variable"],
    )
    first, last = made.tasks.order_by("pk")
    if options["wait"] and not command.as_json:
        command.follow(first, wait=True, done="It is made.")
    command.follow(last, wait=options["wait"], done=f"{made.name} is a copy.")


VERBS = (
    Verb(
        "restore",
        "Bring a backup back, in the place of what is there; the old database is kept until confirm-restore.",
        _restore_arguments,
        _restore,
        examples=("restore shop-db", "restore shop-db --backup 17"),
    ),
    Verb(
        "upload",
        "Restore a dump out of a file, in the place of what is there; the old database is kept until confirm-restore.",
        _upload_arguments,
        _upload,
        examples=("upload shop-db shop.dump", "upload shop-db - --no-backup"),
    ),
    Verb("confirm-restore", "Let the database go that a restore has kept.", _of_one, _confirm),
    Verb("undo-restore", "Bring the database back that a restore has kept.", _of_one, _undo),
    Verb(
        "clone",
        "Make another database with what is in this one now.",
        _clone_arguments,
        _clone,
        examples=("clone shop-db shop-db-staging --deployment staging",),
    ),
)
