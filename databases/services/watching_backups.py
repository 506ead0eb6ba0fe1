"""Asks for the backups and restore tests that are due, and alarms where a good backup has not come in time: what counts
is that there is one, not that none has failed."""

from __future__ import annotations

import logging
from datetime import datetime

from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.models import Alarm, Task, TaskKind
from databases.models import BackupPlan, BackupReason, DatabaseState
from databases.services import restore_tests, scheduling
from databases.services.backups import request_backup
from databases.services.restore_tests import request_restore_test
from infrastructure.errors import Problem

logger = logging.getLogger(__name__)
MISSING = "database.backup-missing"


def ask_for_what_is_due(now: datetime | None = None) -> list[Task]:
    """Returns what was asked for."""
    now = now or timezone.now()
    asked = []
    for plan in _plans():
        try:
            asked += _ask(plan, now)
        except Problem as problem:  # one is under way, or it is being dropped
            logger.info("Nothing is asked of %s: %s", plan.database, problem)
        except scheduling.IMPOSSIBLE:  # somebody wrote it in Django's admin
            logger.exception("The plan of %s cannot be followed", plan.database)
    return asked


def tell_of_absence(now: datetime | None = None) -> None:
    now = now or timezone.now()
    late = {}
    for plan in _plans():
        # One from the future was made while the clock was wrong; it would keep silent for all those that do not come.
        good = plan.database.backups.good().filter(started_at__lte=now + scheduling.CLOCKS_DIFFER)
        newest = good.values_list("started_at", flat=True).first()
        try:
            expected = scheduling.late_since(plan, newest, now)
        except scheduling.IMPOSSIBLE:  # the other half has written it into the log
            continue
        if expected:
            late[f"{MISSING}:{plan.database_id}"] = (plan, newest, expected)
    open_ones = Alarm.objects.open().filter(key__startswith=f"{MISSING}:").values_list("key", flat=True)
    end_alarm(*(key for key in open_ones if key not in late))
    for key, (plan, newest, expected) in late.items():
        last = f"the last good one is of {newest:%-d %B %Y, %H:%M} UTC" if newest else "there is no good one at all"
        raise_alarm(
            key,
            subject=plan.database.name,
            message=f"No backup came that was expected at {expected:%-d %B %Y, %H:%M} UTC; {last}.",
            hint="See its backups for what failed. The workers have to run, and the server has to answer.",
            urgent=True,
            deployment=plan.database.deployment,
        )


def _plans() -> list[BackupPlan]:
    plans = BackupPlan.objects.filter(database__state=DatabaseState.READY).defer("passphrase")
    return list(plans.select_related("database__deployment", "schedule"))


def _ask(plan: BackupPlan, now: datetime) -> list[Task]:
    asked = []
    busy = set(Task.objects.unfinished().filter(database=plan.database).values_list("kind", flat=True))
    if scheduling.is_due(plan, now) and TaskKind.BACK_UP not in busy:
        asked.append(request_backup(plan.database, by=None, reason=BackupReason.SCHEDULE))
        BackupPlan.objects.filter(pk=plan.pk).update(asked_at=now)
    elif TaskKind.TEST_RESTORE not in busy and (backup := restore_tests.is_due(plan, now)):
        asked.append(request_restore_test(backup, by=None))
    return asked
