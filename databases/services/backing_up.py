"""The story of a backup: ``dump → list → copy → tidy``. Each step can be done again after a kill -9.

It is good once its file lies whole on the disk and ``pg_restore`` has listed it. What goes wrong later, in the storage,
is said and alarms, but takes nothing of that away.
"""

from __future__ import annotations

from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.panel.backup import private_tools
from databases.models import Backup, BackupPlan, BackupReason, BackupState, Database, Storage
from databases.services import backup_files, deletion
from databases.services.job import DatabaseJob
from databases.services.sessions import reading
from databases.services.storage import bucket_of, key_in
from infrastructure.errors import Problem
from infrastructure.postgres.server import Place
from infrastructure.postgres.streaming import count_entries, stream_dump
from infrastructure.postgres.temporary import size_of

MIB = 1024 * 1024
FAILED, COPY_FAILED = "database.backup-failed", "database.backup-copy"


def back_up(job: DatabaseJob) -> None:
    backup = _row(job)
    if backup.state == BackupState.RUNNING:
        backup_files.discard(backup)  # of a worker that was killed
        _dump(job, backup)
    plan = BackupPlan.objects.filter(database=job.database).select_related("storage").first()
    if plan and plan.storage:
        with job.phase("copy"):
            _copy_all(job, plan.storage)
    with job.phase("tidy"):
        gone = deletion.expire(job.database)
        if gone:
            job.say(f"{gone} older backups are not kept any more")
            deletion.delete_marked()


def give_up(job: DatabaseJob, problem: Problem | None) -> None:
    """It failed, or was cancelled (None): nothing of it is left on the disk, and the row says why."""
    backup = Backup.objects.filter(task=job.task).first()
    if problem and not (backup and backup.state == BackupState.GOOD):
        _alarm_of_failure(job.database, problem)
    if backup is None or backup.state != BackupState.RUNNING:
        return
    backup_files.discard(backup)
    said = f"{job.masker.mask(problem.message)} {problem.hint}".strip() if problem else "It was cancelled."
    Backup.objects.filter(pk=backup.pk, state=BackupState.RUNNING).update(
        state=BackupState.FAILED, problem=said, ended_at=timezone.now()
    )


def _row(job: DatabaseJob) -> Backup:
    passphrase = BackupPlan.objects.filter(database=job.database).values_list("passphrase", flat=True).first()
    started = {
        "database": job.database,
        "subject": job.database.name,
        "reason": job.said.get("reason", BackupReason.ASKED),
        "sealed": bool(passphrase),
        "passphrase": passphrase or "",
    }
    return Backup.objects.get_or_create(task=job.task, defaults=started)[0]


def _dump(job: DatabaseJob, backup: Backup) -> None:
    private = private_tools()
    with job.phase("dump"), backup_files.writing(backup) as writer, reading(job.database) as place:
        backup_files.refuse_too_little_room(_expected(job.database, place))
        made = stream_dump(
            place,
            writer.take,
            job.runner,
            on_output=job.log,
            watch=backup_files.refuse_full_disk,
            private_tools=private,
        )
    with job.phase("list"):
        part = backup_files.part_of(backup)
        pieces = backup_files.read_plain(part, backup.passphrase if backup.sealed else None)
        entries = count_entries(pieces, made.tools, job.runner)
    Backup.objects.filter(pk=backup.pk).update(
        state=BackupState.GOOD,
        file=backup_files.publish(backup),
        size_bytes=writer.size,
        sha256=writer.sha256,
        server_major=made.server_version // 10_000,
        dump_major=made.tools.major,
        entries=entries,
        rows=made.rows,
        ended_at=timezone.now(),
    )
    job.say(
        f"{_size(writer.size)}, {len(made.rows)} tables, {sum(made.rows.values())} rows; "
        f"pg_restore lists {entries} entries"
    )
    end_alarm(f"{FAILED}:{job.database.pk}", f"database.backup-missing:{job.database.pk}")


def _expected(database: Database, place: Place) -> int:
    """Bytes: by the last one; the first time a dump is taken to be half of what the database takes, indexes and all."""
    last = database.backups.good().values_list("size_bytes", flat=True).first()
    if last is not None:
        return last + last // 5
    return size_of(place) // 2


def _copy_all(job: DatabaseJob, storage: Storage) -> None:
    """The new one, and those before whose copy has failed."""
    waiting = job.database.backups.good().filter(storage_key="").exclude(file="").order_by("-started_at")
    for backup in waiting:
        try:
            _copy(job, backup, storage)
        except Problem as problem:
            said = f"{problem.message} {problem.hint}".strip()
            Backup.objects.filter(pk=backup.pk).update(storage=storage, storage_problem=said)
            job.say_problem(problem)
            raise_alarm(
                f"{COPY_FAILED}:{job.database.pk}",
                subject=job.database.name,
                message=f"A backup could not be copied to {storage.name}. {problem.message}",
                hint=f"{problem.hint} The backup is good on this host; the next one tries it again.".strip(),
                deployment=job.database.deployment,
            )
            return
    end_alarm(f"{COPY_FAILED}:{job.database.pk}")


def _copy(job: DatabaseJob, backup: Backup, storage: Storage) -> None:
    key = key_in(storage, backup.file)
    job.say(f"Copying {_size(backup.size_bytes)} to {storage.name}")
    bucket = bucket_of(storage)
    bucket.put(key, backup_files.path_of(backup), job.refuse_cancelled)
    stored = bucket.size(key)
    if stored != backup.size_bytes:
        raise Problem("storage.failed", f"The storage {storage.name} has {stored} of {backup.size_bytes} bytes.")
    Backup.objects.filter(pk=backup.pk).update(storage=storage, storage_key=key, storage_problem="")


def _alarm_of_failure(database: Database, problem: Problem) -> None:
    raise_alarm(
        f"{FAILED}:{database.pk}",
        subject=database.name,
        message=f"The last backup failed. {problem.message}",
        hint=problem.hint,
        deployment=database.deployment,
    )


def _size(count: int) -> str:
    return f"{count / MIB:.1f} MiB" if count >= MIB else f"{count} bytes"
