"""The activity feed: what was asked, and the alarms that were raised meanwhile, as one list by time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from bakery.models import Alarm, AlarmQuerySet, Task

if TYPE_CHECKING:
    from bakery.forms import ActivityFilter

MOST_ALARMS = 50  # on one page: a host with more has one cause for most of them


def with_alarms(
    tasks: Sequence[Task], alarms: AlarmQuerySet, filters: ActivityFilter, *, is_last_page: bool
) -> list[Task | Alarm]:
    """One page of tasks, newest first, with the alarms that were raised in the time that it covers."""
    wanted = filters.cleaned_data
    if wanted.get("kind") or wanted.get("state"):  # an alarm is no kind of task and has none of its states
        return list(tasks)
    if wanted.get("deployment"):
        alarms = alarms.filter(deployment=wanted["deployment"])
    if wanted.get("before"):
        newest = Task.objects.filter(pk=wanted["before"]).values_list("created_at", flat=True).first()
        if newest:
            alarms = alarms.filter(raised_at__lt=newest)
    if tasks and not is_last_page:
        alarms = alarms.filter(raised_at__gte=tasks[-1].created_at)
    found = alarms.select_related("deployment").order_by("-raised_at")[:MOST_ALARMS]
    return sorted([*tasks, *found], key=_when, reverse=True)


def _when(row: Task | Alarm) -> datetime:
    return row.created_at if isinstance(row, Task) else row.raised_at
