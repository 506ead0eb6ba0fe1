"""Backups that are to go: by a person, or because the plan keeps enough newer ones. First the file here, then the copy
in the storage, then the row: what cannot be reached now is tried again, and nothing is forgotten before it is gone."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

from django.utils import timezone
from kombu.exceptions import OperationalError

from bakery.events import announce
from bakery.models import Task, TaskKind
from databases.models import Backup, BackupPlan, BackupState, Database, Storage
from databases.models.backup import BackupQuerySet
from databases.services import backup_files
from databases.services.locks import locks
from databases.services.retention import FAILURES_KEPT, Keep, Kept, to_keep
from databases.services.storage import bucket_of, key_in
from infrastructure.errors import Problem
from infrastructure.lock import held_alone

logger = logging.getLogger(__name__)
NOT_YET = "It cannot be deleted yet."


def expire(database: Database) -> int:
    """Mark what the plan does not keep; how many."""
    plan = BackupPlan.objects.filter(database=database).first()
    keep = Keep(plan.keep_last, plan.keep_daily, plan.keep_weekly, plan.keep_monthly) if plan else None
    good = list(database.backups.good().only("pk", "started_at", "pinned"))
    marked = 0
    if keep:
        kept = to_keep([Kept(one.pk, one.started_at, one.pinned) for one in good], keep)
        kept |= _waited_for()
        going = [one.pk for one in good if one.pk not in kept]
        marked = Backup.objects.filter(pk__in=going, state=BackupState.GOOD, pinned=False).update(
            state=BackupState.DELETING
        )
    failures = database.backups.filter(
        state=BackupState.FAILED, pinned=False, ended_at__lt=timezone.now() - FAILURES_KEPT
    )
    marked += failures.update(state=BackupState.DELETING)
    if marked:
        announce("database", database.pk)
    return marked


def _waited_for() -> set[int]:
    """Those that somebody has asked to restore, or to try: the backup that is made before must not cost them."""
    kinds = (TaskKind.RESTORE, TaskKind.TEST_RESTORE, TaskKind.FETCH_BACKUP)
    refs = Task.objects.unfinished().filter(kind__in=kinds).exclude(ref="").values_list("ref", flat=True)
    return {int(pk) for ref in refs if (pk := json.loads(ref).get("backup"))}


def delete_marked(*, again: bool = False) -> int:
    """Remove what is marked, as far as it can be reached; how many rows are gone. ``again``: also what could not be
    reached before, which takes its time."""
    with held_alone(locks() / "deleting-backups.lock") as mine:
        if not mine:
            return 0
        gone = 0
        for backup in _marked(again=again).select_related("storage"):
            gone += _delete(backup)
        return gone


def is_to_be_done() -> bool:
    return _marked(again=False).exists()


def _marked(*, again: bool) -> BackupQuerySet:
    marked = Backup.objects.filter(state=BackupState.DELETING)
    return marked if again else marked.exclude(storage_problem__startswith=NOT_YET)


def _delete(backup: Backup) -> bool:
    try:
        backup_files.discard(backup)
        if backup.storage and backup.storage_key:
            bucket_of(backup.storage).delete(backup.storage_key)
        elif backup.storage and backup.file:
            _delete_begun(backup.storage, backup.file)
    except (OSError, Problem) as error:
        logger.warning("A backup cannot be deleted: %s", error)
        said = error.message if isinstance(error, Problem) else str(error)
        Backup.objects.filter(pk=backup.pk).update(storage_problem=f"{NOT_YET} {said}")
        return False
    backup.delete()
    if backup.database_id:
        announce("database", backup.database_id)
    return True


def _delete_begun(storage: Storage, file: str) -> None:
    """The copy that a killed worker may have made, without a word in the row. It is not waited for: most often it is a
    copy that could not be made at all."""
    try:
        replace(bucket_of(storage), is_tried_once=True).delete(key_in(storage, file))
    except Problem as problem:
        logger.info("Whether a copy was left in a storage is not known: %s", problem)


def send_wake_up() -> None:
    from databases.tasks import delete_backups

    try:
        delete_backups.apply_async(retry=False)
    except (OperationalError, OSError) as error:  # tending sends it again
        logger.warning("No worker could be woken to delete backups: %s", error)
