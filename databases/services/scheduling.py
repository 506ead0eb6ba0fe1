"""When a plan's backup is due, and when one is late. Both go by what was asked for and what is good, not by what beat
did: a schedule that was missed while the host was off is caught up once."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from celery.schedules import ParseException
from django.core.exceptions import ValidationError
from django_celery_beat.models import CrontabSchedule

from databases.models import BackupPlan

# What is raised of a schedule that cannot be, such as the 30th of February.
IMPOSSIBLE = (ParseException, ValueError, OverflowError, RuntimeError)
CLOCKS_DIFFER = timedelta(minutes=5)
GRACE = timedelta(hours=1)  # after the time of the schedule, for the dump itself and those before it
FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
USUAL = {"hourly": "0 * * * *", "daily": "0 3 * * *", "weekly": "0 3 * * 0", "monthly": "0 3 1 * *"}


def by_night(number: int) -> str:
    """Once a day between one and five o'clock: another minute for each number, as dumps take turns."""
    hour, minute = divmod(60 + number * 7 % 240, 60)
    return f"{minute} {hour} * * *"


def parse(text: str) -> CrontabSchedule:
    """``minute hour day-of-month month day-of-week`` as in crontab(5), in UTC, or one of ``USUAL``; not saved. Raises
    ``ValidationError``."""
    parts = USUAL.get(text.strip().lower(), text).split()
    wrong = ValidationError(
        f"“{text[:80]}” is not a schedule: minute, hour, day of the month, month, day of the week, as in “30 2 * * *”, "
        f"or one of {', '.join(USUAL)}."
    )
    if len(parts) != len(FIELDS):
        raise wrong
    schedule = CrontabSchedule(**dict(zip(FIELDS, parts, strict=True)), timezone="UTC")
    try:
        schedule.full_clean()
        next_time(schedule, datetime(2024, 1, 1, tzinfo=timezone.utc))
    except (ValidationError, *IMPOSSIBLE):
        raise wrong from None
    return schedule


def as_text(schedule: CrontabSchedule) -> str:
    return " ".join(str(getattr(schedule, field)) for field in FIELDS)


def next_time(schedule: CrontabSchedule, after: datetime) -> datetime:
    """The first time of the schedule after ``after``."""
    last, delta, _ = schedule.schedule.remaining_delta(after)
    found: datetime = last + delta
    return found


def is_due(plan: BackupPlan, now: datetime) -> bool:
    if plan.schedule is None:
        return False
    last = plan.asked_at or plan.since
    # Asked for in the future: the clock was wrong then, and nobody waits until it is right about that.
    return last > now + CLOCKS_DIFFER or next_time(plan.schedule, last) <= now


def late_since(plan: BackupPlan, newest_good: datetime | None, now: datetime) -> datetime | None:
    """When a good backup was expected that has not come; None: all is well."""
    if plan.schedule is None:
        return None
    since = min(plan.since, now)
    expected = next_time(plan.schedule, max(newest_good or since, since))
    return expected if now > expected + GRACE else None
