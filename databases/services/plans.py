"""What people decide of a database's backups."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from accounts.models import User
from bakery.events import announce
from databases.models import BackupPlan, Database, Storage
from databases.services import scheduling
from infrastructure.secret import Secret

SHORTEST_PASSPHRASE = 12
NUMBERS = frozenset({"keep_last", "keep_daily", "keep_weekly", "keep_monthly", "test_every_days"})
CHANGEABLE = NUMBERS | {"cron", "storage", "passphrase", "before_deploys"}


def set_plan(database: Database, *, by: User | None, **said: Any) -> BackupPlan:
    """Change what is given, of ``CHANGEABLE``; the rest stays. ``cron``: five fields in UTC, a word (``daily``), or ""
    for none. ``storage``: a ``Storage``, its name, or None. ``passphrase``: of backups from now on; "" for no seal."""
    if unknown := said.keys() - CHANGEABLE:
        raise ValidationError(dict.fromkeys(sorted(unknown), "There is no such setting of a plan."))
    with transaction.atomic():
        Database.objects.select_for_update().get(pk=database.pk)
        plan = BackupPlan.objects.filter(database=database).first() or BackupPlan(database=database)
        before = plan.schedule
        if "cron" in said:
            _schedule(plan, str(said["cron"] or ""))
        if "storage" in said:
            plan.storage = _storage(said["storage"])
        if "passphrase" in said:
            plan.passphrase = _passphrase(said["passphrase"])
        for name in (NUMBERS | {"before_deploys"}) & said.keys():
            setattr(plan, name, said[name])
        plan.full_clean(exclude=["database", "passphrase"])
        plan.save()
        plan.refresh_from_db()
        if before and before.pk != plan.schedule_id:
            _forget(before)
    announce("database", database.pk)
    return plan


def begin_plan(database: Database, *, by: User | None) -> None:
    """A new database is backed up from the next night on, at a time of its own, unless the settings say never."""
    if settings.BAKERY.new_databases_backups == "daily" and not BackupPlan.objects.filter(database=database).exists():
        set_plan(database, by=by, cron=scheduling.by_night(database.pk))


def _schedule(plan: BackupPlan, text: str) -> None:
    """A new schedule counts from now: nobody is told that a backup is late which was not wanted before."""
    wanted = None
    if text.strip():
        try:
            parsed = scheduling.parse(text)
        except ValidationError as error:
            raise ValidationError({"cron": error.messages}) from error
        same = {field: getattr(parsed, field) for field in scheduling.FIELDS}
        wanted = CrontabSchedule.objects.filter(**same, timezone=parsed.timezone).first()
        if wanted is None:
            parsed.save()
            wanted = parsed
    if (wanted and wanted.pk) != plan.schedule_id:
        plan.schedule, plan.asked_at, plan.since = wanted, None, timezone.now()


def _storage(given: Storage | str | None) -> Storage | None:
    if given is None or isinstance(given, Storage):
        return given
    if not given:
        return None
    found = Storage.objects.filter(name=given).first()
    if found is None:
        raise ValidationError({"storage": f"There is no storage called {given[:60]}."})
    return found


def _passphrase(given: Secret | str) -> Secret:
    secret = given if isinstance(given, Secret) else Secret(given)
    if secret and len(secret.reveal()) < SHORTEST_PASSPHRASE:
        raise ValidationError({"passphrase": f"Use {SHORTEST_PASSPHRASE} characters or more, or none."})
    return secret


def _forget(schedule: CrontabSchedule) -> None:
    """One that nobody uses any more; some may be of a person's own making in Django's admin."""
    users = (BackupPlan.objects.filter(schedule=schedule), PeriodicTask.objects.filter(crontab=schedule))
    if not any(rows.exists() for rows in users):
        schedule.delete()
