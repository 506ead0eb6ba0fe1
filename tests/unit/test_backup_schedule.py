"""When a backup is due, and when it is late."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from django.core.exceptions import ValidationError

from databases.models import BackupPlan
from databases.services import scheduling
from databases.services.scheduling import as_text, is_due, late_since, next_time, parse


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def plan(cron: str, since: str, asked: str = "") -> BackupPlan:
    return BackupPlan(schedule=parse(cron), since=at(since), asked_at=at(asked) if asked else None)


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 3 * * *", "2026-11-01T02:59", "2026-11-01T03:00"),
        ("0 3 * * *", "2026-11-01T03:00", "2026-11-02T03:00"),
        ("*/15 * * * *", "2026-11-01T23:46", "2026-11-02T00:00"),
        ("30 2 * * 0", "2026-11-02T00:00", "2026-11-08T02:30"),
        ("0 0 31 * *", "2026-11-02T00:00", "2026-12-31T00:00"),
        ("daily", "2026-11-01T04:00", "2026-11-02T03:00"),
        ("weekly", "2026-11-02T04:00", "2026-11-08T03:00"),
        ("monthly", "2026-11-01T04:00", "2026-12-01T03:00"),
    ],
)
def test_the_next_time_is_the_first_one_after(cron: str, after: str, expected: str) -> None:
    assert next_time(parse(cron), at(after)) == at(expected)


@pytest.mark.parametrize("text", ["", "daily daily", "61 * * * *", "* * 32 * *", "0 0 30 2 *", "x y z a b", "0 3 * *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a schedule"):
        parse(text)


def test_it_is_shown_as_it_was_typed() -> None:
    assert as_text(parse(" 0  3 * * 1-5 ")) == "0 3 * * 1-5"


def test_one_is_due_once_its_time_has_come_and_not_again_before_the_next() -> None:
    daily = plan("0 3 * * *", since="2026-11-01T12:00")
    assert not is_due(daily, at("2026-11-02T02:59"))
    assert is_due(daily, at("2026-11-02T03:00"))
    daily.asked_at = at("2026-11-02T03:00:05")
    assert not is_due(daily, at("2026-11-02T23:59"))
    assert is_due(daily, at("2026-11-03T03:00"))


def test_a_schedule_that_was_missed_while_the_host_was_off_is_caught_up_once() -> None:
    daily = plan("0 3 * * *", since="2026-10-01T00:00", asked="2026-11-01T03:00:05")
    assert is_due(daily, at("2026-11-05T14:00"))
    daily.asked_at = at("2026-11-05T14:00")
    assert not is_due(daily, at("2026-11-05T14:00:10"))
    assert not is_due(daily, at("2026-11-06T02:59"))


def test_a_plan_without_a_schedule_is_neither_due_nor_late() -> None:
    none = BackupPlan(schedule=None, since=at("2020-01-01T00:00"))
    assert not is_due(none, at("2026-01-01T00:00"))
    assert late_since(none, None, at("2026-01-01T00:00")) is None


def test_it_is_late_when_no_good_one_came_in_time_whatever_else_was_done() -> None:
    daily = plan("0 3 * * *", since="2026-11-01T12:00")
    expected = at("2026-11-02T03:00")
    assert late_since(daily, None, expected + scheduling.GRACE) is None
    assert late_since(daily, None, expected + scheduling.GRACE + timedelta(seconds=1)) == expected
    # One from before the plan is none that it has brought.
    assert late_since(daily, at("2026-10-30T03:00"), at("2026-11-02T05:00")) == expected
    assert late_since(daily, at("2026-11-02T03:00:10"), at("2026-11-03T03:59")) is None
    assert late_since(daily, at("2026-11-02T03:00:10"), at("2026-11-03T04:01")) == at("2026-11-03T03:00")


def test_a_clock_that_was_wrong_for_a_while_delays_no_backup_and_no_alarm() -> None:
    now = at("2026-11-02T12:00")
    assert is_due(plan("0 3 * * *", since="2026-10-01T00:00", asked="2031-01-01T03:00"), now)
    from_the_future = plan("0 3 * * *", since="2031-01-01T00:00")
    assert is_due(from_the_future, now)
    assert late_since(from_the_future, None, now) is None
    assert late_since(from_the_future, at("2026-10-30T03:00"), now) is None


def test_new_databases_have_their_turns_between_one_and_five_at_night() -> None:
    turns = [next_time(parse(scheduling.by_night(number)), at("2026-11-01T00:00")) for number in range(1, 241)]
    assert len(set(turns)) == 240
    assert (min(turns), max(turns)) == (at("2026-11-01T01:00"), at("2026-11-01T04:59"))
