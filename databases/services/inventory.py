"""Compares the backups that Bakery knows with the files that lie there: rows whose file is gone, files that nobody
knows, and what killed workers have left."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from databases.models import Backup, BackupState
from databases.services import backup_files, deletion
from databases.services.backups import OPENED
from databases.services.locks import HEAVY_LOCK, locks
from infrastructure.lock import held_alone

logger = logging.getLogger(__name__)
UNKNOWN = "backups.unknown-files"
YOUNG = 3600.0  # seconds: a file that was written just now may get its row in a moment
MOST_NAMED = 3


def take_stock() -> None:
    """Run by beat every hour."""
    deletion.delete_marked(again=True)
    root = backup_files.root()
    if not root.is_dir():
        return
    lost = _rows_without_a_file()
    for backup in lost:
        logger.warning("The file of backup %s is gone", backup.pk)
    with held_alone(locks() / HEAVY_LOCK) as nothing_runs:
        if nothing_runs:
            _remove_leftovers(root)
    _tell_of_unknown(root, _files_without_a_row(root))


def _rows_without_a_file() -> list[Backup]:
    """One that was copied is still good, from the storage; one that was not is no backup any more."""
    lost = [
        backup
        for backup in Backup.objects.filter(state=BackupState.GOOD).exclude(file="").defer("passphrase", "rows")
        if not backup_files.path_of(backup).is_file()
    ]
    for backup in lost:
        said = "Its file is not there any more: somebody removed it, or the disk was lost."
        if backup.storage_key:
            Backup.objects.filter(pk=backup.pk).update(file="", problem=f"{said} The copy in the storage is used.")
        else:
            Backup.objects.filter(pk=backup.pk).update(
                file="", state=BackupState.FAILED, problem=said, ended_at=timezone.now()
            )
        if backup.database_id:
            announce("database", backup.database_id)
    return lost


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
