"""``manage.py database restore`` and its kin, with the instance's own workers: one of them is killed in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.instance import Instance
from tests.integration import programs
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
GATE = "tests_gate"
FILLING = r"datname LIKE '%\_incoming\_%' AND query LIKE 'DO %'"
DUMP = f"""CREATE TABLE cakes (name text);
DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_roles WHERE rolname = '{GATE}') LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;
COPY cakes FROM stdin;
{{}}
\\.
"""


@pytest.fixture
def database(instance: Instance) -> Iterator[str]:
    instance.manage("database", "create", "pantry")
    yield "pantry"
    instance.manage("database", "drop", "pantry", "--yes")


def rows(instance: Instance, query: str, database: str = "") -> list[tuple[Any, ...]]:
    url = instance.env["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True, **({"dbname": database} if database else {})) as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def cakes(instance: Instance, name: str) -> list[tuple[Any, ...]]:
    found = rows(instance, f"SELECT id FROM databases_database WHERE name = '{name}'")
    return rows(instance, "SELECT name FROM cakes", f"bakery_db_{found[0][0]}")


def uploaded(instance: Instance, name: str, text: str, directory: Path) -> None:
    file = directory / "dump.sql"
    file.write_text(DUMP.format(text))
    instance.manage("database", "upload", name, str(file), "--no-backup")


def test_a_dump_and_a_backup_are_restored_confirmed_undone_and_cloned(
    instance: Instance, database: str, tmp_path: Path
) -> None:
    uploaded(instance, database, "éclair", tmp_path)
    assert cakes(instance, database) == [("éclair",)]
    done = instance.manage("database", "upload", database, str(tmp_path / "dump.sql"), check=False)
    assert done.returncode == 1
    assert "neither confirmed nor undone" in done.stderr
    instance.manage("database", "confirm-restore", database)

    instance.manage("database", "backup", database)
    uploaded(instance, database, "later", tmp_path)
    assert cakes(instance, database) == [("later",)]
    instance.manage("database", "confirm-restore", database)
    done = instance.manage("database", "restore", database)
    assert "undo-restore brings it back" in done.stdout
    assert cakes(instance, database) == [("éclair",)]
    instance.manage("database", "undo-restore", database)
    assert cakes(instance, database) == [("later",)]

    instance.manage("database", "clone", database, "pantry-copy")
    assert cakes(instance, "pantry-copy") == [("later",)]
    instance.manage("database", "drop", "pantry-copy", "--yes")


def test_a_restore_is_cancelled_in_the_middle_of_a_statement_that_never_ends(
    instance: Instance, database: str, tmp_path: Path
) -> None:
    uploaded(instance, database, "before", tmp_path)
    instance.manage("database", "confirm-restore", database)
    file = tmp_path / "dump.sql"
    file.write_text(
        "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;"
    )
    task = instance.manage("database", "upload", database, str(file), "--no-backup", "--no-wait", "--json")
    pk = int(json.loads(task.stdout)["id"])
    until(lambda: rows(instance, f"SELECT 1 FROM pg_stat_activity WHERE {FILLING}"))
    rows(instance, f"UPDATE bakery_task SET cancel_requested = true WHERE id = {pk}")
    state = f"SELECT state FROM bakery_task WHERE id = {pk} AND ended_at IS NOT NULL"
    assert until(lambda: rows(instance, state)) == [("cancelled",)]
    assert cakes(instance, database) == [("before",)]
    assert rows(instance, r"SELECT datname FROM pg_database WHERE datname LIKE '%\_incoming\_%'") == []


def test_a_restore_whose_worker_is_killed_is_done_by_the_next_one(
    instance: Instance, database: str, tmp_path: Path
) -> None:
    file = tmp_path / "dump.sql"
    file.write_text(DUMP.format("resumed"))
    rows(instance, f"CREATE ROLE {GATE}")
    try:
        task = instance.manage("database", "upload", database, str(file), "--no-backup", "--no-wait", "--json")
        pk = int(json.loads(task.stdout)["id"])
        until(lambda: rows(instance, f"SELECT 1 FROM pg_stat_activity WHERE {FILLING}"))
        programs.kill(instance, "worker-housekee")
        until(lambda: rows(instance, f"SELECT 1 FROM bakery_task WHERE id = {pk} AND attempts = 2"), 120)
    finally:
        rows(instance, f"DROP ROLE {GATE}")
    state = f"SELECT state, error_message FROM bakery_task WHERE id = {pk} AND ended_at IS NOT NULL"
    assert until(lambda: rows(instance, state), 120) == [("succeeded", "")]
    assert cakes(instance, database) == [("resumed",)]
    instance.manage("database", "confirm-restore", database)
