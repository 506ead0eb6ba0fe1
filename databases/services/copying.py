"""Copies of backups in a storage. The story of a backup makes them; one that is missing is tried again every hour, as
long as the file is here.

A row with a storage and without a ``storage_key`` is one whose copy was begun, and is not known to be there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from bakery.models import Alarm
from databases.models import Backup, BackupState, Database, Storage
from databases.models.backup import BackupQuerySet
from databases.services import backup_files
from databases.services.locks import HEAVY_LOCK, locks
from databases.services.storage import bucket_of, key_in
from infrastructure.errors import Problem
from infrastructure.lock import held_alone

logger = logging.getLogger(__name__)
COPY_FAILED = "database.backup-copy"
PAUSE = timedelta(hours=1)
MIB = 1024 * 1024
Say = Callable[[str], None]


def copy_all(
    database: Database, storage: Storage, *, say: Say, look: Callable[[], None] = lambda: None
) -> Problem | None:
    """The newest one, and those before whose copy is missing; the first thing that went wrong."""
    problem = _copy_each(database.backups.filter(_uncopied()).order_by("-started_at"), storage, say, look)
    announce("database", database.pk)
    if problem is None:
        end_alarm(f"{COPY_FAILED}:{database.pk}")
        return None
    raise_alarm(
        f"{COPY_FAILED}:{database.pk}",
        subject=database.name,
        message=f"A backup could not be copied to {storage.name}. {problem.message}",
        hint=f"{problem.hint} The backup is good on this host; its copy is tried again every hour.".strip(),
        deployment=database.deployment,
    )
    return problem


def is_to_be_done(now: datetime | None = None) -> bool:
    return _due(now or timezone.now()).exists()


def copy_again(now: datetime | None = None) -> None:
    """What is missing, where the last try is long enough ago. It takes turns with dumps and restores."""
    with held_alone(locks() / HEAVY_LOCK) as nothing_runs:
        if not nothing_runs:
            return  # tending sends for it again
        due = _due(now or timezone.now()).select_related("database__plan__storage", "database__deployment", "storage")
        silent: set[int] = set()  # nobody waits for one twice
        done: set[int] = set()
        for backup in due.order_by("-started_at").defer("passphrase", "rows"):
            storage = backup.database.plan.storage if backup.database else backup.storage
            if storage is None or backup.database_id in done:
                continue
            if storage.pk in silent:
                Backup.objects.filter(pk=backup.pk).update(copy_tried_at=timezone.now())
                continue
            if backup.database:
                done.add(backup.database.pk)
                problem = copy_all(backup.database, storage, say=logger.info)
            else:
                one = Backup.objects.filter(_uncopied(), pk=backup.pk)
                problem = _copy_each(one, storage, logger.info, lambda: None)
            if problem and _is_of_the_storage(problem):
                silent.add(storage.pk)


def end_what_is_over() -> None:
    """Alarms of what nobody waits for any more: it was deleted, or the plan names no storage now."""
    said = set(Alarm.objects.open().filter(key__startswith=f"{COPY_FAILED}:").values_list("key", flat=True))
    if said:
        missing = Backup.objects.filter(_missing(), database__isnull=False).values_list("database", flat=True)
        end_alarm(*(said - {f"{COPY_FAILED}:{pk}" for pk in missing}))


def send_wake_up() -> None:
    from databases.tasks import copy_backups

    try:
        copy_backups.apply_async(retry=False, expires=10.0)
    except (OperationalError, OSError) as error:  # tending sends it again
        logger.warning("No worker could be woken to copy backups: %s", error)


def _uncopied() -> Q:
    return Q(state=BackupState.GOOD, storage_key="") & ~Q(file="")


def _missing() -> Q:
    """Tried, and not there. Of a database that is gone nothing but the storage of the last try is known."""
    wanted = Q(database__isnull=True) | Q(database__plan__storage__isnull=False)
    return _uncopied() & Q(storage__isnull=False) & wanted


def _due(now: datetime) -> BackupQuerySet:
    long_ago = Q(copy_tried_at__isnull=True) | Q(copy_tried_at__lte=now - PAUSE)
    return Backup.objects.filter(_missing(), long_ago)


def _copy_each(backups: BackupQuerySet, storage: Storage, say: Say, look: Callable[[], None]) -> Problem | None:
    """The first thing that went wrong. What the storage itself refuses, it would refuse for the others, too."""
    failed = None
    waiting = list(backups.defer("passphrase", "rows"))
    Backup.objects.filter(pk__in=[one.pk for one in waiting]).update(copy_tried_at=timezone.now())
    for backup in waiting:
        if not backup_files.path_of(backup).is_file():
            continue  # ``inventory`` tells of it
        try:
            _copy(backup, storage, say, look)
        except Problem as problem:
            said = f"{problem.message} {problem.hint}".strip()
            Backup.objects.filter(pk=backup.pk, storage_key="").update(storage_problem=said)
            say(f"{backup} could not be copied. {said}")
            failed = failed or problem
            if _is_of_the_storage(problem):
                break
    return failed


def _is_of_the_storage(problem: Problem) -> bool:
    return problem.id.startswith("storage.")


def _copy(backup: Backup, storage: Storage, say: Say, look: Callable[[], None]) -> None:
    key = key_in(storage, backup.file)
    path = backup_files.path_of(backup)
    say(f"Copying {size_in_words(backup.size_bytes)} to {storage.name}")
    # Before anything is there: who deletes the backup of a worker that was killed looks for the object, too.
    Backup.objects.filter(pk=backup.pk).update(storage=storage)
    bucket = bucket_of(storage)
    with backup_files.in_words(path):
        bucket.put(key, path, look)
    stored = bucket.size(key)
    if stored != backup.size_bytes:
        raise Problem("storage.failed", f"The storage {storage.name} has {stored} of {backup.size_bytes} bytes.")
    # Where somebody has changed the storage meanwhile, this is another bucket than the one that the row names now.
    same = Storage.objects.filter(pk=storage.pk, endpoint=storage.endpoint, bucket=storage.bucket)
    kept = Backup.objects.filter(pk=backup.pk, state=BackupState.GOOD, storage__in=same)
    if not kept.update(storage_key=key, storage_problem=""):
        bucket.delete(key)  # it was deleted meanwhile, and nobody would find the copy


def size_in_words(count: int) -> str:
    return f"{count / MIB:.1f} MiB" if count >= MIB else f"{count} bytes"
