"""Databases made on servers of two major versions, by a role that is no superuser."""

from __future__ import annotations

import dataclasses
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ValidationError
from django.db.models import TextField
from django.db.models.functions import Cast

from databases.models import Database, DatabaseState
from databases.services.connection import url_of
from databases.services.provisioning import change_database, create_database
from deployments.models import LogChunk
from infrastructure.errors import Problem, Refused
from infrastructure.postgres import administrator
from tests.integration.databases import database_host, done, failed, made, parts_of
from tests.integration.postgres_hosts import PostgresHost

__all__ = ["database_host"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_database_is_made_that_its_application_owns(database_host: PostgresHost) -> None:
    database = made("orders", statement_timeout=7, idle_timeout=0, connection_limit=3)
    url = url_of(database).reveal()
    sql = database_host.sql
    sql("CREATE TABLE visits (id serial PRIMARY KEY); INSERT INTO visits DEFAULT VALUES", url=url)
    sql("CREATE SCHEMA inner_room CREATE TABLE cakes (name text)", url=url)
    owners = sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'inner_room')", url=url)
    assert owners == [(database.owner_role,)]
    assert sql("SHOW statement_timeout", url=url) == [("7s",)]
    assert sql("SHOW idle_in_transaction_session_timeout", url=url) == [("0",)]
    assert sql("SHOW server_encoding", url=url) == [("UTF8",)]
    assert sql("SELECT lower('É')", url=url) == [("é",)]
    assert database.server_version // 10_000 == database_host.major
    assert database.address == f"127.0.0.1:{database_host.port}"


def test_more_connections_than_the_limit_are_refused(database_host: PostgresHost) -> None:
    url = url_of(made("few", connection_limit=2)).reveal()
    too_many = pytest.raises(psycopg.OperationalError, match="too many connections")
    with psycopg.connect(url), psycopg.connect(url), too_many:
        psycopg.connect(url)


def test_limits_and_extensions_change_later(database_host: PostgresHost, settings: Any) -> None:
    if database_host.major >= 16:  # which has nothing but “vector”, and lets a superuser alone install it
        settings.BAKERY = dataclasses.replace(settings.BAKERY, postgres_admin_url=database_host.superuser)
    wanted = available_on(database_host)
    database = made("changing")
    done(change_database(database, by=None, statement_timeout=9, extensions=wanted))
    database.refresh_from_db()
    url = url_of(database).reveal()
    assert database_host.sql("SHOW statement_timeout", url=url) == [("9s",)]
    there = database_host.sql("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1", url=url)
    assert [row[0] for row in there] == wanted
    done(change_database(database, by=None, extensions=[]))
    assert database_host.sql("SELECT 1 FROM pg_extension WHERE extname <> 'plpgsql'", url=url) == []


def test_an_extension_in_use_stays_and_what_uses_it_is_named(database_host: PostgresHost, settings: Any) -> None:
    settings.BAKERY = dataclasses.replace(settings.BAKERY, postgres_admin_url=database_host.superuser)
    name = available_on(database_host)[0]
    database = made("used", extensions=[name])
    url = url_of(database).reveal()
    uses = {
        "vector": "CREATE TABLE used (v vector(3))",
        "pg_trgm": "CREATE TABLE used (t text); CREATE INDEX ON used USING gin (t gin_trgm_ops)",
    }
    database_host.sql(uses[name], url=url)
    task = failed(change_database(database, by=None, extensions=[]))
    assert (task.error_id, name in task.error_message) == ("database.extension-used", True)
    database.refresh_from_db()
    assert database.extensions == [name]


@pytest.mark.parametrize("database_host", ["embedded"], indirect=True)
def test_an_extension_that_a_superuser_alone_may_install_is_said_so(database_host: PostgresHost) -> None:
    task = failed(create_database("vectors", by=None, extensions=["vector"]).tasks.get())
    assert task.error_id == "database.extension-superuser"
    assert "trusted" in task.error_hint


def available_on(host: PostgresHost) -> list[str]:
    rows = host.sql("SELECT name FROM pg_available_extensions WHERE name IN ('pg_trgm', 'vector') ORDER BY name")
    assert rows, "neither server is without any"
    return [str(row[0]) for row in rows]


def test_an_extension_that_the_server_lacks_is_named_and_nothing_is_left_behind(database_host: PostgresHost) -> None:
    available = {str(row[0]) for row in database_host.sql("SELECT name FROM pg_available_extensions")}
    lacking = min({"pg_trgm", "vector"} - available)
    before = database_host.databases(), database_host.roles()
    database = create_database("wanting", by=None, extensions=[lacking])
    task = failed(database.tasks.get())
    assert (task.error_id, lacking in task.error_message) == ("database.extension-missing", True)
    database.refresh_from_db()
    assert database.state == DatabaseState.FAILED
    assert lacking in database.problem
    assert (database_host.databases(), database_host.roles()) == before
    again = made("wanting")  # the same row, without it
    assert again.pk == database.pk


def test_extensions_that_are_not_on_the_list_are_refused() -> None:
    with pytest.raises(Refused, match="file_fdw"):
        create_database("reader-of-files", by=None, extensions=["file_fdw"])
    assert not Database.objects.exists()


@pytest.mark.parametrize("settings", [{"connection_limit": 0}, {"surprise": 1}, {"statement_timeout": -1}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        create_database("odd", by=None, **settings)
    assert not Database.objects.exists()


@pytest.mark.parametrize(("field", "value"), [("locale", "xx_XX.UTF-8'; --"), ("encoding", "KLINGON")])
def test_a_locale_that_the_server_lacks_is_refused_in_words(
    database_host: PostgresHost, field: str, value: str
) -> None:
    before = database_host.databases(), database_host.roles()
    database = create_database("foreign", by=None, **{field: value})
    task = failed(database.tasks.get())
    assert task.error_id == "database.locale"
    assert value in task.error_message
    assert (database_host.databases(), database_host.roles()) == before


def test_a_database_can_have_another_encoding_and_order(database_host: PostgresHost) -> None:
    url = url_of(made("old-style", encoding="LATIN1", locale="C")).reveal()
    assert database_host.sql("SHOW server_encoding", url=url) == [("LATIN1",)]


def test_what_another_bakery_made_is_left_alone(database_host: PostgresHost) -> None:
    mine = made("mine")
    theirs = f"bakery_db_{mine.pk + 1}"
    database_host.sql(f"CREATE ROLE {theirs}_owner")
    database_host.sql(f"CREATE DATABASE {theirs} OWNER {theirs}_owner")
    database = create_database("yours", by=None)
    assert database.database_name == theirs
    task = failed(database.tasks.get())
    assert task.error_id == "database.name-taken"
    assert theirs in database_host.databases()
    database_host.sql(f"DROP DATABASE {theirs}")
    database_host.sql(f"DROP ROLE {theirs}_owner")
    assert made("yours").pk == database.pk


@pytest.mark.parametrize(
    ("attributes", "id"),
    [("NOCREATEROLE CREATEDB", "postgres.no-createrole"), ("CREATEROLE NOCREATEDB", "postgres.no-createdb")],
)
def test_an_administrator_without_the_rights_is_told_the_statement(
    database_host: PostgresHost, attributes: str, id: str
) -> None:
    database_host.sql(f"ALTER ROLE bakery_admin {attributes}")
    try:
        task = failed(create_database("modest", by=None).tasks.get())
    finally:
        database_host.sql("ALTER ROLE bakery_admin CREATEROLE CREATEDB")
    assert task.error_id == id
    assert "ALTER ROLE" in task.error_hint
    assert made("modest").state == DatabaseState.READY


def test_a_server_that_is_away_fails_the_task_and_the_next_try_succeeds(database_host: PostgresHost) -> None:
    database_host.stop()
    try:
        task = failed(create_database("patient", by=None).tasks.get())
    finally:
        database_host.start()
    assert task.error_id == "postgres.silent"
    assert made("patient").state == DatabaseState.READY


def test_a_server_that_is_too_old_is_refused(database_host: PostgresHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administrator, "LOWEST", database_host.major + 1)
    task = failed(create_database("modern", by=None).tasks.get())
    assert task.error_id == "postgres.too-old"
    assert f"PostgreSQL {database_host.major}" in task.error_message


def test_a_standby_is_refused(database_host: PostgresHost) -> None:
    signal = database_host.home / "data" / "standby.signal"
    database_host.stop()
    signal.touch()
    database_host.start()
    try:
        task = failed(create_database("upright", by=None).tasks.get())
    finally:
        database_host.stop()
        signal.unlink()
        database_host.start()
    assert task.error_id == "postgres.in-recovery"


def test_the_password_is_in_no_log_of_the_task_nor_of_the_server(database_host: PostgresHost) -> None:
    database_host.sql("ALTER SYSTEM SET log_statement = 'all'")
    database_host.sql("SELECT pg_reload_conf()")
    try:
        database = made("discreet")
    finally:
        database_host.sql("ALTER SYSTEM RESET log_statement")
        database_host.sql("SELECT pg_reload_conf()")
    server_log = (database_host.home / "log").read_text()
    assert f'CREATE DATABASE "{database.database_name}"' in server_log
    assert database.password.reveal() not in server_log
    stored = Database.objects.filter(pk=database.pk).annotate(raw=Cast("password", TextField())).get()
    assert database.password.reveal() not in stored.raw
    chunks = LogChunk.objects.filter(stream__task__database=database).values_list("data", flat=True)
    assert "is ready" in (text := "".join(str(chunk) for chunk in chunks))
    assert database.password.reveal() not in text


def test_who_has_no_password_does_not_get_in(database_host: PostgresHost) -> None:
    database = made("locked")
    parts = parts_of(url_of(database))
    for others in ({"password": ""}, {"password": "guessed"}, {"user": database.owner_role}):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**{**parts, **others, "passfile": "/dev/null"})


def test_one_thing_at_a_time_is_asked_of_a_database(database_host: PostgresHost) -> None:
    database = made("busy")
    change_database(database, by=None, statement_timeout=5)
    with pytest.raises(Problem) as caught:
        change_database(database, by=None, statement_timeout=6)
    assert caught.value.id == "database.busy"
