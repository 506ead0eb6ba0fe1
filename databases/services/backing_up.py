"""The story of a backup: ``dump → list → copy → tidy``. Each step can be done again after a kill -9.

It is good once its file lies whole on the disk and ``pg_restore`` has listed it. What goes wrong later, in the storage,
is said and alarms, but takes nothing of that away.
"""

from __future__ import annotations

from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.panel.backup import private_tools
from databases.models import Backup, BackupPlan, BackupReason, BackupState, Database
from databases.services import backup_files, copying, deletion
from databases.services.job import DatabaseJob
from databases.services.restore_tests import counted
from databases.services.sessions import reading
from infrastructure.errors import Problem
from infrastructure.postgres.server import Place
from infrastructure.postgres.streaming import count_entries, stream_dump
from infrastructure.postgres.temporary import size_of

FAILED = "database.backup-failed"


def back_up(job: DatabaseJob) -> None:
    backup = _row(job)
    if backup.state == BackupState.RUNNING:
        backup_files.discard(backup)  # of a worker that was killed
        _dump(job, backup)
    plan = BackupPlan.objects.filter(database=job.database).select_related("storage").first()
    if plan and plan.storage:
        with job.phase("copy"):
            copying.copy_all(job.database, plan.storage, say=job.say, look=job.refuse_cancelled)
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
    said = f"{job.masker.mask(problem.message)} {problem.hint}".strip() if problem else "It was cancelled."
    try:
        backup_files.discard(backup)
    finally:  # also where the disk has become read-only: nothing else would end it
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
    job.say(f"{copying.size_in_words(writer.size)}, {counted(made.rows)}; pg_restore lists {entries} entries")
    end_alarm(f"{FAILED}:{job.database.pk}", f"database.backup-missing:{job.database.pk}")


def _expected(database: Database, place: Place) -> int:
    """Bytes: by the last one; the first time a dump is taken to be half of what the database takes, indexes and all."""
    last = database.backups.good().values_list("size_bytes", flat=True).first()
    if last is not None:
        return last + last // 5
    return size_of(place) // 2


def _alarm_of_failure(database: Database, problem: Problem) -> None:
    raise_alarm(
        f"{FAILED}:{database.pk}",
        subject=database.name,
        message=f"The last backup failed. {problem.message}",
        hint=problem.hint,
        deployment=database.deployment,
    )
