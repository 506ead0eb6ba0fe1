"""Looks at every database by itself: every few minutes whether it answers, once an hour at what it measures.

A database is looked at as its own role, by its own address. One look that fails may be a server that is being started
again: the second one, a minute later, raises the alarm. What an alarm said is over as soon as a look finds it so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta

from django.db.models import F, Q
from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from bakery.models import Alarm, Task, TaskKind, TaskState
from databases.models import Database, DatabaseSnapshot, DatabaseState
from databases.services.connection import url_of
from databases.services.external import conninfo_of
from databases.services.locks import locks
from databases.services.server import admin
from infrastructure.errors import Problem
from infrastructure.lock import held_alone
from infrastructure.postgres import measuring
from infrastructure.postgres.server import Place

logger = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
LOOK, AGAIN = timedelta(minutes=5), timedelta(seconds=50)
ROUND_SECONDS = 45.0  # what is not reached by then is first in the next round
HOURLY, DAILY = timedelta(days=14), timedelta(days=731)
NEAR, FULL = 0.9, 1.0  # of the quota
MIB = 1024 * 1024
QUOTA, UNREACHABLE = "database.quota", "database.unreachable"
# While one of these is at work, the database is not what it was, or is another one in a moment.
LEFT_ALONE = (TaskKind.RESTORE, TaskKind.DROP_DATABASE)


def look_at_due() -> None:
    """Run by beat every minute."""
    begun = time.monotonic()
    with held_alone(locks() / "measuring.lock") as mine:
        if not mine:
            return
        _end_alarms_of_others()
        for database in _due():
            if time.monotonic() - begun > ROUND_SECONDS:
                return
            try:
                look(database)
            except Exception:
                logger.exception("The database %s could not be looked at", database)


def look(database: Database) -> DatabaseSnapshot | None:
    """Whether it answers; where the last snapshot is an hour old, a new one."""
    newest = database.snapshots.defer("largest", "slow").first()
    try:
        if newest is not None and -AGAIN < timezone.now() - newest.taken_at < EVERY:
            measuring.answers(place_of(database))
            taken = None
        else:
            taken = measure(database)
    except Problem as problem:
        _unreachable(database, problem)
        return None
    _answered(database)
    if found := taken or newest:
        tell_of_quota(database, found.size_bytes)
    return taken


def measure(database: Database) -> DatabaseSnapshot:
    """Take a snapshot now. ``Problem``: it cannot be reached."""
    found = measuring.measure(place_of(database), admin() if database.is_managed else None)
    before = database.snapshots.defer("largest", "slow").first()
    taken = database.snapshots.create(
        taken_at=timezone.now(),
        size_bytes=found.size_bytes,
        table_count=found.tables,
        connections=found.connections,
        cache_hit=_cache_hit(found, before),
        blocks_hit=found.blocks_hit,
        blocks_read=found.blocks_read,
        bloat_bytes=found.bloat_bytes,
        largest=[asdict(table) for table in found.largest],
        slow=None if found.slow is None else [asdict(query) for query in found.slow],
    )
    Database.objects.filter(pk=database.pk).update(server_version=found.version)
    _thin_out(database, taken)
    announce("database", database.pk)
    return taken


def tell_of_quota(database: Database, size_bytes: int) -> None:
    key, quota = f"{QUOTA}:{database.pk}", database.quota_mb * MIB
    if not quota or size_bytes < NEAR * quota:
        end_alarm(key)
        return
    full = size_bytes >= FULL * quota
    raise_alarm(
        key,
        subject=database.name,
        message=f"The database {database.name} is {'larger than' if full else 'close to'} its quota of "
        f"{database.quota_mb} MiB.",
        hint="Nothing is stopped. Delete rows that nobody needs, look at its largest tables, or raise the quota.",
        urgent=full,
        deployment=database.deployment,
    )


def place_of(database: Database) -> Place:
    """Where, and as whom, an application reaches it from this host."""
    return Place.of(url_of(database).reveal() if database.is_managed else conninfo_of(database.url))


def _due() -> Iterable[Database]:
    now = timezone.now()
    # What is in the future was written while the clock was wrong, and says nothing.
    fine = Q(problem="", checked_at__gt=now - LOOK, checked_at__lte=now + AGAIN)
    failed = ~Q(problem="") & Q(checked_at__gt=now - AGAIN, checked_at__lte=now + AGAIN)
    busy = Task.objects.filter(state=TaskState.RUNNING, kind__in=LEFT_ALONE, database__isnull=False)
    hour = DatabaseSnapshot.objects.filter(taken_at__gt=now - EVERY, taken_at__lte=now + AGAIN)
    due = Database.objects.filter(state=DatabaseState.READY).exclude(pk__in=busy.values("database"))
    due = due.exclude(failed).exclude(fine & Q(pk__in=hour.values("database")))
    # What was never looked at comes first: a round may end before those that do not answer are through.
    return due.select_related("deployment").order_by(F("checked_at").asc(nulls_first=True))


def _unreachable(database: Database, problem: Problem) -> None:
    is_second = bool(database.problem)
    said = f"{problem.message} {problem.hint}".strip()
    Database.objects.filter(pk=database.pk).update(checked_at=timezone.now(), problem=said)
    if is_second:
        raise_alarm(
            f"{UNREACHABLE}:{database.pk}",
            subject=database.name,
            message=f"The database {database.name} cannot be reached: {problem.message}",
            hint=problem.hint,
            urgent=True,
            deployment=database.deployment,
        )
    if database.problem != said:
        announce("database", database.pk)


def _answered(database: Database) -> None:
    Database.objects.filter(pk=database.pk).update(checked_at=timezone.now(), problem="")
    end_alarm(f"{UNREACHABLE}:{database.pk}")
    if database.problem:
        announce("database", database.pk)


def _cache_hit(found: measuring.Measured, before: DatabaseSnapshot | None) -> float | None:
    hit, read = found.blocks_hit, found.blocks_read
    if before and hit >= before.blocks_hit and read >= before.blocks_read:  # else they were set back meanwhile
        hit, read = hit - before.blocks_hit, read - before.blocks_read
    return hit / (hit + read) if hit + read else None


def _thin_out(database: Database, newest: DatabaseSnapshot) -> None:
    """Tables and queries of the newest alone; after two weeks the last of each day; after two years none."""
    older = database.snapshots.exclude(pk=newest.pk)
    older.exclude(largest=[], slow=None).update(largest=[], slow=None)
    older.filter(taken_at__lt=newest.taken_at - DAILY).delete()
    old = older.filter(taken_at__lt=newest.taken_at - HOURLY)
    kept = old.order_by("taken_at__date", "-taken_at").distinct("taken_at__date").values_list("pk", flat=True)
    old.exclude(pk__in=list(kept)).delete()


def _end_alarms_of_others() -> None:
    """Of databases that are gone, or going."""
    there = {str(pk) for pk in Database.objects.filter(state=DatabaseState.READY).values_list("pk", flat=True)}
    ours = Q(key__startswith=f"{QUOTA}:") | Q(key__startswith=f"{UNREACHABLE}:")
    for key in Alarm.objects.filter(ours, ended_at=None).values_list("key", flat=True):
        if key.partition(":")[2] not in there:
            end_alarm(key)
