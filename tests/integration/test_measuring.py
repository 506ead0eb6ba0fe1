"""What databases measure: snapshots by the hour, their history, alarms about size and silence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.test import Client
from psycopg import sql

from databases.models import Database, DatabaseKind, DatabaseSnapshot, DatabaseState
from databases.services import measuring
from databases.services.connection import url_of
from databases.services.provisioning import create_database
from databases.services.work import work_on
from infrastructure.secret import Secret
from tests.instance import Instance
from tests.integration.people import charlie
from tests.integration.postgres_hosts import ADMIN, PostgresHosts
from tests.integration.waiting import until

pytestmark = pytest.mark.django_db
_numbers = itertools.count(1)
MIB = 1024 * 1024


@pytest.fixture
def url(instance: Instance) -> Iterator[str]:
    """Of a role that owns a database and is nothing else."""
    admin, name = instance.env["DATABASE_URL"], f"measured_{next(_numbers)}"
    at = urlsplit(admin)
    with psycopg.connect(admin, autocommit=True) as connection:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'cake'").format(role))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
        yield f"postgres://{name}:cake@{at.hostname}:{at.port}/{name}"
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def registered(url: str, **more: object) -> Database:
    return Database.objects.create(
        name=f"d{next(_numbers)}", kind=DatabaseKind.EXTERNAL, url=Secret(url), state=DatabaseState.READY, **more
    )


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]


def fresh(database: Database) -> Database:
    return Database.objects.get(pk=database.pk)


def an_hour_passes(database: Database) -> None:
    for row in database.snapshots.all():
        DatabaseSnapshot.objects.filter(pk=row.pk).update(taken_at=row.taken_at - timedelta(hours=1))
    Database.objects.filter(pk=database.pk).update(checked_at=None)


def alarms(database: Database) -> dict[str, bool]:
    """What is open about it, as the API says; whether it is urgent."""
    client = Client()
    client.force_login(charlie())
    found = client.get("/api/alarms").json()
    return {one["key"].removesuffix(f":{database.pk}"): one["urgent"] for one in found}


def test_a_database_is_measured_once_an_hour_and_only_the_newest_row_holds_its_tables(url: str) -> None:
    run(
        url,
        "CREATE TABLE cakes (id int PRIMARY KEY, body text)",
        "INSERT INTO cakes SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i",
        "CREATE SCHEMA shop CREATE TABLE orders (id int)",
        "VACUUM ANALYZE cakes",
    )
    database = registered(url)
    with psycopg.connect(url) as user:
        user.execute("SELECT 1")
        measuring.look_at_due()
    first = database.snapshots.get()
    assert first.size_bytes > 3 * MIB
    assert (first.table_count, first.slow) == (2, None)
    assert first.connections >= 1
    assert [table["table"] for table in first.largest] == ["public.cakes", "shop.orders"]
    assert first.largest[0]["rows"] == 20000
    assert 2 * MIB < first.largest[0]["bytes"] < 5 * MIB
    assert first.largest[1]["rows"] is None
    measuring.look_at_due()
    assert database.snapshots.count() == 1, "an hour has not passed"

    an_hour_passes(database)
    measuring.look_at_due()
    newest, older = database.snapshots.all()
    assert newest.largest
    assert older.largest == []
    assert fresh(database).server_version >= 140000


def test_rows_that_were_deleted_are_estimated_as_bloat(url: str) -> None:
    run(
        url,
        "CREATE TABLE cakes (id int, body text)",
        "INSERT INTO cakes SELECT i, repeat('x', 100) FROM generate_series(1, 30000) i",
        "VACUUM ANALYZE cakes",
    )
    database = registered(url)
    whole = measuring.measure(database)
    # The last rows stay, so that the file cannot be cut.
    run(url, "DELETE FROM cakes WHERE id % 10 > 0", "VACUUM cakes", "ANALYZE cakes")
    bloated = measuring.measure(database)
    table = bloated.largest[0]["bytes"]
    assert (whole.bloat_bytes or 0) < table / 10
    assert table * 0.7 < (bloated.bloat_bytes or 0) < table


def test_the_cache_hit_rate_is_that_of_what_was_read_since_the_snapshot_before(url: str) -> None:
    run(url, "CREATE TABLE cakes (id int)", "INSERT INTO cakes SELECT generate_series(1, 5000)")
    database = registered(url)
    until(lambda: measuring.measure(database).blocks_hit)
    until(lambda: measuring.measure(database).cache_hit is None)  # PostgreSQL has counted all, and nobody reads
    run(url, *["SELECT count(*) FROM cakes"] * 5)
    rates = (measuring.measure(database).cache_hit for _ in itertools.count())
    rate = until(lambda: next(rates))
    assert 0.9 < rate <= 1


def test_a_table_that_is_locked_does_not_keep_the_rest_from_being_measured(url: str) -> None:
    run(url, "CREATE TABLE cakes (id int)")
    with psycopg.connect(url) as user:
        user.execute("LOCK TABLE cakes")
        taken = measuring.measure(registered(url))
    assert taken.size_bytes > MIB
    assert (taken.table_count, taken.largest) == (1, [])


def test_what_an_application_has_put_into_its_database_is_not_run(url: str) -> None:
    """A view and functions that bear the names of what is asked for."""
    run(
        url,
        "CREATE TABLE touched (at int)",
        "CREATE FUNCTION public.pg_database_size(name) RETURNS bigint LANGUAGE sql AS "
        "$$ INSERT INTO touched VALUES (1); SELECT 1::bigint $$",
        "CREATE VIEW public.pg_stat_statements AS SELECT public.pg_database_size('x') AS query",
    )
    run(url, f"ALTER ROLE {urlsplit(url).username} SET search_path = public, pg_catalog")
    taken = measuring.measure(registered(url))
    assert taken.size_bytes > MIB
    assert taken.slow is None
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM touched").fetchone() == (0,)


def test_history_keeps_two_weeks_by_the_hour_and_two_years_by_the_day(url: str) -> None:
    database = registered(url)
    noon = datetime.now(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0)
    times = [noon - timedelta(days=days, hours=hour) for days in (2, 20, 400, 800) for hour in (0, 1, 2)]
    for at in times:
        database.snapshots.create(taken_at=at, size_bytes=at.hour, table_count=0, connections=0)
    measuring.measure(database)
    kept = [(round((noon - row.taken_at) / timedelta(days=1)), row.size_bytes) for row in database.snapshots.all()]
    assert kept[1:] == [(2, 12), (2, 11), (2, 10), (20, 12), (400, 12)]


def test_the_quota_alarms_from_nine_tenths_on_and_ends_by_itself(url: str) -> None:
    database = registered(url, quota_mb=100)
    measuring.measure(database)
    assert alarms(database) == {}
    for mib, expected in (
        (89, {}),
        (90, {"database.quota": False}),
        (100, {"database.quota": True}),
        (95, {"database.quota": False}),
        (20, {}),
        (200, {"database.quota": True}),
    ):
        database.snapshots.update(size_bytes=mib * MIB)
        measuring.look(fresh(database))
        assert alarms(database) == expected, mib
    Database.objects.filter(pk=database.pk).update(quota_mb=0)
    measuring.look(fresh(database))
    assert alarms(database) == {}, "it has no quota any more"


def test_a_database_that_does_not_answer_twice_alarms_until_it_does_again(url: str) -> None:
    database = registered(url.replace(":cake@", ":biscuit@"))
    measuring.look_at_due()
    assert alarms(database) == {}, "it may be starting again"
    assert "password" in fresh(database).problem
    measuring.look_at_due()
    assert alarms(database) == {}, "it is not asked again at once"
    Database.objects.filter(pk=database.pk).update(checked_at=datetime.now(timezone.utc) - timedelta(minutes=1))
    measuring.look_at_due()
    assert alarms(database) == {"database.unreachable": True}
    assert database.snapshots.count() == 0
    Database.objects.filter(pk=database.pk).update(url=Secret(url), checked_at=None)
    measuring.look_at_due()
    assert alarms(database) == {}
    assert fresh(database).problem == ""


def test_alarms_of_a_database_that_is_gone_end(url: str) -> None:
    database = registered(url, quota_mb=1)
    measuring.look_at_due()
    assert alarms(database) == {"database.quota": True}
    database.delete()
    measuring.look_at_due()
    assert alarms(Database(pk=-1)) == {}


@pytest.mark.django_db(transaction=True)
def test_databases_of_bakerys_own_are_measured_with_their_slow_queries(
    postgres_hosts: PostgresHosts, settings: Any
) -> None:
    host = postgres_hosts.of("debian")
    settings.BAKERY = replace(settings.BAKERY, postgres_admin_url=host.admin, postgres_admin_url_file=None)
    for statement in (
        "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'",
        "CREATE EXTENSION pg_stat_statements",
        f"GRANT pg_monitor TO {ADMIN}",  # as the installer does
    ):
        host.sql(statement)
    host.stop()
    host.start()
    database = create_database("orders", by=None)
    work_on(database.pk)
    url = url_of(fresh(database)).reveal()
    run(url, "CREATE TABLE cakes (body text)", "SELECT pg_sleep(0.01), count(*) FROM cakes")
    taken = measuring.look(fresh(database))
    assert taken
    assert [table["table"] for table in taken.largest] == ["public.cakes"]
    queries = [row["query"] for row in taken.slow]
    assert "SELECT pg_sleep($1), count(*) FROM cakes" in queries
    assert "CREATE TABLE cakes (body text)" in queries
    assert not any("measures" in query or "BEGIN" in query for query in queries)
