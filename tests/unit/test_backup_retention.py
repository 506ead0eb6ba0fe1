"""Which backups a plan keeps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from databases.services.retention import Keep, Kept, to_keep

START = datetime(2026, 1, 1, 3, tzinfo=timezone.utc)
counts = st.integers(min_value=0, max_value=5)
keeps = st.builds(Keep, counts, counts, counts, counts)
in_any_order = st.lists(st.integers(min_value=0, max_value=400 * 24), max_size=60)
moments = in_any_order.map(sorted)


def made(hours: list[int], pinned: frozenset[int] = frozenset()) -> list[Kept]:
    return [Kept(pk, START + timedelta(hours=hour), pk in pinned) for pk, hour in enumerate(hours)]


def daily(days: int) -> list[Kept]:
    return made([24 * day for day in range(days)])


def test_a_year_of_daily_backups_becomes_a_few_of_each_kind() -> None:
    kept = to_keep(daily(365), Keep(last=3, daily=7, weekly=4, monthly=6))
    days = sorted((START + timedelta(days=pk)).date().isoformat() for pk in kept)
    assert days == [
        "2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30",  # months, the newest of each
        "2026-12-13", "2026-12-20",  # weeks, of which two more are among the days
        "2026-12-25", "2026-12-26", "2026-12-27", "2026-12-28", "2026-12-29", "2026-12-30", "2026-12-31",
    ]  # fmt: skip


def test_of_several_on_one_day_the_newest_is_that_days() -> None:
    assert to_keep(made([0, 1, 2, 24, 25]), Keep(last=0, daily=2, weekly=0, monthly=0)) == {2, 4}


def test_days_without_a_backup_do_not_count() -> None:
    assert to_keep(made([0, 24, 240 * 24]), Keep(last=1, daily=3, weekly=0, monthly=0)) == {0, 1, 2}


def test_days_are_those_of_utc_whatever_the_zone_of_a_moment() -> None:
    east = timezone(timedelta(hours=14))
    same_day = [Kept(1, START.astimezone(east)), Kept(2, START + timedelta(hours=1))]
    assert to_keep(same_day, Keep(0, 5, 0, 0)) == {2}


@given(moments, keeps)
def test_the_newest_is_never_deleted(hours: list[int], keep: Keep) -> None:
    backups = made(hours)
    kept = to_keep(backups, keep)
    if backups:
        assert max(backups, key=lambda one: (one.made_at, one.pk)).pk in kept


@given(in_any_order.filter(bool), keeps)
def test_the_one_made_last_is_never_deleted_whatever_the_clock_said(hours: list[int], keep: Keep) -> None:
    """A clock that was wrong for a while leaves backups from the future, beside which every new one looks old."""
    assert len(hours) - 1 in to_keep(made(hours), keep)


@given(moments, keeps, st.frozensets(st.integers(min_value=0, max_value=60)))
def test_what_is_pinned_stays_and_what_stays_was_there(hours: list[int], keep: Keep, pinned: frozenset[int]) -> None:
    backups = made(hours, pinned)
    kept = to_keep(backups, keep)
    assert {one.pk for one in backups if one.pinned} <= kept <= {one.pk for one in backups}


@given(moments, keeps)
def test_keeping_again_keeps_the_same(hours: list[int], keep: Keep) -> None:
    """Otherwise a plan that is carried out after each backup would delete more and more."""
    backups = made(hours)
    kept = to_keep(backups, keep)
    assert to_keep([one for one in backups if one.pk in kept], keep) == kept


@given(moments, keeps)
def test_no_more_stay_than_were_asked_for(hours: list[int], keep: Keep) -> None:
    assert len(to_keep(made(hours), keep)) <= max(1, keep.last) + keep.daily + keep.weekly + keep.monthly


@given(moments, keeps)
def test_one_backup_after_the_other_leaves_as_much_as_all_at_once(hours: list[int], keep: Keep) -> None:
    """Of the newest ones: a plan is carried out after each backup, not once at the end of the year."""
    backups = sorted(made(hours), key=lambda one: (one.made_at, one.pk))
    there: list[Kept] = []
    for one in backups:
        there.append(one)
        kept = to_keep(there, keep)
        there = [each for each in there if each.pk in kept]
    assert {one.pk for one in there} == to_keep(backups, keep)
