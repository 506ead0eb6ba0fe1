"""Compares the backups that Bakery knows with the files that lie there: rows whose file is gone, or is back, files that
nobody knows, and what killed workers have left, here and in the storages."""

from __future__ import annotations

import logging
import re
import shutil
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from django.db.models import Q
from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from databases.models import Backup, BackupState, Storage
from databases.services import backup_files, deletion
from databases.services.backups import OPENED
from databases.services.locks import HEAVY_LOCK, locks
from databases.services.storage import bucket_of, key_in
from infrastructure.errors import Problem
from infrastructure.lock import held_alone

logger = logging.getLogger(__name__)
UNKNOWN = "backups.unknown-files"
YOUNG = 3600.0  # seconds: a file that was written just now may get its row in a moment
MOST_NAMED = 3
LOST = "Its file is not there any more: somebody removed it, or the disk was lost."
A_DAY = timedelta(days=1)


def take_stock() -> None:
    """Run by beat every hour."""
    deletion.delete_marked(again=True)
    root = backup_files.root()
    if not root.is_dir():
        return
    _take_back(root)
    lost = _rows_without_a_file()
    for backup in lost:
        logger.warning("The file of backup %s is gone", backup.pk)
    with held_alone(locks() / HEAVY_LOCK) as nothing_runs:
        if nothing_runs:
            _remove_leftovers(root)
            _end_broken_uploads()
    _tell_of_unknown(root, _files_without_a_row(root))


def _rows_without_a_file() -> list[Backup]:
    """One that was copied is still good, from the storage; one that was not is no backup any more."""
    lost = [
        backup
        for backup in Backup.objects.filter(state=BackupState.GOOD).exclude(file="").defer("passphrase", "rows")
        if not backup_files.path_of(backup).is_file()
    ]
    for backup in lost:
        row = Backup.objects.filter(pk=backup.pk, state=BackupState.GOOD, file=backup.file)
        if backup.storage_key:
            row.update(file="", problem=f"{LOST} The copy in the storage is used.")
        else:
            row.update(file="", state=BackupState.FAILED, problem=LOST, ended_at=timezone.now())
        if backup.database_id:
            announce("database", backup.database_id)
    return lost


def _take_back(root: Path) -> None:
    """A disk that was away is here again, and so are its backups. Whoever uses one compares its checksum."""
    lost = Backup.objects.filter(file="", problem__startswith=LOST).exclude(state=BackupState.DELETING)
    for backup in lost.defer("passphrase", "rows"):
        name = Path(backup_files.name_of(backup)).name
        found = next((file for file in _dumps(root, name) if file.stat().st_size == backup.size_bytes), None)
        if found:
            Backup.objects.filter(pk=backup.pk, state=backup.state, file="").update(
                file=str(found.relative_to(root)),
                state=BackupState.GOOD,
                problem="",
                ended_at=datetime.fromtimestamp(found.stat().st_mtime, timezone.get_default_timezone()),
            )
            logger.info("The file of backup %s is there again", backup.pk)
            if backup.database_id:
                announce("database", backup.database_id)


def _end_broken_uploads() -> None:
    """Parts of large copies that killed workers have left in buckets, which charge for them and do not list them.
    Nothing is being copied now."""
    for storage in Storage.objects.filter(Q(plans__isnull=False) | Q(backups__isnull=False)).distinct():
        ours = re.compile(re.escape(key_in(storage, "")) + backup_files.NAME)
        try:
            bucket = replace(bucket_of(storage), is_tried_once=True)
            ended = bucket.end_uploads(key_in(storage, ""), ours, timezone.now() - A_DAY)
        except Problem as problem:  # it may be away, or not let us list them
            logger.info("What is left of broken uploads could not be looked at: %s", problem)
        else:
            if ended:
                logger.warning("%s: %s broken uploads were removed", storage, ended)


def _files_without_a_row(root: Path) -> list[Path]:
    known = set(Backup.objects.exclude(file="").values_list("file", flat=True))
    known |= {backup_files.name_of(one) for one in Backup.objects.filter(state=BackupState.RUNNING)}
    return sorted(
        path for path in _dumps(root, "*.dump*") if str(path.relative_to(root)) not in known and _is_old(path)
    )


def _remove_leftovers(root: Path) -> None:
    """Nothing is being written or opened: what looks so was left."""
    running = {backup_files.part_of(one) for one in Backup.objects.filter(state=BackupState.RUNNING)}
    for part in _dumps(root, ".*.part"):
        if part not in running:
            part.unlink(missing_ok=True)
    for directory in root.glob(f"{OPENED}*"):
        if _is_old(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _dumps(root: Path, pattern: str) -> list[Path]:
    """In the directories of databases alone: others lie beside them."""
    found = [path for path in root.iterdir() if path.name.isdecimal() and path.is_dir()]
    return [file for directory in found for file in directory.glob(pattern)]


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > YOUNG
    except OSError:  # it is gone by now
        return False


def _tell_of_unknown(root: Path, files: list[Path]) -> None:
    if not files:
        end_alarm(UNKNOWN)
        return
    named = ", ".join(str(path.relative_to(root)) for path in files[:MOST_NAMED])
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    raise_alarm(
        UNKNOWN,
        subject="Backups",
        message=f"In {root} lie dumps that belong to no backup: {named}{more}.",
        hint="Bakery does not touch them. Take them away when nobody needs them; they can be uploaded to be restored.",
    )
