"""Whether a backup can be restored, seen by doing it: into a scratch database, tables and rows compared, then dropped.

It belongs to a role of its own with no right on anything else, so nothing that a dump holds reaches another database.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from bakery.alarms import end_alarm, raise_alarm
from bakery.models import Task, TaskKind
from bakery.panel.backup import private_tools
from databases.models import Backup, BackupPlan, Database
from databases.services.backups import open_backup
from databases.services.job import DatabaseJob
from databases.services.requests import ask
from databases.services.sessions import scratch
from infrastructure.disk import is_short
from infrastructure.errors import HostProblem, Problem
from infrastructure.postgres.streaming import restore_into, rows_of

FAILED = "database.restore-test"
MOST_DIFFERENCES = 5
SETTLED = timedelta(minutes=10)  # who has just made a backup may try it, or put it to use


def request_restore_test(subject: Backup | Database, *, by: User | None) -> Task:
    """Of this backup, or of the database's newest good one. Only of a database that Bakery made: another server may not
    let it make a scratch database."""
    if isinstance(subject, Database):
        backup = subject.backups.good().first()
        database: Database | None = subject
    else:
        backup, database = subject, subject.database
    if database is None:
        raise Problem("backup.no-database", "The database of this backup is gone.", "Restore it into another one.")
    if not database.is_managed:
        raise Problem(
            "backup.test-elsewhere",
            f"{database.name} is on a server that is not Bakery's, where no scratch database can be made.",
            "Download the backup and restore it where you can try it.",
        )
    if backup is None:
        raise Problem("backup.none", f"{database.name} has no good backup.", "Make one.")
    return ask(database, TaskKind.TEST_RESTORE, by=by, backup=backup.pk)


def is_due(plan: BackupPlan, now: datetime) -> Backup | None:
    """The backup to be tried now: where none was for as long as the plan says, or the last one that was has failed."""
    if not plan.test_every_days or not plan.database.is_managed:
        return None
    settled = now - SETTLED
    is_settled = Q(ended_at__lte=settled) | Q(ended_at=None, started_at__lte=settled)
    newest = plan.database.backups.good().filter(is_settled).first()
    if newest is None or newest.tested_at:
        return None
    tested = plan.database.backups.filter(tested_at__isnull=False).order_by("-tested_at").first()
    if tested and tested.test_ok and tested.tested_at and now - tested.tested_at < timedelta(days=plan.test_every_days):
        return None
    return newest


def test_restore(job: DatabaseJob) -> None:
    backup = Backup.objects.select_related("storage").filter(pk=job.said["backup"]).first()
    if backup is None:
        raise Problem("backup.gone", "The backup was deleted meanwhile.")
    begun = time.monotonic()
    with ExitStack() as until_it_is_tried:
        with job.phase("open"):
            dump = until_it_is_tried.enter_context(open_backup(backup, job.refuse_cancelled))
            place = until_it_is_tried.enter_context(scratch(job.database))
        with job.phase("restore"):
            restore_into(
                place, dump, job.runner, on_output=job.log, watch=_refuse_full_disk, private_tools=private_tools()
            )
        with job.phase("compare"):
            found = rows_of(place)
    seconds = time.monotonic() - begun
    differences = compared(backup.rows, found)
    if differences:
        raise Problem("backup.differs", f"What was restored is not what was backed up: {differences}", _HINT)
    said = counted(found)
    _note(backup, ok=True, seconds=seconds, message=said)
    job.say(f"Restored in {seconds:.0f} s: {said}, as in the backup")
    end_alarm(f"{FAILED}:{job.database.pk}")


def give_up(job: DatabaseJob, problem: Problem | None) -> None:
    """Cancelled (None): nothing was found out."""
    if problem is None:
        return
    backup = Backup.objects.filter(pk=job.said["backup"]).first()
    if backup:
        _note(backup, ok=False, seconds=None, message=job.masker.mask(problem.message))
    raise_alarm(
        f"{FAILED}:{job.database.pk}",
        subject=job.database.name,
        message=f"A backup could not be restored to try it. {problem.message}",
        hint=problem.hint or _HINT,
        urgent=True,
        deployment=job.database.deployment,
    )


def counted(rows: Mapping[str, int]) -> str:
    """
    >>> counted({"public.orders": 12144})
    '1 table, 12,144 rows'
    """
    total = sum(rows.values())
    return f"{len(rows)} table{'' if len(rows) == 1 else 's'}, {total:,} row{'' if total == 1 else 's'}"


def compared(expected: dict[str, int], found: dict[str, int]) -> str:
    """What is different, in words; nothing where nothing is."""
    lines = []
    for table in sorted(expected.keys() | found.keys()):
        if table not in found:
            lines.append(f"{table} is missing")
        elif table not in expected:
            lines.append(f"{table} is new")
        elif expected[table] != found[table]:
            lines.append(f"{table} has {found[table]} rows, not {expected[table]}")
    more = len(lines) - MOST_DIFFERENCES
    return "; ".join(lines[:MOST_DIFFERENCES]) + (f"; and {more} more." if more > 0 else "." if lines else "")


def _refuse_full_disk() -> None:
    """The scratch database takes as much again as the one that is tried, beside everybody else's."""
    if is_short(settings.BAKERY.data_dir):
        raise HostProblem(
            "postgres.disk-full", "The disk is running full, so the restore was ended.", "Make room; then try it again."
        )


def _note(backup: Backup, *, ok: bool, seconds: float | None, message: str) -> None:
    Backup.objects.filter(pk=backup.pk).update(
        tested_at=timezone.now(), test_ok=ok, test_seconds=seconds, test_message=message
    )


_HINT = "Make another backup, and have that one tried."
