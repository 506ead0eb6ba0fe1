"""What people and other services do with backups. A worker makes and deletes them: it alone reaches all files."""

from __future__ import annotations

import hmac
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import transaction

from accounts.models import User
from bakery.events import announce
from bakery.models import Task, TaskKind
from databases.models import Backup, BackupReason, BackupState, Database, DatabaseState
from databases.services import backup_files
from databases.services.requests import ask
from databases.services.storage import bucket_of
from infrastructure.errors import HostProblem, Problem


def request_backup(database: Database, *, by: User | None, reason: BackupReason = BackupReason.ASKED) -> Task:
    """Refused while one is under way, or the database is not there (yet)."""
    if database.state in (DatabaseState.CREATING, DatabaseState.FAILED):
        raise Problem("database.not-ready", f"{database.name} is not there yet: there is nothing to back up.")
    return ask(database, TaskKind.BACK_UP, by=by, reason=BackupReason(reason).value)


def delete_backup(backup: Backup, *, by: User | None) -> None:
    """A worker removes its files, here and in the storage, and then the row. It is no backup any more from now on."""
    with transaction.atomic():
        found = Backup.objects.select_for_update().filter(pk=backup.pk).first()
        if found is None:
            return
        if found.state == BackupState.RUNNING:
            raise Problem("backup.running", "It is being made.", "Cancel its task instead.")
        found.state = BackupState.DELETING
        found.save(update_fields=["state"])
    _tell(found)
    transaction.on_commit(_wake_deleter, robust=True)


def pin_backup(backup: Backup, pinned: bool, *, by: User | None) -> None:
    """A pinned one is kept, whatever the plan says."""
    if not Backup.objects.filter(pk=backup.pk).exclude(state=BackupState.DELETING).update(pinned=pinned):
        raise Problem("backup.gone", f"{backup} is being deleted already.", "Keep another one.")
    backup.pinned = pinned
    _tell(backup)


def request_fetch(backup: Backup, *, by: User | None) -> Task:
    """Back from the storage to this host, where it can be downloaded; the plan decides how long it stays."""
    if backup.state != BackupState.GOOD:
        raise Problem("backup.not-good", f"{backup} is not a backup that can be used.", "Take another one.")
    if backup.file:
        raise Problem("backup.here", f"{backup} is on this host.", "Download it.")
    if not (backup.storage_id and backup.storage_key):
        raise HostProblem("backup.file-gone", f"There is no copy of {backup} in a storage.", "Take another backup.")
    if backup.database is None:
        raise Problem("backup.no-database", "The database of this backup is gone.", "Restore it into another one.")
    return ask(backup.database, TaskKind.FETCH_BACKUP, by=by, backup=backup.pk)


@contextmanager
def open_backup(backup: Backup, look: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A plain dump that ``pg_restore`` reads, as long as the block lasts: the file itself, or a private one, when it is
    sealed or only in the storage. ``look`` is called every MiB and may raise, e.g. ``Cancelled``.

    ``Problem``: ``backup.not-good``, ``backup.file-gone``, ``backup.changed`` (not what was written), ``storage.…``,
    and what unsealing raises.
    """
    if backup.state != BackupState.GOOD:
        raise Problem("backup.not-good", f"{backup} is not a backup that can be used.", "Take another one.")
    here = _whole_here(backup, look)
    if here and not backup.sealed:
        yield here
        return
    with private_directory() as directory:
        lying = here or _fetch(backup, directory / "fetched", look)
        yield _unseal(backup, lying, directory / "dump", look) if backup.sealed else lying


def _whole_here(backup: Backup, look: Callable[[], None]) -> Path | None:
    """The file on this host. One that has changed is nobody's any more where there is a copy to use instead of it."""
    path = backup_files.path_of(backup)
    if not (backup.file and path.is_file()):
        return None
    try:
        _compare(backup, path, look)
    except HostProblem as changed:
        if changed.id != CHANGED or not (backup.storage and backup.storage_key):
            raise
        said = "Its file on this host is not what was written: look at the disk. The copy in the storage is used."
        Backup.objects.filter(pk=backup.pk, state=BackupState.GOOD).update(file="", problem=said)
        _tell(backup)
        return None
    return path


def _fetch(backup: Backup, to: Path, look: Callable[[], None]) -> Path:
    if not (backup.storage and backup.storage_key):
        raise HostProblem(
            "backup.file-gone",
            f"The file of {backup} is not there any more, and there is no copy of it.",
            "Take another backup.",
        )
    backup_files.refuse_too_little_room(backup.size_bytes)
    fetched = _write(to, bucket_of(backup.storage).get(backup.storage_key), look)
    _compare(backup, fetched, look)
    return fetched


def _unseal(backup: Backup, lying: Path, to: Path, look: Callable[[], None]) -> Path:
    backup_files.refuse_too_little_room(backup.size_bytes)
    return _write(to, backup_files.read_plain(lying, backup.passphrase), look)


def _write(to: Path, pieces: Iterator[bytes], look: Callable[[], None]) -> Path:
    with backup_files.in_words(to), to.open("wb") as file:
        for piece in pieces:
            look()
            backup_files.refuse_full_disk()
            file.write(piece)
    return to


def _compare(backup: Backup, path: Path, look: Callable[[], None]) -> None:
    if not hmac.compare_digest(backup_files.checksum(path, look), backup.sha256):
        raise HostProblem(
            CHANGED,
            f"The file of {backup} is not what was written: its checksum is another one.",
            "Take another backup, and look at the disk, or at who else writes there.",
        )


@contextmanager
def private_directory() -> Iterator[Path]:
    """Beside the backups, where there is room for one. What a killed worker leaves is removed by ``inventory``."""
    backup_files.refuse_too_little_room(0)  # the disk may have been lost: then the directory is to be made
    with tempfile.TemporaryDirectory(prefix=f"{OPENED}{os.getpid()}-", dir=backup_files.root()) as directory:
        yield Path(directory)


OPENED = "opened-"
CHANGED = "backup.changed"


def _wake_deleter() -> None:
    from databases.services.deletion import send_wake_up

    send_wake_up()


def _tell(backup: Backup) -> None:
    if backup.database_id:
        announce("database", backup.database_id)
