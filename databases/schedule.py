"""A schedule in the words in which people choose one, and as crontab's five fields. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from django_celery_beat.models import CrontabSchedule

WEEKDAYS = [
    ("1", "Monday"),
    ("2", "Tuesday"),
    ("3", "Wednesday"),
    ("4", "Thursday"),
    ("5", "Friday"),
    ("6", "Saturday"),
    ("0", "Sunday"),
]


class Every(models.TextChoices):
    NEVER = "never", "When asked only"
    HOUR = "hour", "Hourly"
    DAY = "day", "Daily"
    WEEK = "week", "Weekly"
    MONTH = "month", "Monthly"
    CRON = "cron", "By a crontab schedule"


@dataclass(frozen=True)
class Schedule:
    every: Every
    at: time = time(3)
    weekday: str = "0"
    day: int = 1
    cron: str = ""


NEVER = Schedule(Every.NEVER)


def as_cron(schedule: Schedule) -> str:
    """
    >>> as_cron(Schedule(Every.WEEK, time(2, 30), "1"))
    '30 2 * * 1'
    """
    at = f"{schedule.at.minute} {schedule.at.hour}"
    return {
        Every.NEVER: "",
        Every.HOUR: f"{schedule.at.minute} * * * *",
        Every.DAY: f"{at} * * *",
        Every.WEEK: f"{at} * * {schedule.weekday}",
        Every.MONTH: f"{at} {schedule.day} * *",
        Every.CRON: schedule.cron.strip(),
    }[schedule.every]


def read(row: CrontabSchedule) -> Schedule:
    """The words for what is stored; what is none of the usual ones stays crontab's."""
    minute, hour, day, month, weekday = (str(value) for value in fields_of(row))
    text = f"{minute} {hour} {day} {month} {weekday}"
    if month != "*" or not (minute.isdecimal() and int(minute) < 60):
        return Schedule(Every.CRON, cron=text)
    if (hour, day, weekday) == ("*", "*", "*"):
        return Schedule(Every.HOUR, time(0, int(minute)), cron=text)
    if not (hour.isdecimal() and int(hour) < 24):
        return Schedule(Every.CRON, cron=text)
    at = time(int(hour), int(minute))
    if (day, weekday) == ("*", "*"):
        return Schedule(Every.DAY, at, cron=text)
    if day == "*" and weekday in dict(WEEKDAYS):
        return Schedule(Every.WEEK, at, weekday, cron=text)
    if weekday == "*" and day.isdecimal() and 1 <= int(day) <= 28:
        return Schedule(Every.MONTH, at, day=int(day), cron=text)
    return Schedule(Every.CRON, cron=text)


def fields_of(row: CrontabSchedule) -> tuple[object, ...]:
    return row.minute, row.hour, row.day_of_month, row.month_of_year, row.day_of_week


def in_words(row: CrontabSchedule) -> str:
    """For a sentence: “daily at 03:00 UTC”."""
    found = read(row)
    at = f"{found.at:%H:%M} UTC"
    return {
        Every.HOUR: f"hourly, at minute {found.at.minute}",
        Every.DAY: f"daily at {at}",
        Every.WEEK: f"weekly on {dict(WEEKDAYS).get(found.weekday)} at {at}",
        Every.MONTH: f"monthly on day {found.day} at {at}",
    }.get(found.every, f"by “{found.cron}” (UTC)")
