"""``manage.py database`` on a running instance: made, looked at, given, dropped."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.instance import Instance
from tests.integration.databases import refusal
from tests.integration.driving import rows

pytestmark = pytest.mark.slow


def database(instance: Instance, *argv: str, stdin: str = "", check: bool = True) -> str:
    done = instance.manage("database", *argv, stdin=stdin, check=check)
    return done.stdout + ("" if check else done.stderr)


def test_a_database_is_made_used_shown_and_dropped_by_command(instance: Instance) -> None:
    assert "shelf is ready" in database(instance, "create", "shelf", "--connection-limit", "4")
    url = database(instance, "url", "shelf").strip()
    reader = database(instance, "reader", "shelf").splitlines()[0]
    with psycopg.connect(url, autocommit=True) as app:
        app.execute("CREATE TABLE jars (name text)")
    with psycopg.connect(reader, autocommit=True) as person:
        assert person.execute("SELECT * FROM jars").fetchall() == []
    assert "shelf" in database(instance, "list")
    shown = json.loads(database(instance, "show", "shelf", "--json"))
    assert (shown["state"], shown["settings"]["connection_limit"], shown["has_reader"]) == ("ready", 4, True)
    assert urlsplit(url).password not in str(shown)
    database(instance, "set", "shelf", "--statement-timeout", "11")
    with psycopg.connect(url) as app:
        assert app.execute("SHOW statement_timeout").fetchone() == ("11s",)
    seen = rows(instance, "SELECT what FROM databases_disclosure WHERE subject = 'shelf' ORDER BY id")
    assert [row["what"] for row in seen] == ["the connection string", "the read-only connection string"]

    refused = database(instance, "drop", "shelf", check=False)
    assert "--yes" in refused
    assert "shelf is dropped" in database(instance, "drop", "shelf", "--yes")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    assert "shelf" not in database(instance, "list")
    assert json.loads(database(instance, "backups", "shelf", "--json"))[0]["reason"] == "drop"


def test_bakerys_own_databases_are_closed_to_an_applications_role(instance: Instance) -> None:
    database(instance, "create", "next-door")
    url = database(instance, "url", "next-door").strip()
    for name in ("bakery", "postgres", "template1"):
        assert "CONNECT" in refusal(f"{url.rpartition('/')[0]}/{name}", "SELECT 1")
    database(instance, "drop", "next-door", "--yes", "--no-backup")


def test_a_password_is_rotated_by_command_and_the_old_one_lets_nobody_in(instance: Instance) -> None:
    database(instance, "create", "turning")
    first = database(instance, "url", "turning").strip()
    with psycopg.connect(first, autocommit=True) as app:
        app.execute("CREATE TABLE kept (id int)")
    for _ in range(2):
        before = database(instance, "url", "turning").strip()
        database(instance, "rotate-password", "turning")
        after = database(instance, "url", "turning").strip()
        assert urlsplit(after).username != urlsplit(before).username
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(before)
        with psycopg.connect(after) as app:
            assert app.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    database(instance, "drop", "turning", "--yes", "--no-backup")


def test_a_database_elsewhere_is_registered_by_its_address_from_standard_input(instance: Instance) -> None:
    address = instance.env["DATABASE_URL"]
    assert "answers" in database(instance, "register", "panel-itself", stdin=f"{address}\n")
    assert "answers" in database(instance, "check", "panel-itself")
    assert "not Bakery's own" in database(instance, "rotate-password", "panel-itself", check=False)
    database(instance, "drop", "panel-itself", "--yes")
    assert rows(instance, "SELECT 1 AS alive")[0]["alive"] == 1
    refused = database(instance, "register", "socket", stdin="postgresql://a:b@/c\n", check=False)
    assert "postgresql://role:password@host:5432/name" in refused
