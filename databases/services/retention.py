"""Which backups a plan keeps. A pure function of their times: the same whenever, and however often, it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

FAILURES_KEPT = timedelta(days=30)  # rows of backups that failed: they have no file


@dataclass(frozen=True)
class Keep:
    """How many: the newest ones, and of so many days, weeks and months the newest of each."""

    last: int
    daily: int
    weekly: int
    monthly: int


@dataclass(frozen=True)
class Kept:
    """A good backup."""

    pk: int
    made_at: datetime
    pinned: bool = False


PERIODS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("daily", lambda moment: moment.date()),
    ("weekly", lambda moment: tuple(moment.isocalendar())[:2]),
    ("monthly", lambda moment: (moment.year, moment.month)),
)


def to_keep(backups: Iterable[Kept], keep: Keep) -> set[int]:
    """The ids of those that stay: what is pinned, the newest one whatever the plan says, and of days, weeks and months
    (UTC; weeks begin on Monday) that have a backup the newest of each, as many as are wanted. Days without one do not
    count: a host that was off for a month loses nothing by that. Which ones were made last is told by their ids: a
    clock that was wrong for a while must not cost the backup that was made just now."""
    newest_first = sorted(backups, key=lambda one: (one.made_at, one.pk), reverse=True)
    kept = {one.pk for one in newest_first if one.pinned}
    made_last = sorted(newest_first, key=lambda one: one.pk, reverse=True)
    kept |= {one.pk for one in made_last[: max(1, keep.last)]}
    for name, period_of in PERIODS:
        seen: set[object] = set()
        for one in newest_first:
            period = period_of(one.made_at.astimezone(timezone.utc))
            if period not in seen and len(seen) < getattr(keep, name):
                seen.add(period)
                kept.add(one.pk)
    return kept
